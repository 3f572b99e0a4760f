"""Weights of both frameworks in words of their own, and the arrays that one makes of the other:
which torch tensors a Keras variable is made of, and how.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from keraform.verify.leaves import State

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Weight:
    """A tensor of torch's state dict, or a variable of a Keras model.

    Args:
        name: torch's key, or the variable's attribute path (`blocks.0.query.kernel`).
        shape: in its own framework.
        layer: the library's class that owns it (`Linear`, `Dense`), "" where that is the user's.
        trained: False for buffers and for variables such as moving means.
        alias: the first name of a tensor that the state dict holds twice.
    """

    name: str
    shape: Shape
    layer: str = ""
    trained: bool = True
    alias: str | None = None

    @property
    def owner(self) -> str:
        """The path of the module or layer."""
        return self.name.rpartition(".")[0]

    @property
    def attribute(self) -> str:
        """The name within the owner."""
        return self.name.rpartition(".")[2]


def _kernel(value: np.ndarray, shape: Shape) -> np.ndarray:
    """Torch's (out, in, *space) as Keras's (*space, in, out)."""
    return value.transpose(kernel_axes(value.ndim)).reshape(shape)


def _depthwise(value: np.ndarray, shape: Shape) -> np.ndarray:
    """Torch's (channels * multiplier, 1, *space) as Keras's (*space, channels, multiplier)."""
    apart = value.reshape(*shape[-2:], *value.shape[2:])
    return np.moveaxis(apart, (0, 1), (-2, -1))


def _gates(value: np.ndarray, shape: Shape) -> np.ndarray:
    """Torch's gates r, z, n as Keras's z, r, h; they lie along the last axis."""
    reset, update, new = np.split(value.reshape(shape), 3, axis=-1)
    return np.concatenate([update, reset, new], axis=-1)


def _kernel_gates(value: np.ndarray, shape: Shape) -> np.ndarray:
    return _gates(_kernel(value, shape), shape)


# What becomes of torch's array; the target's shape is given, so that heads can be taken apart.
LAYOUTS: dict[str, Callable[[np.ndarray, Shape], np.ndarray]] = {
    "same": lambda value, shape: value.reshape(shape),
    "kernel": _kernel,
    "depthwise": _depthwise,
    "gates": _gates,
    "kernel, gates": _kernel_gates,
}

# What several torch tensors become first.
COMBINATIONS: dict[str, Callable[[list[np.ndarray]], np.ndarray]] = {
    "one": lambda values: values[0],
    "sum": lambda values: np.sum(values, axis=0, dtype="float64"),
    "stack": lambda values: np.stack(values),
    "join": lambda values: np.concatenate(values),
}

_PART = re.compile(r"(?P<key>.+)\[(?P<part>\d+)/(?P<parts>\d+)\]")


def kernel_axes(rank: int) -> tuple[int, ...]:
    """The transposition from (out, in, *space) to (*space, in, out)."""
    return (*range(2, rank), 1, 0)


def part_key(key: str, part: int, parts: int) -> str:
    """The name of one of several equal parts of a tensor along its first axis, from 0."""
    return f"{key}[{part}/{parts}]"


def whole_key(key: str) -> str:
    """The state dict's key behind the name of a part."""
    found = _PART.fullmatch(key)
    return found["key"] if found else key


def read_key(state: Mapping[str, np.ndarray], key: str) -> np.ndarray:
    """A tensor of a state dict, or one of its parts.

    Raises:
        KeyError: there is no such tensor.
    """
    found = _PART.fullmatch(key)
    if found is None:
        return state[key]
    return np.split(state[found["key"]], int(found["parts"]))[int(found["part"])]


@dataclass(frozen=True)
class WeightPair:
    """One Keras variable and the torch tensors that give it its value.

    Args:
        keras: the variable's path.
        torch: keys of the state dict, `key[0/3]` for the first of three equal parts.
        layout: one of `LAYOUTS`.
        combine: one of `COMBINATIONS`.
        confidence: from 0 to 1; 1 for what the user has said.
        reason: why these two, in words.
        other_layouts: those that the shapes would also allow.
    """

    keras: str
    torch: tuple[str, ...]
    layout: str = "same"
    combine: str = "one"
    confidence: float = 1.0
    reason: str = "given"
    other_layouts: tuple[str, ...] = ()

    def value(self, state: State, shape: Shape, layout: str | None = None) -> np.ndarray:
        """What the Keras variable of this shape holds.

        Raises:
            ValueError: the tensors do not have as many numbers as the shape.
        """
        combined = COMBINATIONS[self.combine]([read_key(state, key) for key in self.torch])
        return LAYOUTS[layout or self.layout](combined, shape)
