"""Where a port differs from PyTorch on purpose; whatever stands here is no failure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from keraform.verify.leaves import Leaf


@dataclass(frozen=True)
class Deviation:
    """An output that may differ: `torch` and `keras` say what each side then gives."""

    output: str
    torch: str
    keras: str
    reason: str

    def covers(self, name: str, torch_leaf: Leaf, keras_leaf: Leaf) -> bool:
        """Whether exactly this deviation was met."""
        return name == self.output and _is(self.torch, torch_leaf) and _is(self.keras, keras_leaf)


DEVIATIONS: tuple[Deviation, ...] = (
    Deviation(
        "loss", "nan", "zero",
        "a batch whose labels are all -100 has nothing to learn from: torch divides 0 by 0, which "
        "ends a training run",
    ),
)  # fmt: skip

# Upstream adds to what it has returned already, once (`hidden_states += ...` of a recorded hidden
# state) or with every call (positions to the encoder's output, which the caller holds). Ports leave
# it as it was returned; that they add the same to what goes on is compared.
WRITTEN_OVER = "torch changes {names} in place after giving it; compared as it was given"


def _is(word: str, leaf: Leaf) -> bool:
    if word == "nan":
        return bool(np.isnan(leaf.array).all())
    return bool((leaf.array == 0).all())


def deviation_of(name: str, torch_leaf: Leaf, keras_leaf: Leaf) -> Deviation | None:
    """The deviation that explains a difference, if there is one."""
    return next((d for d in DEVIATIONS if d.covers(name, torch_leaf, keras_leaf)), None)
