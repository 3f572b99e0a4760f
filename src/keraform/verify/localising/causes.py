"""Likely causes: a catalogue of what usually makes two tensors differ, tried one by one on the
values.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from keraform.verify.compare import FILLER, distance

CLOSE = 1e-7  # relative; float64 values that belong together agree to 1e-12, other causes to 1e-2
MOST = 4_000_000  # elements: larger tensors are compared on a part of their first axis


@dataclass(frozen=True)
class Scene:
    """What is known where two values differ.

    Args:
        torch: torch's value.
        keras: the port's.
        reads: what torch's statement took, by its source text.
    """

    torch: np.ndarray
    keras: np.ndarray
    reads: Mapping[str, np.ndarray]

    @property
    def tensors(self) -> Iterator[tuple[str, np.ndarray]]:
        """The tensors among the reads, floats only."""
        return ((n, a) for n, a in self.reads.items() if a.ndim and a.dtype.kind == "f")

    @property
    def numbers(self) -> Iterator[tuple[str, float]]:
        """The numbers among the reads, sizes of its tensors included."""
        for name, array in self.reads.items():
            if array.ndim == 0 and array.dtype.kind in "if":
                yield name, float(array)
        for name, array in self.reads.items():
            for axis, size in enumerate(array.shape):
                yield f"size {axis} of {name}", float(size)


Cause = Callable[[Scene], "str | None"]


def likely_cause(
    torch: np.ndarray, keras: np.ndarray, reads: Mapping[str, np.ndarray] | None = None
) -> str | None:
    """The first entry of the catalogue that explains the port's value; None if none does."""
    if torch.size == 0 or torch.size > MOST or torch.dtype.kind not in "fiub":
        return None
    scene = Scene(torch, keras, reads or {})
    with np.errstate(all="ignore"):
        return next((words for cause in CATALOGUE if (words := cause(scene))), None)


