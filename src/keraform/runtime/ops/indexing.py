"""Reading and writing `x[index]` for any index, with torch's rules, and what is close to it.

torch's rules, where NumPy's differ: integers (0-d tensors too) select before tensors index, so they
never move axes. Tensors, arrays, lists and bool masks index together; their common shape stands
where the first of them stood if they stood side by side, else in front.
"""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from keras import ops

from keraform.errors import explain
from keraform.runtime.ops import dtypes
from keraform.runtime.ops.tensors import (
    Tensor,
    as_tensor,
    index_scalar,
    is_array,
    is_tensor,
    on_jax,
    product,
    rank,
    sizes,
    transpose,
)
from keraform.runtime.tracing import is_known

FULL = builtins.slice(None)


@dataclass(frozen=True)
class Entry:
    """One part of an index: kind is "new", "int", "slice" or "tensor" (one axis each but "new")."""

    kind: str
    value: Any = None


def nonzero(input: Tensor, *, as_tuple: bool = False) -> Any:
    """Returns the places of what is not zero: int64 [n, axes], or a tuple of vectors.

    n depends on the data, which JAX cannot trace.
    """
    columns = tuple(as_tensor(column) for column in _places(input))
    return columns if as_tuple else ops.stack(columns, axis=-1)


def _places(mask: Any) -> tuple[Tensor, ...]:
    if isinstance(mask, np.ndarray):
        return tuple(column.astype(dtypes.integer()) for column in np.nonzero(mask))
    if on_jax() and not is_known(mask):
        raise ValueError(
            explain(
                "a shape that does not depend on data, since JAX is tracing",
                f"a bool index or nonzero of shape {tuple(mask.shape)}",
                "kf.where(mask, a, b), kf.masked_fill or kf.masked_scatter",
            )
        )
    mask = dtypes.to(as_tensor(mask), "bool")
    return tuple(dtypes.to(column, dtypes.integer()) for column in ops.nonzero(mask))


def _as_index(item: Any) -> Any:
    """Turns lists and arrays into integer or bool arrays, 0-d ones into numbers."""
    if isinstance(item, (list, tuple, range)):
        item = list(item)
        if any(is_tensor(part) for part in item):
            item = ops.stack([ops.cast(part, "int32") for part in item])
        else:
            item = np.asarray(item, dtype=None if item else "int64")
    if isinstance(item, np.ndarray) and item.ndim == 0:
        item = item.item()
    if isinstance(item, np.generic):
        item = item.item()
    return item


def _entries(x: Tensor, index: Any) -> list[Entry]:
    items = list(index) if isinstance(index, tuple) else [index]
    items = [
        item
        if item is None or item is Ellipsis or isinstance(item, builtins.slice)
        else _as_index(item)
        for item in items
    ]
    used = builtins.sum(_axes_used(item) for item in items)
    if used > rank(x):
        raise IndexError(
            explain(
                f"at most {rank(x)} indices for a tensor of {rank(x)} axes", f"{used}", "x[..., 0]"
            )
        )
    fill = [FULL] * (rank(x) - used)
    dots = [i for i, item in enumerate(items) if item is Ellipsis]
    if dots:
        items[dots[0] : dots[0] + 1] = fill
    else:
        items += fill
    return [entry for item in items for entry in _entry(item)]


def _axes_used(item: Any) -> int:
    if item is None or item is Ellipsis or isinstance(item, bool):
        return 0
    if is_array(item) and dtypes.name_of(item.dtype) == "bool":
        return len(item.shape)
    return 1


def _entry(item: Any) -> list[Entry]:
    if item is None:
        return [Entry("new")]
    if isinstance(item, bool):
        raise TypeError(
            explain("integers, slices, tensors, None or ...", f"x[{item}]", "x[None] or an integer")
        )
    if isinstance(item, builtins.slice):
        return [Entry("slice", _plain_slice(item))]
    if isinstance(item, int):
        return [Entry("int", item)]
    if is_array(item) and dtypes.name_of(item.dtype) == "bool":
        if len(item.shape) == 0:
            raise TypeError(
                explain("a mask with axes", "a 0-d bool tensor", "kf.where(flag, a, b)")
            )
        return [Entry("tensor", column) for column in _places(item)]
    if is_array(item) and len(item.shape) == 0:
        return [Entry("int", index_scalar(item))]
    if is_array(item):
        return [Entry("tensor", item)]
    raise TypeError(
        explain(
            "integers, slices, tensors, None or ...",
            f"{item!r} of {type(item).__name__}",
            "kf.tensor(index)",
        )
    )


def _plain_slice(item: builtins.slice) -> builtins.slice:
    parts = [
        part if part is None else index_scalar(part) for part in (item.start, item.stop, item.step)
    ]
    if isinstance(parts[2], int) and parts[2] < 1:
        raise ValueError(
            explain("a step greater than zero", f"step {parts[2]}", "ops.flip(x, axis)")
        )
    if parts[1] is not None and isinstance(parts[1], int) and parts[1] > 2**31 - 1:
        parts[1] = None
    return builtins.slice(*parts)


