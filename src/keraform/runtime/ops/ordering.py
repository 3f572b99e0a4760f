"""Largest, smallest, sorted: functions that return values with their int64 indices."""

from __future__ import annotations

from typing import Any

from keras import ops

from keraform.runtime import precision
from keraform.runtime.near_ties import SORTED_BY
from keraform.runtime.ops import dtypes
from keraform.runtime.ops.reductions import ValuesAndIndices
from keraform.runtime.ops.tensors import (
    Tensor,
    as_int,
    as_tensor,
    axis_of,
    is_tensor,
    move,
    on_jax,
    rank,
    refuse,
    sizes,
)


def _orderable(x: Tensor) -> Tensor:
    return dtypes.to(x, "int32") if dtypes.name_of(x.dtype) == "bool" else x


def _sortable(x: Tensor) -> Tensor:
    """What is sorted by; in proofs values that differ by rounding alone are equal, and so keep the
    order of their places on both sides.
    """
    key = _orderable(x)
    if not (precision.lifting() and dtypes.name_of(key.dtype) == "float64"):
        return key
    scaled = key * SORTED_BY  # Dekker's splitting: 37 of 53 bits
    near = scaled - (scaled - key)
    return ops.where(ops.isfinite(near), near, key)


def _picked(x: Tensor, indices: Tensor, axis: int) -> Tensor:
    return ops.take_along_axis(x, indices, axis=axis)


