"""The mutators: one row for each way to go wrong, by subject.

What could not be a fault is left out here, by construction: operands of a sum or product are never
swapped, equal parts of a concatenation never reordered, dropouts never touched (they do nothing in
the runs that are compared), sizes and shapes never changed (they would only raise).
"""

from __future__ import annotations

from tests.mutations.mutators import arithmetic, attention, constructors, structure
from tests.mutations.mutators.mutator import Mutator

MUTATORS: tuple[Mutator, ...] = (
    *constructors.MUTATORS,
    *attention.MUTATORS,
    *structure.MUTATORS,
    *arithmetic.MUTATORS,
)

# Its faults are in a port's weights, not in its text (`weights.py`).
TRANSPOSED = "transposed square weight"
UNTIED = "untied head"

# In the order in which a model's statements are given away, one fault for each: first the kinds
# that any port may suffer from, of those the ones with the fewest places first; then the others.
COMMON = (
    TRANSPOSED, "cast dropped", "swapped gates", "reordered concat", UNTIED, "wrong axis",
    "swapped query and key", "tanh for erf", "mask off by one", "missing residual", "dropped eps",
    "changed scale", "dropped bias", "cast added",
)  # fmt: skip
KINDS = tuple(dict.fromkeys([*COMMON, *(mutator.kind for mutator in MUTATORS)]))

assert len({mutator.name for mutator in MUTATORS}) == len(MUTATORS), "two mutators of one name"