def getitem(input: Tensor, index: Any) -> Tensor:
    """Returns `input[index]` with torch's meaning.

    Args:
        input: Any tensor.
        index: Integers, slices (with tensor bounds on TensorFlow), None, Ellipsis, integer tensors,
            arrays and lists, bool masks, scalar tensors, or a tuple of them. Masks give a shape
            that depends on data; JAX cannot trace those.
    """
    x = as_tensor(input)
    entries = _entries(x, index)
    basic: list[Any] = []
    tensors: list[tuple[int, Any]] = []
    axis = 0
    for entry in entries:
        if entry.kind == "tensor":
            tensors.append((axis, entry.value))
        basic.append({"new": None, "tensor": FULL}.get(entry.kind, entry.value))
        axis += entry.kind != "int"
    while basic and isinstance(basic[-1], builtins.slice) and basic[-1] == FULL:
        basic.pop()
    if basic:
        x = x[tuple(basic)]
    return _take(x, tensors) if tensors else x


def _take(x: Tensor, tensors: Sequence[tuple[int, Any]]) -> Tensor:
    axes = [axis for axis, _ in tensors]
    if len(axes) == 1:
        return ops.take(x, as_tensor(tensors[0][1]), axis=axes[0])
    start = axes[0]
    if axes != list(range(start, start + len(axes))):  # apart: their common shape goes in front
        x = transpose(x, [*axes, *(a for a in range(rank(x)) if a not in axes)])
        start = 0
    shape = sizes(x)
    spanned = shape[start : start + len(axes)]
    flat = ops.reshape(x, (*shape[:start], product(spanned), *shape[start + len(axes) :]))
    return ops.take(flat, _linear([value for _, value in tensors], spanned), axis=start)


def _linear(indices: Sequence[Any], spanned: Sequence[Any]) -> Tensor:
    """Returns the flat index over axes of sizes `spanned`; negative indices count from the end."""
    total: Any = 0
    for value, size in zip(indices, spanned, strict=True):
        total = total * _width(size) + _from_front(value, size)
    return total


def _width(size: Any) -> Any:
    return size if isinstance(size, int) else dtypes.to(size, dtypes.integer())


def _from_front(value: Any, size: Any) -> Any:
    if isinstance(value, int):
        return dtypes.as_dtype(value, dtypes.integer()) + (_width(size) if value < 0 else 0)
    if isinstance(value, np.ndarray) and (value.size == 0 or value.min() >= 0):
        return as_tensor(value.astype(dtypes.integer()))
    value = dtypes.to(as_tensor(value), dtypes.integer())
    return ops.where(value < 0, value + _width(size), value)


def setitem(input: Tensor, index: Any, value: Any) -> Tensor:
    """Returns `input` with `input[index] = value`: what torch does in place, as a new tensor.

    Args:
        input: Any tensor.
        index: Any index, as for `getitem`; masks work in every graph.
        value: Number or tensor that broadcasts to `input[index]`; cast to the dtype of `input`.
    """
    x = as_tensor(input)
    value = dtypes.as_dtype(value, dtypes.name_of(x.dtype))
    masked = _single_mask(x, index)
    if masked is not None:
        mask, first, around = masked
        if all(item is Ellipsis or _is_full(item) for item in around):
            return _write_mask(x, mask, first, value)
        return setitem(x, around, _write_mask(getitem(x, around), mask, first, value))
    entries = _entries(x, index)
    while entries and entries[-1] == Entry("slice", FULL):
        entries.pop()
    shape = sizes(x)
    used = builtins.sum(entry.kind != "new" for entry in entries)
    rest = shape[used:]
    if not entries:
        return ops.broadcast_to(_fit(value, rank(x)), shape)
    places = _target(entries, shape)
    target = (*sizes(places), *rest)
    updates = ops.broadcast_to(_fit(value, len(target)), target)
    span = product(shape[:used])
    flat = ops.reshape(x, (span, *rest))
    count = product(sizes(places))
    updates = ops.reshape(updates, (count, *rest))
    written = _scatter_update(flat, ops.reshape(places, (count, 1)), updates)
    return ops.reshape(written, shape)


def _scatter_update(x: Tensor, indices: Tensor, updates: Tensor) -> Tensor:
    if dtypes.name_of(x.dtype) == "bool" and on_jax():
        written = ops.scatter_update(ops.cast(x, "int8"), indices, ops.cast(updates, "int8"))
        return ops.cast(written, "bool")
    return ops.scatter_update(x, indices, updates)


def _fit(value: Tensor, ndim: int) -> Tensor:
    """Drops leading axes of size 1 that the target does not have."""
    extra = rank(value) - ndim
    return ops.reshape(value, sizes(value)[extra:]) if extra > 0 else value


