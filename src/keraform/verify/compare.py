"""Comparing two recordings: how far each output and each stage is off, and in what it differs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from keraform.verify.deviations import deviation_of
from keraform.verify.leaves import Leaf, Leaves, Recording

# Fillers of masks (finfo.min and its sums) would make the rms so large that nothing else counted.
FILLER = 1e30


@dataclass(frozen=True)
class Difference:
    """The distance of one stage; `problem` names what has no number (a key, a shape, a dtype, a
    NaN).
    """

    stage: str
    error: float
    problem: str | None = None

    @property
    def size(self) -> float:
        """The error, infinite where there is no number for it."""
        return self.error if self.problem is None else float("inf")

    def within(self, limit: float) -> bool:
        """Whether the stage may stand."""
        return self.problem is None and self.error <= limit


def distance(torch: np.ndarray, keras: np.ndarray) -> float:
    """Largest difference, relative to the larger of 1 and torch's rms.

    NaN anywhere gives infinity, on both sides too. Equal infinities and mask fillers count as
    equal; they take no part in the rms. Integers and booleans are compared as they are.
    """
    if torch.size == 0:
        return 0.0
    if torch.dtype.kind in "biu" or keras.dtype.kind in "biu":
        return float(np.abs(torch.astype("float64") - keras.astype("float64")).max())
    kind = "complex128" if "c" in (torch.dtype.kind, keras.dtype.kind) else "float64"
    a, b = torch.astype(kind, copy=False), keras.astype(kind, copy=False)
    if kind == "float64" and _is_plain(a) and _is_plain(b):  # nothing to set aside, nothing to copy
        a, difference = a.ravel(), np.subtract(a, b)
        largest = max(float(difference.max()), -float(difference.min()))
        return largest / max(1.0, math.sqrt(np.dot(a, a) / a.size))
    if np.isnan(a).any() or np.isnan(b).any():
        return float("inf")
    filler = np.abs(a) > FILLER
    if (filler != (np.abs(b) > FILLER)).any() or not _fillers_agree(a[filler], b[filler]):
        return float("inf")
    plain = ~filler
    if not plain.any():
        return 0.0
    rms = float(np.sqrt(np.mean(np.abs(a[plain]) ** 2)))
    return float(np.abs(a[plain] - b[plain]).max()) / max(1.0, rms)


def _is_plain(array: np.ndarray) -> bool:
    """Whether no element is NaN, an infinity or a mask filler."""
    return bool(array.max() <= FILLER and array.min() >= -FILLER)


def _fillers_agree(a: np.ndarray, b: np.ndarray) -> bool:
    return bool((np.sign(a.real) == np.sign(b.real)).all())


def compare_leaf(stage: str, torch: Leaf, keras: Leaf) -> Difference:
    """One array against the other. A cache that nothing is in has one axis in torch, which has not
    seen its sizes yet.
    """
    if torch.array.shape == (0,) and keras.array.size == 0:
        return Difference(stage, 0.0)
    if torch.array.shape != keras.array.shape:
        return Difference(stage, float("inf"), f"shape {_shape(keras)}, torch has {_shape(torch)}")
    error = distance(torch.array, keras.array)
    if np.isfinite(error):
        return Difference(stage, error)
    if deviation_of(stage.rpartition("/")[2], torch, keras) is not None:
        return Difference(stage, 0.0)
    return Difference(stage, error, _not_finite(torch.array, keras.array))


def compare_inner(stage: str, torch: Leaf, keras: Leaf) -> Difference:
    """One array inside of a model against the other. NaN at the very places where torch has it
    counts as equal, as long as something else is left to compare: some models take the softmax of
    closed rows and fill them afterwards. An output that has any is a difference (`compare_leaf`).
    """
    theirs, ours = torch.array, keras.array
    if theirs.shape == ours.shape and {theirs.dtype.kind, ours.dtype.kind} <= set("fc"):
        undefined = np.isnan(theirs)
        if undefined.any() and not undefined.all() and (undefined == np.isnan(ours)).all():
            torch = Leaf(torch.dtype, np.where(undefined, 0, theirs))
            keras = Leaf(keras.dtype, np.where(undefined, 0, ours))
    return compare_leaf(stage, torch, keras)


def _shape(leaf: Leaf) -> str:
    return "x".join(map(str, leaf.array.shape)) or "scalar"


def _not_finite(torch: np.ndarray, keras: np.ndarray) -> str:
    counts = [int(np.isnan(side).sum()) for side in (torch, keras)]
    if any(counts):
        return f"{counts[1]} NaN, torch has {counts[0]}"
    return "infinities or mask fillers at other places"


def compare_outputs(torch: Leaves, keras: Leaves) -> Iterator[Difference]:
    """Every key of the output; one that either side lacks is a difference."""
    for name in torch:
        if name in keras:
            yield compare_leaf(f"outputs/{name}", torch[name], keras[name])
        else:
            yield Difference(f"outputs/{name}", float("inf"), "missing in the port")
    for name in keras:
        if name not in torch:
            yield Difference(f"outputs/{name}", float("inf"), "torch does not give it")


def compare_stages(torch: Recording, keras: Recording) -> Iterator[Difference]:
    """Every module stage that both sides have, in torch's order."""
    for name, stage in torch.stages.items():
        if name in keras.stages:
            found = compare_stage(name, stage.outputs, keras.stages[name].outputs)
            if found is not None:
                yield found


def compare_stage(name: str, torch: Leaves, keras: Leaves) -> Difference | None:
    """The outputs of one stage; the worst leaf speaks for it. None where torch gives no tensor.

    A leaf that only one side has is passed over (fused attention gives no weights unless asked),
    but the stage's first one has to be there.
    """
    if not torch:
        return None
    if next(iter(torch)) not in keras:
        given = ", ".join(keras) or "nothing"
        return Difference(name, float("inf"), f"gives {given}, torch gives {', '.join(torch)}")
    found = [compare_inner(name, torch[key], keras[key]) for key in torch if key in keras]
    return max(found, key=lambda difference: difference.error)


def compare(torch: Recording, keras: Recording) -> list[Difference]:
    """Stages, then outputs."""
    return [*compare_stages(torch, keras), *compare_outputs(torch.outputs, keras.outputs)]


def compare_dtypes(
    torch: Recording, keras: Recording, integer_width: bool = True
) -> list[Difference]:
    """Where dtypes differ, which the lift of rung 4 would hide.

    Args:
        torch: torch's run.
        keras: the port's run.
        integer_width: whether int32 differs from int64 (not on JAX, where Keras narrows integers).
    """

    def word(leaf: Leaf) -> str:
        return leaf.dtype if integer_width else leaf.dtype.replace("int64", "int32")

    pairs = [
        (f"outputs/{key}", leaf, keras.outputs[key])
        for key, leaf in torch.outputs.items()
        if key in keras.outputs
    ]
    for name, stage in torch.stages.items():
        other = keras.stages[name].outputs if name in keras.stages else {}
        pairs += [(name, leaf, other[key]) for key, leaf in stage.outputs.items() if key in other]
    return [
        Difference(name, 0.0, f"{ours.dtype}, torch has {theirs.dtype}")
        for name, theirs, ours in pairs
        if word(theirs) != word(ours)
    ]
