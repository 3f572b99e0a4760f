"""Padding with torch's pairs: the last axis comes first, negative numbers cut."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

from keraform.runtime.ops import dtypes
from keraform.runtime.ops.tensors import (
    Tensor,
    as_tensor,
    flat_sizes,
    rank,
    refuse,
    sizes,
)


def pad(input: Tensor, pad: Sequence[Any], mode: str = "constant", value: Any = None) -> Tensor:
    """Pads the last axes.

    Args:
        input: Any tensor.
        pad: Pairs (before, after), that of the last axis first; negative numbers cut.
        mode: "constant", "reflect", "replicate" or "circular".
        value: What "constant" fills with; 0 when left out.
    """
    x = as_tensor(input)
    given = flat_sizes((pad,))
    if mode not in ("constant", "reflect", "replicate", "circular"):
        raise refuse(
            'mode "constant", "reflect", "replicate" or "circular"', repr(mode), 'mode="constant"'
        )
    if len(given) % 2 or len(given) > 2 * rank(x):
        raise refuse(
            "a pair of numbers for each of the last axes", f"pad={given}", "kf.pad(x, (1, 1))"
        )
    pairs = [(0, 0)] * (rank(x) - len(given) // 2)
    pairs += [(given[i], given[i + 1]) for i in range(len(given) - 2, -1, -2)]
    x, pairs = _cropped(x, pairs)
    if not builtins.any(_is_some(n) for pair in pairs for n in pair):
        return x
    if mode == "constant":
        return pad_constant(x, pairs, 0 if value is None else value)
    return pad_edges(x, pairs, mode)


def pad_constant(x: Tensor, pairs: Sequence[tuple[Any, Any]], value: Any = 0) -> Tensor:
    """Pads with one value, one pair for each axis."""
    name = dtypes.name_of(x.dtype)
    if name == "bool":
        return ops.cast(pad_constant(ops.cast(x, "int8"), pairs, int(bool(value))), "bool")
    if not isinstance(value, (int, float)):
        filled = dtypes.as_dtype(value, name)
    else:
        filled = float(value) if dtypes.category(name) == "float" else int(value)
    return ops.pad(x, list(pairs), mode="constant", constant_values=filled)


def pad_edges(x: Tensor, pairs: Sequence[tuple[Any, Any]], mode: str) -> Tensor:
    """Pads by reading inside again: "reflect", "replicate" or "circular"."""
    shape = sizes(x)
    for axis, (before, after) in enumerate(pairs):
        if not (_is_some(before) or _is_some(after)):
            continue
        size = shape[axis]
        if builtins.all(isinstance(n, int) for n in (before, after, size)):
            if mode == "reflect" and max(before, after) >= size:
                raise refuse(
                    f"reflect padding below the size {size} of axis {axis}",
                    f"({before}, {after})",
                    'mode="replicate"',
                )
            places: Any = _inside(np.arange(-before, size + after), size, mode, np)
        else:
            places = _inside(
                ops.arange(before + size + after, dtype="int32") - before, size, mode, ops
            )
        x = ops.take(x, as_tensor(places), axis=axis)
    return x


def _inside(places: Any, size: Any, mode: str, numeric: Any) -> Any:
    if mode == "replicate":
        return numeric.minimum(numeric.maximum(places, 0), size - 1)
    if mode == "circular":
        return numeric.mod(places, size)
    return (size - 1) - numeric.abs((size - 1) - numeric.abs(places))


def _is_some(number: Any) -> bool:
    return not (isinstance(number, int) and number == 0)


def _cropped(x: Tensor, pairs: Sequence[tuple[Any, Any]]) -> tuple[Tensor, list[tuple[Any, Any]]]:
    def cut(number: Any) -> int:
        return -number if isinstance(number, int) and number < 0 else 0

    if builtins.any(cut(n) for pair in pairs for n in pair):
        x = x[tuple(builtins.slice(cut(a), -cut(b) if cut(b) else None) for a, b in pairs)]
    return x, [(0 if cut(a) else a, 0 if cut(b) else b) for a, b in pairs]


def pad_sequence(
    sequences: Sequence[Tensor],
    batch_first: bool = False,
    padding_value: float = 0.0,
    padding_side: str = "right",
) -> Tensor:
    """Stacks tensors [n_i, ...] after filling them up to the longest.

    Args:
        sequences: Tensors that differ in the size of their first axis only.
        batch_first: Whether the result is [b, n, ...], else [n, b, ...].
        padding_value: What is filled in.
        padding_side: "right" or "left".
    """
    if padding_side not in ("right", "left"):
        raise refuse('padding_side "right" or "left"', repr(padding_side), 'padding_side="left"')
    made = [as_tensor(each) for each in sequences]
    lengths = [sizes(each)[0] for each in made]
    if all(isinstance(length, int) for length in lengths):
        longest: Any = max(lengths)
    else:
        longest = ops.max(ops.stack([ops.cast(length, "int32") for length in lengths]))
    filled = []
    for each, length in zip(made, lengths, strict=True):
        room = longest - length
        width = [0, room] if padding_side == "right" else [room, 0]
        rest = [[0, 0]] * (rank(each) - 1)
        filled.append(ops.pad(each, [width, *rest], constant_values=padding_value))
    return ops.stack(filled, axis=0 if batch_first else 1)
