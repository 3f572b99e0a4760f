"""Reading and writing slices along an axis, or where a mask or an index says."""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np
from keras import ops

from keraform.runtime.ops import dtypes
from keraform.runtime.ops.indexing import FULL, _scatter_update, getitem
from keraform.runtime.ops.tensors import (
    Tensor,
    as_tensor,
    axis_of,
    index_scalar,
    is_array,
    move,
    product,
    rank,
    refuse,
    sizes,
    static_sizes,
)


def select(input: Tensor, dim: int, index: Any) -> Tensor:
    """Returns one slice along `dim`, without the axis."""
    axis = axis_of(dim, rank(input))
    return getitem(input, (*(FULL,) * axis, index))


def narrow(input: Tensor, dim: int, start: Any, length: Any) -> Tensor:
    """Returns `length` slices along `dim`, from `start` on."""
    axis = axis_of(dim, rank(input))
    start, length = index_scalar(start), index_scalar(length)
    if isinstance(start, int) and start < 0:
        start = start + sizes(input)[axis]
    return getitem(input, (*(FULL,) * axis, builtins.slice(start, start + length)))


def index_select(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """Returns the slices along `dim` that a vector of indices names."""
    return ops.take(input, ops.reshape(index, (-1,)), axis=axis_of(dim, rank(input)))


def masked_select(input: Tensor, mask: Tensor) -> Tensor:
    """Returns the elements where `mask` is True, as a vector whose length depends on the data."""
    shape = ops.shape(ops.logical_or(mask, ops.zeros_like(input, dtype="bool")))
    return getitem(ops.broadcast_to(input, shape), ops.broadcast_to(mask, shape))


def gather(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """Returns `input` read along `dim` at `index`, which may be smaller in the other axes."""
    x = as_tensor(input)
    index = dtypes.to(as_tensor(index), dtypes.integer())
    if rank(x) == 0 or rank(index) == 0:
        shape = sizes(index)
        return ops.reshape(ops.take(ops.reshape(x, (-1,)), ops.reshape(index, (-1,))), shape)
    axis = axis_of(dim, rank(x))
    return ops.take_along_axis(_cut(x, index, axis), index, axis=axis)


def _cut(x: Tensor, index: Tensor, axis: int | None) -> Tensor:
    """Cuts `x` to the sizes of `index`, but for `axis`."""
    have, want = static_sizes(x), static_sizes(index)
    small = [a for a in range(rank(x)) if a != axis and (have[a] is None or have[a] != want[a])]
    if not small:
        return x
    shape = sizes(index)
    return x[
        tuple(
            builtins.slice(shape[a]) if a in small else builtins.slice(None) for a in range(rank(x))
        )
    ]


def take_along_dim(input: Tensor, indices: Tensor, dim: int | None = None) -> Tensor:
    """Returns `input` read along `dim` at `indices`; the other axes broadcast."""
    axis = None if dim is None else axis_of(dim, rank(input))
    if axis is None:
        return ops.take(ops.reshape(input, (-1,)), ops.reshape(indices, (-1,)))
    return ops.take_along_axis(input, indices, axis=axis)


def _flat_places(index: Tensor, axis: int, shape: Any) -> Tensor:
    """Returns the flat position in a tensor of `shape` of each element of `index`."""
    total: Any = 0
    spans = sizes(index)
    for a, size in enumerate(shape):
        if a == axis:
            part = dtypes.to(index, dtypes.integer())
        elif isinstance(spans[a], int):
            part = as_tensor(np.arange(spans[a], dtype=dtypes.integer()))
        else:
            part = dtypes.to(ops.arange(spans[a], dtype="int32"), dtypes.integer())
        if a != axis:
            part = ops.reshape(part, (-1, *(1,) * (len(shape) - 1 - a)))
        wide = size if isinstance(size, int) else dtypes.to(size, dtypes.integer())
        total = total * wide + part
    return total


def _scattered(input: Tensor, dim: int, index: Tensor, src: Any, how: str | None) -> Tensor:
    x, index = as_tensor(input), as_tensor(index)
    if rank(x) == 0:
        made = _scattered(
            ops.reshape(x, (1,)),
            0,
            ops.reshape(index, (-1,)),
            ops.reshape(src, (-1,)) if is_array(src) else src,
            how,
        )
        return ops.reshape(made, ())
    axis, shape = axis_of(dim, rank(x)), sizes(x)
    src = dtypes.as_dtype(src, dtypes.name_of(x.dtype))
    src = _cut(src, index, None) if rank(src) else ops.broadcast_to(src, sizes(index))
    count = product(sizes(index))
    places = ops.reshape(_flat_places(index, axis, shape), (count, 1))
    flat, updates = ops.reshape(x, (product(shape),)), ops.reshape(src, (count,))
    if how is None:
        written = _scatter_update(flat, places, updates)
    else:
        written = ops.scatter_update(flat, places, updates, reduction=how)
    return ops.reshape(written, shape)


def scatter(
    input: Tensor,
    dim: int,
    index: Tensor,
    src: Any = None,
    value: Any = None,
    *,
    reduce: str | None = None,
) -> Tensor:
    """Returns `input` with `src` written along `dim` at `index`.

    Args:
        input: Tensor to write into.
        dim: Axis that `index` counts along.
        index: Integers of as many axes; may be smaller than `input` and `src`.
        src: Tensor or number.
        value: Number; torch's other name for it.
        reduce: None to set, "add" or "multiply".
    """
    given = value if src is None else src
    how = {None: None, "add": "add", "multiply": "mul"}
    if reduce not in how:
        raise refuse('reduce None, "add" or "multiply"', repr(reduce), "kf.scatter_reduce")
    return _scattered(input, dim, index, given, how[reduce])


def scatter_add(input: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """Returns `input` with `src` added along `dim` at `index`; repeated places add up."""
    return _scattered(input, dim, index, src, "add")


REDUCTIONS: dict[str, str] = {
    "sum": "add",
    "mean": "add",
    "prod": "mul",
    "amax": "max",
    "amin": "min",
}


def scatter_reduce(
    input: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str, *, include_self: bool = True
) -> Tensor:
    """Returns `input` with `src` reduced into it along `dim` at `index`.

    Args:
        input: Tensor to reduce into.
        dim: Axis that `index` counts along.
        index: Integers of as many axes.
        src: Values.
        reduce: "sum", "prod", "mean", "amax" or "amin".
        include_self: Whether the values of `input` take part.
    """
    if reduce not in REDUCTIONS:
        raise refuse(f"reduce among {sorted(REDUCTIONS)}", repr(reduce), 'reduce="sum"')
    x = as_tensor(input)
    start = x
    if not include_self:
        start = _scattered(x, dim, index, _neutral(reduce, x), None)
    made = _scattered(start, dim, index, src, REDUCTIONS[reduce])
    if reduce != "mean":
        return made
    counts = ops.ones_like(x) if include_self else ops.zeros_like(x)
    counts = ops.maximum(_scattered(counts, dim, index, 1, "add"), 1)
    return made / counts if dtypes.is_floating(x) else ops.floor_divide(made, counts)


def _neutral(reduce: str, x: Tensor) -> Any:
    name = dtypes.name_of(x.dtype)
    if reduce in ("sum", "mean"):
        return 0
    if reduce == "prod":
        return 1
    if dtypes.category(name) == "float":
        return float("-inf") if reduce == "amax" else float("inf")
    limits = dtypes.iinfo(name)
    return limits.min if reduce == "amax" else limits.max


def _along_first(input: Tensor, dim: int, index: Tensor, source: Tensor, how: str | None) -> Tensor:
    x = as_tensor(input)
    axis = axis_of(dim, rank(x))
    index = dtypes.to(as_tensor(index), dtypes.integer())
    count = product(sizes(index))
    places = ops.reshape(index, (count, 1))
    front = move(x, axis, 0)
    source = ops.broadcast_to(source, (*sizes(x)[:axis], count, *sizes(x)[axis + 1 :]))
    updates = move(source, axis, 0)
    if how is None:
        written = _scatter_update(front, places, updates)
    else:
        written = ops.scatter_update(front, places, updates, reduction=how)
    return move(written, 0, axis)


def index_add(input: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: Any = 1) -> Tensor:
    """Returns `input` with `alpha * source` added to the slices along `dim` that `index` names."""
    source = dtypes.to(as_tensor(source), dtypes.name_of(input.dtype))
    return _along_first(input, dim, index, source if alpha == 1 else source * alpha, "add")


def index_copy(input: Tensor, dim: int, index: Tensor, source: Tensor) -> Tensor:
    """Returns `input` with the slices along `dim` that `index` names set to `source`."""
    source = dtypes.to(as_tensor(source), dtypes.name_of(input.dtype))
    return _along_first(input, dim, index, source, None)


def index_fill(input: Tensor, dim: int, index: Tensor, value: Any) -> Tensor:
    """Returns `input` with the slices along `dim` that `index` names set to one value."""
    return _along_first(
        input, dim, index, dtypes.as_dtype(value, dtypes.name_of(input.dtype)), None
    )


def masked_fill(input: Tensor, mask: Tensor, value: Any) -> Tensor:
    """Returns `input` with `value` where `mask` is True; keeps the dtype of `input`."""
    x = as_tensor(input)
    filled = dtypes.as_dtype(value, dtypes.name_of(x.dtype))
    return ops.where(dtypes.to(as_tensor(mask), "bool"), filled, x)


def masked_scatter(input: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    """Returns `input` with the elements where `mask` is True set to those of `source`, in order."""
    x = as_tensor(input)
    source = dtypes.to(as_tensor(source), dtypes.name_of(x.dtype))
    mask = dtypes.to(as_tensor(mask), "bool")
    shape = sizes(x)
    mask = ops.broadcast_to(mask, shape)
    flat = ops.reshape(source, (-1,))
    if 0 in static_sizes(source) or None in static_sizes(source):
        flat = ops.concatenate(
            [flat, ops.zeros((1,), dtype=flat.dtype)]
        )  # an empty one is read too
    order = ops.cumsum(ops.cast(ops.reshape(mask, (-1,)), "int32")) - 1
    order = ops.maximum(ops.minimum(order, sizes(flat)[0] - 1), 0)
    taken = ops.reshape(ops.take(flat, order, axis=0), shape)
    return ops.where(mask, taken, x)
