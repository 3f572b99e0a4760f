"""Whether two arrays hold the same numbers, and in what their layouts differ."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from keraform.verify.compare import distance
from keraform.verify.leaves import Leaf

MOST_AXES = 5  # with more, 720 permutations would have to be tried


@dataclass(frozen=True)
class Relation:
    """How two arrays stand to each other.

    Args:
        error: the distance in the best layout, relative to the larger of 1 and torch's rms.
        how: in what the layouts differ, "" where they are the same.
        problem: what has no number.
    """

    error: float
    how: str = ""
    problem: str | None = None

    def within(self, limit: float) -> bool:
        """Whether the two hold the same numbers."""
        return self.problem is None and self.error <= limit


def relation(torch: Leaf, keras: Leaf, limit: float) -> Relation:
    """Compare as they are, then with Keras's axes permuted, split or merged."""
    one, other = torch.array, keras.array
    plain = distance(one, other) if one.shape == other.shape else np.inf
    if plain <= limit:
        return Relation(plain)
    if one.size == other.size and could_be_equal(one, other, limit):
        for how, turned in _turned(one, other):
            error = distance(one.reshape(turned.shape), turned)
            if error <= limit:
                return Relation(error, how)
    if one.shape == other.shape:
        return Relation(plain, problem=None if np.isfinite(plain) else "NaN or infinities")
    moved = as_channels_first(one, other)
    if moved is not None:
        return Relation(distance(one, moved), "channels last")
    return Relation(np.inf, problem=f"shape {list(other.shape)}, torch has {list(one.shape)}")


def output_relation(torch: Leaf, keras: Leaf, limit: float) -> Relation:
    """The same for an output of the whole: nothing but channels last is excused, and only where the
    shapes show it.
    """
    one, other = torch.array, keras.array
    if one.shape == other.shape:
        error = distance(one, other)
        return Relation(error, problem=None if np.isfinite(error) else "NaN or infinities")
    moved = as_channels_first(one, other)
    if moved is not None:
        return Relation(distance(one, moved), "channels last")
    return Relation(np.inf, problem=f"shape {list(other.shape)}, torch has {list(one.shape)}")


def as_channels_first(torch: np.ndarray, keras: np.ndarray) -> np.ndarray | None:
    """Keras's array with its last axis second, where that gives torch's shape."""
    if keras.ndim < 3 or torch.ndim != keras.ndim:
        return None
    moved = np.moveaxis(keras, -1, 1)
    return moved if moved.shape == torch.shape else None


def could_be_equal(one: np.ndarray, other: np.ndarray, limit: float) -> bool:
    """A quick check that no order of the numbers changes: sums and sums of squares."""
    a, b = fingerprint(one), fingerprint(other)
    return all(
        abs(x - y) <= 10 * limit * max(1.0, abs(x)) * np.sqrt(max(1, one.size))
        for x, y in zip(a, b, strict=True)
    )


def fingerprint(array: np.ndarray) -> tuple[float, float]:
    """The mean and the rms of the finite numbers, fillers of masks left out."""
    values = np.abs(array).astype("float64") if array.dtype.kind == "c" else array.astype("float64")
    plain = values[np.isfinite(values) & (np.abs(values) < 1e30)]
    if not plain.size:
        return 0.0, 0.0
    return float(plain.mean()), float(np.sqrt(np.mean(plain**2)))


def _turned(one: np.ndarray, other: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Keras's numbers in every order that permuting the axes of either side gives."""
    if other.ndim <= MOST_AXES:
        for axes in itertools.permutations(range(other.ndim)):
            turned = other.transpose(axes)
            reshaped = turned.shape != one.shape
            yield _words(axes, reshaped), turned.reshape(one.shape)
    if one.ndim <= MOST_AXES and one.ndim > other.ndim:
        for axes in itertools.permutations(range(one.ndim)):
            shape = [one.shape[axis] for axis in axes]
            back = other.reshape(shape).transpose(np.argsort(axes))
            yield _words(axes, True), back


def _words(axes: tuple[int, ...], reshaped: bool) -> str:
    moved = axes != tuple(range(len(axes)))
    words = [f"axes {axes}" if moved else "", "reshaped" if reshaped else ""]
    return ", ".join(word for word in words if word)
