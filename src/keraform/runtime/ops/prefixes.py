"""Reductions over the first entries of an axis, as many as a tensor says.

Algebra, with n entries: `mean = sum(x[:n]) / n`, `var = sum((x[:n] - mean)^2) / (n - correction)`.
"""

from __future__ import annotations

from keras import ops

from keraform.runtime.ops import dtypes
from keraform.runtime.ops.tensors import Tensor, as_tensor, axis_of, rank, sizes


def sum_of_first(input: Tensor, length: Tensor, dim: int, keepdim: bool = False) -> Tensor:
    """Returns the sum of the first `length` entries along `dim`.

    Args:
        input: Floating tensor.
        length: An integer scalar; as in the slice `:length`, a negative one counts from the end.
        dim: The axis.
        keepdim: Whether the axis stays, with size 1.
    """
    x, axis = as_tensor(input), axis_of(dim, rank(input))
    inside, _ = _first(x, length, axis)
    return ops.sum(ops.where(inside, x, ops.zeros_like(x)), axis=axis, keepdims=keepdim)


def mean_of_first(input: Tensor, length: Tensor, dim: int, keepdim: bool = False) -> Tensor:
    """Returns the mean of the first `length` entries along `dim`; see `sum_of_first`."""
    x = as_tensor(input)
    wide = dtypes.to(x, dtypes.computing_dtype(x))
    _, count = _first(wide, length, axis_of(dim, rank(x)))
    total = sum_of_first(wide, length, dim, keepdim)
    return dtypes.to(total / ops.cast(count, wide.dtype), dtypes.name_of(x.dtype))


def var_of_first(
    input: Tensor,
    length: Tensor,
    dim: int,
    unbiased: bool = True,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> Tensor:
    """Returns the variance of the first `length` entries along `dim`; see `sum_of_first`.

    Args:
        input: Floating tensor.
        length: An integer scalar.
        dim: The axis.
        unbiased: True for correction 1, False for 0.
        keepdim: Whether the axis stays, with size 1.
        correction: What is subtracted from the number of entries.
    """
    x = as_tensor(input)
    wide = dtypes.to(x, dtypes.computing_dtype(x))
    _, count = _first(wide, length, axis_of(dim, rank(x)))
    deviation = wide - mean_of_first(wide, length, dim, keepdim=True)
    squares = sum_of_first(ops.square(deviation), length, dim, keepdim)
    correction = int(unbiased) if correction is None else correction
    free = ops.maximum(ops.cast(count, wide.dtype) - correction, 0)
    return dtypes.to(squares / free, dtypes.name_of(x.dtype))


def std_of_first(
    input: Tensor,
    length: Tensor,
    dim: int,
    unbiased: bool = True,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> Tensor:
    """Returns the standard deviation of the first `length` entries; see `var_of_first`."""
    return ops.sqrt(var_of_first(input, length, dim, unbiased, keepdim, correction=correction))


def _first(x: Tensor, length: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """True for entries that `:length` takes, to be broadcast over `x`; and how many these are."""
    size = sizes(x)[axis]
    length = ops.cast(length, "int32")
    count = ops.clip(ops.where(length < 0, length + size, length), 0, size)
    inside = ops.arange(size, dtype="int32") < count
    return ops.reshape(inside, [-1 if each == axis else 1 for each in range(rank(x))]), count