def _target(entries: Sequence[Entry], shape: Sequence[Any]) -> Tensor:
    """Returns the flat positions that the index names, in the shape of the indexed result."""
    layout = [i for i, entry in enumerate(entries) if entry.kind != "int"]
    tensors = [i for i in layout if entries[i].kind == "tensor"]
    adjacent = tensors and layout.index(tensors[-1]) - layout.index(tensors[0]) == len(tensors) - 1
    block = max((rank(entries[i].value) for i in tensors), default=0)
    before = layout.index(tensors[0]) if adjacent else 0
    others = [i for i in layout if i not in tensors]
    ndim = len(others) + block
    total: Any = dtypes.as_dtype(0, dtypes.integer())
    axis = 0
    for i, entry in enumerate(entries):
        if entry.kind == "new":
            continue
        size = shape[axis]
        axis += 1
        part = _part(entry, size)
        if entry.kind == "tensor":
            behind = ndim - before - block
            part = ops.reshape(part, (*sizes(part), *(1,) * behind))
        elif entry.kind == "slice":
            place = others.index(i)
            place += block if place >= before else 0
            part = ops.reshape(part, (-1, *(1,) * (ndim - 1 - place)))
        total = total * _width(size) + part
    missing = ndim - rank(total)
    return ops.reshape(total, (*(1,) * missing, *sizes(total))) if missing > 0 else total


def _part(entry: Entry, size: Any) -> Tensor:
    if entry.kind != "slice":
        return _from_front(entry.value, size)
    if isinstance(size, int) and all(
        p is None or isinstance(p, int)
        for p in (entry.value.start, entry.value.stop, entry.value.step)
    ):
        return as_tensor(np.arange(size, dtype=dtypes.integer())[entry.value])
    return dtypes.to(ops.arange(size, dtype="int32"), dtypes.integer())[entry.value]


def _single_mask(x: Tensor, index: Any) -> tuple[Tensor, int, tuple[Any, ...]] | None:
    """Reads an index of one bool mask among numbers, slices and Ellipsis.

    Returns:
        The mask, its first axis in what the others leave, and the index of the others; None when
        the index is of another form.
    """
    items = list(index) if isinstance(index, tuple) else [index]
    items = [
        np.asarray(i) if isinstance(i, list) and i and _is_nested_bool(i) else i for i in items
    ]
    places = [i for i, item in enumerate(items) if _is_mask(item)]
    if len(places) != 1 or builtins.any(
        not (_is_number(item) or item is Ellipsis or isinstance(item, builtins.slice))
        for i, item in enumerate(items)
        if i != places[0]
    ):
        return None
    mask = as_tensor(items[places[0]])
    before, after = items[: places[0]], items[places[0] + 1 :]
    around = (*before, *(FULL,) * rank(mask), *after)
    if builtins.any(item is Ellipsis for item in before):
        left = rank(x) - builtins.sum(_is_number(item) for item in around)
        first = left - builtins.sum(not _is_number(item) for item in after) - rank(mask)
    else:
        first = builtins.sum(not _is_number(item) for item in before)
    return mask, first, around


def _is_nested_bool(items: Any) -> bool:
    return (
        _is_nested_bool(items[0])
        if isinstance(items, list) and items
        else (isinstance(items, (bool, np.bool_)))
    )


def _is_mask(item: Any) -> bool:
    return is_array(item) and len(item.shape) > 0 and dtypes.name_of(item.dtype) == "bool"


def _is_number(item: Any) -> bool:
    if isinstance(item, bool):
        return False
    return isinstance(item, (int, np.integer)) or (is_array(item) and len(item.shape) == 0)


def _is_full(item: Any) -> bool:
    return isinstance(item, builtins.slice) and item == FULL


def _write_mask(x: Tensor, mask: Tensor, first: int, value: Tensor) -> Tensor:
    behind = rank(x) - first - rank(mask)
    spread = ops.reshape(mask, (*sizes(mask), *(1,) * behind)) if behind else mask
    if rank(value) <= behind:
        return ops.where(spread, value, x)
    if first:  # value is [before, n, behind]: bring the mask's axes to the front and back
        last, ndim = first + rank(mask), rank(x)
        value = ops.reshape(value, (*(1,) * (first + 1 + behind - rank(value)), *sizes(value)))
        if value.shape[first] == 1:
            shape = sizes(value)
            ones = (1,) * rank(mask)
            value = ops.reshape(value, (*shape[:first], *ones, *shape[first + 1 :]))
            return ops.where(spread, value, x)
        order = [*range(first, last), *range(first), *range(last, ndim)]
        value = transpose(value, [first, *range(first), *range(first + 1, rank(value))])
        written = _write_mask(transpose(x, order), mask, 0, value)
        return transpose(written, [int(axis) for axis in np.argsort(order)])
    value = _fit(value, behind + 1)
    shape = sizes(x)
    flat_mask = ops.reshape(mask, (-1,))
    order = ops.cumsum(ops.cast(flat_mask, "int32")) - 1
    rows = sizes(value)[0]
    if not isinstance(rows, int) or rows == 0:  # perhaps no element is written
        value = ops.pad(value, [(0, 1)] + [(0, 0)] * behind)
    taken = ops.take(value, ops.maximum(ops.minimum(order, rows - 1), 0), axis=0)
    taken = ops.broadcast_to(taken, (sizes(flat_mask)[0], *shape[rank(mask) :]))
    return ops.where(spread, ops.reshape(taken, shape), x)
