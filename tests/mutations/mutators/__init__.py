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
KINDS = tuple(dict.fromkeys([TRANSPOSED, *(mutator.kind for mutator in MUTATORS)]))

assert len({mutator.name for mutator in MUTATORS}) == len(MUTATORS), "two mutators of one name"