def close(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two arrays hold the same values in the same shape."""
    if a.shape != b.shape:
        return False
    return distance(a, b) <= CLOSE


# Entries of the catalogue, each on its own


def _other_number(scene: Scene) -> str | None:
    if scene.torch.ndim or scene.keras.ndim:
        return None
    return f"another number: the port has {float(scene.keras):g}, torch {float(scene.torch):g}"


def _left_out(scene: Scene) -> str | None:
    for name, array in scene.reads.items():
        if array.ndim and not close(scene.torch, array) and close(array, scene.keras):
            return f"the port's value is {name} alone: the rest of the statement has no effect"
    return None


def _sign(scene: Scene) -> str | None:
    return "the sign is turned" if close(-_number(scene.torch), scene.keras) else None


def _scale(scene: Scene) -> str | None:
    if scene.torch.shape != scene.keras.shape or scene.torch.dtype.kind != "f":
        return None
    large = np.abs(scene.torch) > 1e-3 * np.abs(scene.torch).max()
    if large.sum() < 2:
        return None
    ratio = float(np.median(scene.keras[large] / scene.torch[large]))
    if (
        not math.isfinite(ratio)
        or abs(ratio) < 1e-12
        or not close(scene.torch * ratio, scene.keras)
    ):
        return None
    return f"a factor: the port's is {ratio:.6g} times torch's{_meaning(ratio, scene)}"


def _meaning(ratio: float, scene: Scene) -> str:
    powers = {"": 1.0, "1 / ": -1.0, "sqrt ": 0.5, "1 / sqrt ": -0.5}
    for name, number in scene.numbers:
        for words, power in powers.items():
            if number > 0 and number != 1 and math.isclose(number**power, ratio, rel_tol=1e-6):
                return f" ({words}{name})"
    return ""


def _offset(scene: Scene) -> str | None:
    if scene.torch.shape != scene.keras.shape or scene.torch.dtype.kind not in "fi":
        return None
    difference = _number(scene.keras) - _number(scene.torch)
    if scene.torch.ndim == 0 or not np.isfinite(difference).all() or difference.size < 2:
        return None
    if close(np.full_like(difference, difference.flat[0]), difference):
        return f"a constant: the port's is larger by {difference.flat[0]:.6g}"
    axes = tuple(range(difference.ndim - 1))
    rows = np.prod(difference.shape[:-1])
    if rows > 1 and close(np.broadcast_to(difference.mean(axes), difference.shape), difference):
        return "a vector is missing or added (a bias)"
    return None


def _permuted(scene: Scene) -> str | None:
    ndim = scene.torch.ndim
    if not 2 <= ndim <= 5 or scene.keras.ndim != ndim:
        return None
    for order in itertools.permutations(range(ndim)):
        if order != tuple(range(ndim)) and close(scene.torch.transpose(order), scene.keras):
            return f"transposed: the port's axes are torch's {order}"
    return None


def _shifted(scene: Scene) -> str | None:
    if scene.torch.shape != scene.keras.shape:
        return None
    for axis, step in itertools.product(range(scene.torch.ndim), (1, -1)):
        size = scene.torch.shape[axis]
        if size < 3:
            continue
        here = [slice(None)] * scene.torch.ndim
        there = [slice(None)] * scene.torch.ndim
        here[axis], there[axis] = slice(1, None), slice(None, -1)
        if step < 0:
            here, there = there, here
        if _varies(scene.torch, axis) and close(
            scene.torch[tuple(there)], scene.keras[tuple(here)]
        ):
            return f"shifted by {step} along axis {axis}"
    return None


def _varies(array: np.ndarray, axis: int) -> bool:
    return not close(array, np.roll(array, 1, axis))


def _parts(scene: Scene) -> str | None:
    if scene.torch.shape != scene.keras.shape:
        return None
    for axis, count in itertools.product(range(scene.torch.ndim), (2, 3, 4)):
        if scene.torch.shape[axis] % count or scene.torch.shape[axis] == 0:
            continue
        parts = np.split(scene.torch, count, axis)
        for order in itertools.permutations(range(count)):
            if order == tuple(range(count)):
                continue
            if close(np.concatenate([parts[i] for i in order], axis), scene.keras):
                words = "halves" if count == 2 else f"{count} parts"
                return (
                    f"the {words} along axis {axis} stand in the order {order} "
                    "(gates, or a concatenation)"
                )
    return None


def _interleaved(scene: Scene) -> str | None:
    """Heads and their sizes exchanged when an axis was cut."""
    if scene.torch.shape != scene.keras.shape or not scene.torch.ndim:
        return None
    for axis, size in enumerate(scene.torch.shape):
        for first in range(2, size // 2 + 1):
            if size % first:
                continue
            cut = (*scene.torch.shape[:axis], first, size // first, *scene.torch.shape[axis + 1 :])
            turned = np.swapaxes(scene.torch.reshape(cut), axis, axis + 1)
            if close(turned.reshape(scene.torch.shape), scene.keras):
                return f"heads permuted: axis {axis} is cut as {size // first} x {first}"
    return None


def _flipped(scene: Scene) -> str | None:
    for axis in range(scene.torch.ndim):
        if close(np.flip(scene.torch, axis), scene.keras):
            return f"turned round along axis {axis} (the order of channels)"
    return None


def _other_function(scene: Scene) -> str | None:
    for name, array in scene.tensors:
        if array.shape != scene.keras.shape:
            continue
        mine = _function_of(array, scene.keras)
        its = _function_of(array, scene.torch)
        if mine is not None and mine != its:
            before = f", torch's {its}" if its else ""
            return f"another function: the port's is {mine} of {name}{before}"
    return None


def _function_of(array: np.ndarray, value: np.ndarray) -> str | None:
    for name, function in FUNCTIONS.items():
        if close(function(array), value):
            return name
    for axis in range(array.ndim):
        if close(softmax(array, axis), value):
            return f"the softmax over axis {axis}"
    return None


def _other_axis(scene: Scene) -> str | None:
    """A reduction over another axis."""
    for name, array in scene.tensors:
        its, mine = _reduction(array, scene.torch), _reduction(array, scene.keras)
        if its is not None and mine is not None and its != mine:
            return f"the port's is the {mine} of {name}, torch's the {its}"
    return None


def _reduction(array: np.ndarray, value: np.ndarray) -> str | None:
    if array.ndim < 2 or array.ndim - value.ndim > 1:
        return None
    axes = [axis for axis, size in enumerate(array.shape) if size > 1]
    for axis, (name, function) in itertools.product(axes, REDUCTIONS.items()):
        for keep in (False, True):
            if close(function(array, axis=axis, keepdims=keep), value):
                return f"{name} over axis {axis}"
    return None


def _epsilon(scene: Scene) -> str | None:
    """`x / sqrt(variance + epsilon)` with another epsilon."""
    if scene.torch.shape != scene.keras.shape or scene.torch.dtype.kind != "f":
        return None
    epsilons = [number for name, number in scene.numbers if 0 <= number < 0.1]
    for (_, variance), epsilon in itertools.product(scene.tensors, epsilons):
        try:
            ratio = np.broadcast_to(variance, scene.torch.shape) * 0 + scene.torch / scene.keras
        except ValueError:
            continue
        for value in (variance, variance**2):
            found = (value + epsilon) * ratio**2 - value
            middle = float(np.median(found[np.isfinite(found)])) if found.size else math.nan
            if math.isfinite(middle) and 0 <= middle < 0.1 and abs(middle - epsilon) > 1e-15:
                spread = np.abs(found - middle).max()
                if spread < 1e-3 * max(middle, epsilon):
                    return f"epsilon: the port computes with {middle:.1e}, torch with {epsilon:.1e}"
    return None


def _masked(scene: Scene) -> str | None:
    if scene.torch.shape != scene.keras.shape or scene.torch.ndim < 2:
        return None
    differs = _number(scene.torch) != _number(scene.keras)
    if scene.torch.dtype.kind == "f":
        filler = (np.abs(scene.torch) > FILLER) != (np.abs(scene.keras) > FILLER)
        if filler.any() and close(scene.torch[~filler], scene.keras[~filler]):
            return f"the mask: it differs at {int(filler.sum())} of {filler.size} positions"
        return None
    if scene.torch.dtype.kind == "b" and differs.any():
        rows, columns = np.nonzero(differs.reshape(-1, differs.shape[-1])), differs.shape[-1]
        words = f"the mask: it differs at {len(rows[0])} of {differs.size} positions"
        offsets = {int(c - r % differs.shape[-2]) for r, c in zip(*rows, strict=True)}
        return f"{words}, all on one diagonal of {columns} columns" if len(offsets) == 1 else words
    return None


def _not_finite(scene: Scene) -> str | None:
    if scene.torch.dtype.kind != "f" or scene.keras.dtype.kind != "f":
        return None
    if np.isnan(scene.keras).any() and not np.isnan(scene.torch).any():
        return "NaN: a division of 0 by 0, a root or logarithm of a negative number, or inf - inf"
    return None


def _number(array: np.ndarray) -> np.ndarray:
    return array.astype("int64") if array.dtype.kind in "bu" else array


def softmax(array: np.ndarray, axis: int) -> np.ndarray:
    """The softmax along an axis."""
    shifted = np.exp(array - array.max(axis, keepdims=True))
    return shifted / shifted.sum(axis, keepdims=True)


def _erf(array: np.ndarray) -> np.ndarray:
    return np.vectorize(math.erf, otypes=[float])(array)


def _sigmoid(array: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-array))


FUNCTIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "the erf form of gelu": lambda x: x * 0.5 * (1 + _erf(x / math.sqrt(2))),
    "the tanh form of gelu": lambda x: (
        0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    ),
    "the sigmoid form of gelu": lambda x: x * _sigmoid(1.702 * x),
    "silu": lambda x: x * _sigmoid(x),
    "relu": lambda x: np.maximum(x, 0),
    "squared relu": lambda x: np.maximum(x, 0) ** 2,
    "sigmoid": _sigmoid,
    "tanh": np.tanh,
    "exp": np.exp,
    "log": np.log,
    "sqrt": np.sqrt,
    "softplus": lambda x: np.logaddexp(x, 0),
    "sin": np.sin,
    "cos": np.cos,
    "the square": np.square,
    "the negative": np.negative,
}

REDUCTIONS: dict[str, Callable[..., np.ndarray]] = {
    "mean": np.mean,
    "sum": np.sum,
    "maximum": np.max,
    "variance": np.var,
    "sample variance": lambda x, **options: np.var(x, ddof=1, **options),
}

# In the order in which they are tried: the more special first.
CATALOGUE: tuple[Cause, ...] = (
    _other_number, _left_out, _sign, _scale, _offset, _permuted, _parts, _shifted, _interleaved,
    _flipped, _other_function, _other_axis, _epsilon, _masked, _not_finite,
)  # fmt: skip