def argmax(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """Returns the index (int64) of the largest element; the flat one when `dim` is None."""
    x = _orderable(as_tensor(input))
    axis = None if dim is None else axis_of(dim, rank(x))
    return dtypes.to(ops.argmax(x, axis=axis, keepdims=keepdim), dtypes.integer())


def argmin(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """Returns the index (int64) of the smallest element; the flat one when `dim` is None."""
    x = _orderable(as_tensor(input))
    axis = None if dim is None else axis_of(dim, rank(x))
    return dtypes.to(ops.argmin(x, axis=axis, keepdims=keepdim), dtypes.integer())


def max_with_indices(input: Tensor, dim: int, keepdim: bool = False) -> ValuesAndIndices:
    """Returns the largest elements along `dim` and their int64 indices (`Tensor.max(dim)`)."""
    return _extreme(as_tensor(input), dim, keepdim, ops.argmax)


def min_with_indices(input: Tensor, dim: int, keepdim: bool = False) -> ValuesAndIndices:
    """Returns the smallest elements along `dim` and their int64 indices (`Tensor.min(dim)`)."""
    return _extreme(as_tensor(input), dim, keepdim, ops.argmin)


def _extreme(x: Tensor, dim: int, keepdim: bool, find: Any) -> ValuesAndIndices:
    if rank(x) == 0:
        return ValuesAndIndices(x, ops.zeros((), dtype=dtypes.integer()))
    axis = axis_of(dim, rank(x))
    indices = ops.expand_dims(find(_orderable(x), axis=axis), axis)
    values = _picked(x, indices, axis)
    if not keepdim:
        values, indices = ops.squeeze(values, axis), ops.squeeze(indices, axis)
    return ValuesAndIndices(values, dtypes.to(indices, dtypes.integer()))


def argsort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False) -> Tensor:
    """Returns the order (int64) along `dim`; always stable, also when descending."""
    x = as_tensor(input)
    if rank(x) == 0:
        return ops.zeros((), dtype=dtypes.integer())
    axis = axis_of(dim, rank(x))
    key = _sortable(x)
    if not descending:
        return dtypes.to(ops.argsort(key, axis=axis), dtypes.integer())
    backwards = dtypes.to(ops.argsort(ops.flip(key, axis=axis), axis=axis), dtypes.integer())
    last = dtypes.as_dtype(sizes(x)[axis], dtypes.integer()) - 1
    return ops.flip(last - backwards, axis=axis)


def sort(
    input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False
) -> ValuesAndIndices:
    """Returns sorted values and their int64 indices; always stable."""
    x = as_tensor(input)
    indices = argsort(x, dim, descending)
    return ValuesAndIndices(_picked(x, indices, axis_of(dim, rank(x))) if rank(x) else x, indices)


def topk(
    input: Tensor, k: Any, dim: int = -1, largest: bool = True, sorted: bool = True
) -> ValuesAndIndices:
    """Returns the k largest (or smallest) elements along `dim`, with int64 indices.

    Equal values come in the order of their places; torch's order among them is not defined.

    Args:
        input: Numbers.
        k: How many; a scalar tensor is accepted on TensorFlow.
        dim: Axis.
        largest: False takes the smallest.
        sorted: Not used: the result is always sorted.
    """
    x = as_tensor(input)
    number = as_int(k)
    if number is None and on_jax():
        raise refuse("k as a number, since JAX is tracing", f"k={k!r}", "kf.topk(x, 5)")
    if rank(x) == 0:
        return ValuesAndIndices(x, ops.zeros((), dtype=dtypes.integer()))
    axis = axis_of(dim, rank(x))
    moved = move(x, axis, -1)
    key = _sortable(moved)
    if not largest:
        key = -key if dtypes.is_floating(key) else -1 - key
    count = number if number is not None else dtypes.to(k, "int32")
    values, indices = ops.top_k(key, count)
    if precision.lifting():
        values = _picked(moved, indices, -1)
    elif not largest:
        values = -values if dtypes.is_floating(key) else -1 - values
    values = dtypes.to(values, dtypes.name_of(x.dtype))
    return ValuesAndIndices(
        move(values, -1, axis), dtypes.to(move(indices, -1, axis), dtypes.integer())
    )


def kthvalue(input: Tensor, k: int, dim: int = -1, keepdim: bool = False) -> ValuesAndIndices:
    """Returns the k-th smallest element along `dim` (k counts from 1) and its int64 index."""
    x = as_tensor(input)
    values, indices = sort(x, dim)
    return _nth(values, indices, k - 1, axis_of(dim, rank(x)), keepdim)


def median(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """Returns the lower median: of all elements, or along `dim` with int64 indices."""
    x = as_tensor(input)
    if dim is None:
        return median(ops.reshape(x, (-1,)), 0).values
    axis = axis_of(dim, rank(x))
    values, indices = sort(x, axis)
    return _nth(values, indices, (sizes(x)[axis] - 1) // 2, axis, keepdim)


def _nth(values: Tensor, indices: Tensor, place: Any, axis: int, keepdim: bool) -> ValuesAndIndices:
    place = place if is_tensor(place) else ops.convert_to_tensor(place, dtype="int32")
    values, indices = ops.take(values, place, axis=axis), ops.take(indices, place, axis=axis)
    if keepdim:
        values, indices = ops.expand_dims(values, axis), ops.expand_dims(indices, axis)
    return ValuesAndIndices(values, indices)


def cummax(input: Tensor, dim: int) -> ValuesAndIndices:
    """Returns running maxima and where the latest of each stands (int64)."""
    return _running(as_tensor(input), dim, 1)


def cummin(input: Tensor, dim: int) -> ValuesAndIndices:
    """Returns running minima and where the latest of each stands (int64)."""
    return _running(as_tensor(input), dim, -1)


def _running(x: Tensor, dim: int, sign: int) -> ValuesAndIndices:
    axis = axis_of(dim, rank(x))
    length = sizes(x)[axis]
    places = ops.reshape(ops.arange(length, dtype="int32"), (-1,) + (1,) * (rank(x) - 1 - axis))
    places = ops.broadcast_to(places, sizes(x))

    def later(left: Any, right: Any) -> Any:
        take_right = right[0] * sign >= left[0] * sign
        return (ops.where(take_right, right[0], left[0]), ops.where(take_right, right[1], left[1]))

    values, indices = ops.associative_scan(later, (x, places), axis=axis)
    return ValuesAndIndices(values, dtypes.to(indices, dtypes.integer()))


def searchsorted(
    sorted_sequence: Tensor, input: Any, *, right: bool = False, side: str | None = None
) -> Tensor:
    """Returns how many entries of the last axis are below each value of `input` (int64).

    Args:
        sorted_sequence: Ascending numbers [n], or [..., n] with the leading axes of `input`.
        input: Numbers of any shape, or [..., m].
        right: Whether entries equal to a value count too.
        side: "left" or "right", torch's other name of `right`.
    """
    right = right if side is None else side == "right"
    bounds, values = as_tensor(sorted_sequence), as_tensor(input)
    below = ops.less_equal if right else ops.less
    bounds, values = dtypes.promote(bounds, values)
    if rank(bounds) == 1:
        counted = below(bounds, ops.expand_dims(values, -1))
    else:
        counted = below(ops.expand_dims(bounds, -2), ops.expand_dims(values, -1))
    return ops.sum(dtypes.to(counted, dtypes.integer()), axis=-1)


def bucketize(input: Any, boundaries: Tensor, *, right: bool = False) -> Tensor:
    """Returns the index (int64) of the interval of `boundaries` [n] that each value lies in."""
    return searchsorted(boundaries, input, right=right)
