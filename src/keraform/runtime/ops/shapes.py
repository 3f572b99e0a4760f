"""Functions that rearrange a tensor, where Keras has none or means something else."""

from __future__ import annotations

import builtins
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

from keraform.errors import explain
from keraform.runtime.ops import dtypes, tensors
from keraform.runtime.ops.tensors import (
    Tensor,
    as_int,
    as_tensor,
    axis_of,
    flat_sizes,
    index_scalar,
    is_array,
    move,
    product,
    rank,
    refuse,
    scalar,
    sizes,
    static_sizes,
)


def expand(input: Tensor, *size: Any) -> Tensor:
    """Broadcasts to the given sizes; -1 keeps a size, new axes come in front."""
    x = as_tensor(input)
    wanted = flat_sizes(size)
    have = (None,) * (len(wanted) - rank(x)) + sizes(x)
    target = [
        own if isinstance(new, int) and new == -1 else new
        for new, own in zip(wanted, have, strict=True)
    ]
    return ops.broadcast_to(x, tuple(target))


def expand_as(input: Tensor, other: Tensor) -> Tensor:
    """Broadcasts to the shape of `other`."""
    return ops.broadcast_to(input, sizes(other))


def repeat(input: Tensor, *repeats: Any) -> Tensor:
    """Tiles (Tensor.repeat): one number for each axis, new axes in front."""
    x = as_tensor(input)
    counts = flat_sizes(repeats)
    if len(counts) < rank(x):
        raise refuse(
            f"at least {rank(x)} numbers, one for each axis",
            f"{counts}",
            "kf.tile, which fills up with ones in front",
        )
    missing = len(counts) - rank(x)
    x = ops.reshape(x, (*(1,) * missing, *sizes(x))) if missing else x
    return ops.tile(x, counts) if builtins.any(_not_one(c) for c in counts) else x


def tile(input: Tensor, *dims: Any) -> Tensor:
    """Tiles; missing numbers are ones in front."""
    counts = flat_sizes(dims)
    return repeat(input, *(1,) * (rank(input) - len(counts)), *counts)


def _not_one(count: Any) -> bool:
    return not (isinstance(count, int) and count == 1)


def repeat_interleave(
    input: Tensor, repeats: Any = None, dim: int | None = None, *, output_size: int | None = None
) -> Tensor:
    """Repeats each element along `dim` (flattened when None).

    Args:
        input: Tensor; alone it is the counts, and the result their indices.
        repeats: An int, or a vector with a count for each element. A vector gives a length that
            depends on data: JAX can trace it only with `output_size`.
        dim: Axis.
        output_size: Length of the result along `dim`, when it is known.
    """
    if repeats is None:
        counts = as_tensor(input)
        input = ops.arange(sizes(counts)[0], dtype=dtypes.integer())
        return repeat_interleave(input, counts, 0, output_size=output_size)
    x = as_tensor(input)
    if dim is None:
        x, dim = ops.reshape(x, (-1,)), 0
    axis = axis_of(dim, rank(x))
    number = (
        None
        if is_array(repeats) and len(repeats.shape)
        else index_scalar(
            repeats[0] if isinstance(repeats, (list, tuple)) and len(repeats) == 1 else repeats
        )
        if not isinstance(repeats, (list, tuple)) or len(repeats) == 1
        else None
    )
    if number is not None:
        shape = sizes(x)
        wide = ops.broadcast_to(
            ops.expand_dims(x, axis + 1), (*shape[: axis + 1], number, *shape[axis + 1 :])
        )
        return ops.reshape(wide, (*shape[:axis], shape[axis] * number, *shape[axis + 1 :]))
    counts = ops.cast(
        as_tensor(np.asarray(repeats) if isinstance(repeats, (list, tuple)) else repeats), "int32"
    )
    if product(sizes(counts)) == 1 if isinstance(product(sizes(counts)), int) else False:
        counts = ops.broadcast_to(counts, (sizes(x)[axis],))
    if output_size is None:
        return ops.repeat(x, counts, axis=axis)
    ends = ops.cumsum(counts)
    places = ops.searchsorted(ends, ops.arange(output_size, dtype="int32"), side="right")
    return ops.take(x, places, axis=axis)


def chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """Cuts into at most `chunks` parts of one size, the last of which may be smaller."""
    x = as_tensor(input)
    axis = axis_of(dim, rank(x))
    size = sizes(x)[axis]
    if isinstance(size, int):
        step = max(1, -(-size // chunks))
        return _cut(x, axis, [min(step, size - at) for at in range(0, max(size, 1), step)])
    step = (
        size + chunks - 1
    ) // chunks  # the number of parts must be static: the last may be empty
    before = (builtins.slice(None),) * axis
    return tuple(x[(*before, builtins.slice(i * step, (i + 1) * step))] for i in range(chunks))


def split(input: Tensor, split_size_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Cuts into parts of one size (the last may be smaller), or of the sizes in a list."""
    x = as_tensor(input)
    axis = axis_of(dim, rank(x))
    given = split_size_or_sections
    if is_array(given) and len(given.shape):
        given = [given[i] for i in range(given.shape[0])]
    if isinstance(given, (list, tuple)):
        return _cut(x, axis, [index_scalar(size) for size in given])
    step = scalar(given, "split_size", "it gives the number of parts")
    size = scalar(sizes(x)[axis], f"size of axis {axis}", "it gives the number of parts")
    return _cut(x, axis, [min(step, size - at) for at in range(0, max(size, 1), step)])


def _cut(x: Tensor, axis: int, lengths: Sequence[Any]) -> tuple[Tensor, ...]:
    size = static_sizes(x)[axis]
    if builtins.all(isinstance(length, int) for length in lengths):
        total = builtins.sum(lengths)
        if size is not None and total != size:
            raise refuse(
                f"sections that sum to {size}",
                f"{list(lengths)} (sum {total})",
                f"kf.split(x, [{size}], dim={axis})",
            )
        if len(lengths) == 1:
            return (x,)
    if size is not None and builtins.all(isinstance(length, int) for length in lengths):
        cuts = [int(at) for at in np.cumsum(lengths)[:-1]]
        return tuple(ops.split(x, cuts, axis=axis))
    parts, at = [], 0
    before = (builtins.slice(None),) * axis
    for length in lengths:
        parts.append(x[(*before, builtins.slice(at, at + length))])
        at = at + length
    return tuple(parts)


def tensor_split(input: Tensor, indices_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Cuts at indices, or into a number of parts whose sizes differ by at most 1."""
    x = as_tensor(input)
    axis = axis_of(dim, rank(x))
    if isinstance(indices_or_sections, int):
        size = scalar(sizes(x)[axis], f"size of axis {axis}", "it gives the sizes of the parts")
        small, extra = divmod(size, indices_or_sections)
        return _cut(x, axis, [small + (i < extra) for i in range(indices_or_sections)])
    bounds = [None, *(index_scalar(i) for i in flat_sizes((indices_or_sections,))), None]
    before = (builtins.slice(None),) * axis
    return tuple(x[(*before, builtins.slice(a, b))] for a, b in itertools.pairwise(bounds))


def unbind(input: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """Returns the slices along `dim`, without the axis."""
    axis = axis_of(dim, rank(input))
    scalar(sizes(input)[axis], f"size of axis {axis}", "it gives the number of slices")
    return tuple(ops.unstack(input, axis=axis))


def unfold(input: Tensor, dimension: int, size: int, step: int) -> Tensor:
    """Returns windows along an axis (Tensor.unfold): their number stands there, their size last."""
    x = as_tensor(input)
    axis = axis_of(dimension, rank(x), "dimension")
    length = sizes(x)[axis]
    if isinstance(length, int):
        count = (length - size) // step + 1
        if count < 1:
            raise refuse(f"size at most {length}", f"size={size}", f"size={length}")
        places = as_tensor(np.arange(count)[:, None] * step + np.arange(size))
    else:
        starts = ops.arange((length - size) // step + 1, dtype="int32") * step
        places = ops.expand_dims(starts, 1) + ops.arange(size, dtype="int32")
    return move(ops.take(x, places, axis=axis), axis + 1, -1)


def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Joins the axes from `start_dim` to `end_dim` into one."""
    x = as_tensor(input)
    if rank(x) == 0:
        return ops.reshape(x, (1,))
    first, last = axis_of(start_dim, rank(x)), axis_of(end_dim, rank(x))
    if first > last:
        raise refuse(
            "start_dim not behind end_dim",
            f"start_dim={start_dim}, end_dim={end_dim}",
            "kf.flatten(x, 1)",
        )
    shape = sizes(x)
    return ops.reshape(x, (*shape[:first], product(shape[first : last + 1]), *shape[last + 1 :]))


def unflatten(input: Tensor, dim: int, sizes: Any) -> Tensor:
    """Splits one axis into several; one of their sizes may be -1."""
    x = as_tensor(input)
    axis = axis_of(dim, rank(x))
    shape, parts = tensors.sizes(x), flat_sizes((sizes,))
    known = [p for p in parts if not (isinstance(p, int) and p == -1)]
    filled = [shape[axis] // product(known) if isinstance(p, int) and p == -1 else p for p in parts]
    return ops.reshape(x, (*shape[:axis], *filled, *shape[axis + 1 :]))


def squeeze(input: Tensor, dim: Any = None) -> Tensor:
    """Drops axes of size 1; a named axis of another size (or an unknown one) stays."""
    x = as_tensor(input)
    chosen = (
        range(rank(x))
        if dim is None
        else ([axis_of(d, rank(x)) for d in (dim if isinstance(dim, (tuple, list)) else [dim])])
    )
    ones = tuple(axis for axis in chosen if rank(x) and static_sizes(x)[axis] == 1)
    return ops.squeeze(x, ones) if ones else x


def movedim(input: Tensor, source: Any, destination: Any) -> Tensor:
    """Moves axes; the others keep their order."""
    return ops.moveaxis(input, source, destination)


def t(input: Tensor) -> Tensor:
    """Transposes a matrix; tensors with fewer axes stay."""
    if rank(input) > 2:
        raise ValueError(
            explain("at most 2 axes", f"shape {tuple(input.shape)}", "ops.swapaxes(x, -1, -2)")
        )
    return ops.transpose(input) if rank(input) == 2 else input


def meshgrid(*tensors: Tensor, indexing: str = "ij") -> tuple[Tensor, ...]:
    """Returns coordinate grids; torch's default is "ij", Keras's "xy"."""
    if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)):
        tensors = tuple(tensors[0])
    return tuple(ops.meshgrid(*tensors, indexing=indexing))


def cartesian_prod(*tensors: Tensor) -> Tensor:
    """Returns all combinations of the elements of vectors, one a row."""
    if len(tensors) == 1:
        return as_tensor(tensors[0])
    grids = ops.meshgrid(*dtypes.promote(*tensors), indexing="ij")
    return ops.stack([ops.reshape(grid, (-1,)) for grid in grids], axis=-1)


def cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Joins along an axis, in torch's common dtype; empty vectors are left out."""
    made = [as_tensor(x) for x in tensors]
    parts = [x for x in made if static_sizes(x) != (0,)] or made[:1]
    ndim = rank(parts[0])
    return ops.concatenate(dtypes.promote(*parts), axis=axis_of(dim, ndim))


def stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Joins on a new axis, in torch's common dtype."""
    parts = dtypes.promote(*(as_tensor(x) for x in tensors))
    return ops.stack(parts, axis=axis_of(dim, rank(parts[0]) + 1))


def roll(input: Tensor, shifts: Any, dims: Any = None) -> Tensor:
    """Shifts along axes, what falls off comes back in front."""
    return ops.roll(input, shifts, axis=dims)


def tril(input: Tensor, diagonal: Any = 0) -> Tensor:
    """Keeps what stands on or below a diagonal; the others become zero (False)."""
    return _triangle(input, diagonal, lower=True)


def triu(input: Tensor, diagonal: Any = 0) -> Tensor:
    """Keeps what stands on or above a diagonal; the others become zero (False)."""
    return _triangle(input, diagonal, lower=False)


def _triangle(input: Tensor, diagonal: Any, lower: bool) -> Tensor:
    x = as_tensor(input)
    rows, columns = sizes(x)[-2:]
    diagonal = index_scalar(diagonal)
    offset = ops.expand_dims(ops.arange(columns, dtype="int32"), 0) - ops.expand_dims(
        ops.arange(rows, dtype="int32"), 1
    )
    keep = offset <= diagonal if lower else offset >= diagonal
    return ops.where(keep, x, ops.zeros((), dtype=x.dtype))


def view_as(input: Tensor, other: Tensor) -> Tensor:
    """Reshapes to the shape of `other`."""
    return ops.reshape(input, sizes(other))


def numel(input: Tensor) -> Any:
    """Returns the number of elements: an int where it is static."""
    return product(sizes(as_tensor(input)))


def as_strided(input: Tensor, size: Any, stride: Any, storage_offset: int = 0) -> Tensor:
    """Reads the elements in row-major order at strides (torch's of a contiguous tensor)."""
    x = ops.reshape(as_tensor(input), (-1,))
    places: Any = as_int(storage_offset) or 0
    counts = flat_sizes((size,))
    for axis, (count, step) in enumerate(zip(counts, flat_sizes((stride,)), strict=True)):
        part = ops.arange(count, dtype="int32") * step
        places = places + ops.reshape(part, (-1, *(1,) * (len(counts) - 1 - axis)))
    return ops.take(x, places, axis=0)


def strides(input: Tensor) -> tuple[Any, ...]:
    """Returns the strides of the elements in row-major order (torch's of a contiguous tensor)."""
    shape = sizes(as_tensor(input))
    return tuple(product(shape[axis + 1 :]) for axis in range(len(shape)))


def broadcast_tensors(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Returns the tensors in their common shape."""
    made = [as_tensor(each) for each in tensors]
    common: Any = ops.zeros((), dtype="bool")
    for each in made:
        common = ops.logical_or(common, ops.zeros_like(each, dtype="bool"))
    return tuple(ops.broadcast_to(each, sizes(common)) for each in made)
