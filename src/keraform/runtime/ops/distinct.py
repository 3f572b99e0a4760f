"""The distinct values of a tensor; how many depends on the data, which JAX cannot trace."""

from __future__ import annotations

from typing import Any

from keras import ops

from keraform.runtime.ops import dtypes
from keraform.runtime.ops.indexing import nonzero
from keraform.runtime.ops.ordering import argsort
from keraform.runtime.ops.reductions import any as any_of
from keraform.runtime.ops.tensors import (
    Tensor,
    as_tensor,
    axis_of,
    move,
    on_jax,
    rank,
    refuse,
    sizes,
)
from keraform.runtime.tracing import is_known


def unique_consecutive(
    input: Tensor,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Any:
    """Returns the values without immediate repetitions (and int64 inverse and counts)."""
    x = as_tensor(input)
    if on_jax() and not is_known(x):
        raise refuse(
            "values that can be read now: the length of the result depends on them",
            "a traced JAX tensor",
            "call the function outside jax.jit",
        )
    flat = ops.reshape(x, (-1,)) if dim is None else move(x, axis_of(dim, rank(x)), 0)
    changed = ops.not_equal(flat[1:], flat[:-1])
    if rank(flat) > 1:
        changed = any_of(changed, tuple(range(1, rank(flat))))
    first = (
        ops.concatenate([ops.ones_like(changed[:1]), changed])
        if flat.shape[0] != 1
        else (ops.ones((1,), dtype="bool"))
    )
    (starts,) = nonzero(first, as_tuple=True)
    values = ops.take(flat, starts, axis=0)
    results = [values if dim is None else move(values, 0, axis_of(dim, rank(x)))]
    if return_inverse:
        inverse = dtypes.to(ops.cumsum(ops.cast(first, "int32")) - 1, dtypes.integer())
        results.append(ops.reshape(inverse, sizes(x)) if dim is None else inverse)
    if return_counts:
        ends = ops.concatenate(
            [starts[1:], dtypes.as_dtype(sizes(flat)[0], dtypes.integer())[None]]
        )
        results.append(ends - starts)
    return results[0] if len(results) == 1 else tuple(results)


def unique(
    input: Tensor,
    sorted: bool = True,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Any:
    """Returns the distinct values in ascending order (and int64 inverse and counts).

    Args:
        input: Numbers.
        sorted: Not used: the result is always sorted.
        return_inverse: Whether to tell where each element of `input` went.
        return_counts: Whether to tell how often each value stood there.
        dim: Axis whose slices are compared as a whole; None compares all elements.
    """
    x = as_tensor(input)
    axis = None if dim is None else axis_of(dim, rank(x))
    flat = ops.reshape(x, (-1,)) if axis is None else move(x, axis, 0)
    order = _order_of_rows(flat)
    found = unique_consecutive(
        ops.take(flat, order, axis=0),
        return_inverse,
        return_counts,
        None if rank(flat) == 1 else 0,
    )
    if not return_inverse and not return_counts:
        return found if axis is None else move(found, 0, axis)
    values, *rest = found
    results = [values if axis is None else move(values, 0, axis)]
    if return_inverse:
        inverse = ops.take(rest[0], argsort(order), axis=0)
        results.append(ops.reshape(inverse, sizes(x)) if axis is None else inverse)
    if return_counts:
        results.append(rest[-1])
    return tuple(results)


def _order_of_rows(x: Tensor) -> Tensor:
    """The stable ascending order of the rows, the first column counting most."""
    if rank(x) == 1:
        return argsort(x)
    columns = ops.reshape(x, (sizes(x)[0], -1))
    order: Any = ops.arange(sizes(x)[0], dtype="int32")
    for column in range(columns.shape[1] - 1, -1, -1):
        order = ops.take(order, argsort(ops.take(columns[:, column], order, axis=0)), axis=0)
    return order
