"""Reductions over the first entries of an axis, as many as a tensor says.

Algebra, with n entries: `mean = sum(x[:n]) / n`, `var = sum((x[:n] - mean)^2) / (n - correction)`.
"""

from __future__ import annotations

from keras import ops

from keraform.runtime.ops import dtypes
from keraform.runtime.ops.reductions import root
from keraform.runtime.ops.tensors import Tensor, as_tensor, axis_of, rank, sizes


def sum_of_first(input: Tensor, length: Tensor, dim: int, keepdim: bool = False) -> Tensor:
    """Returns the sum of the first `length` entries along `dim`.

    Args:
        input: Floating tensor.
        length: An integer scalar; as in the slice `:length`, a negative one counts from the end.
        dim: The axis.
        keepdim: Whether the axis stays, with size 1.
    """
    x = as_tensor(input)
    inside, _ = _first(x, length, dim)
    return _sum(x, inside, dim, keepdim)


def mean_of_first(input: Tensor, length: Tensor, dim: int, keepdim: bool = False) -> Tensor:
    """Returns the mean of the first `length` entries along `dim`; see `sum_of_first`."""
    x, wide = _widened(input)
    inside, count = _first(wide, length, dim)
    return dtypes.to(_sum(wide, inside, dim, keepdim) / count, x.dtype)


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
    x, wide = _widened(input)
    inside, count = _first(wide, length, dim)
    deviation = wide - _sum(wide, inside, dim, keepdim=True) / count
    squares = _sum(ops.square(deviation), inside, dim, keepdim)
    correction = int(unbiased) if correction is None else correction
    return dtypes.to(squares / ops.maximum(count - correction, 0), x.dtype)


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
    return root(var_of_first(input, length, dim, unbiased, keepdim, correction=correction))


def _widened(input: Tensor) -> tuple[Tensor, Tensor]:
    """The tensor, and the same in the dtype to compute in."""
    x = as_tensor(input)
    return x, dtypes.to(x, dtypes.computing_dtype(x))


def _first(x: Tensor, length: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """True for entries that `:length` takes, to be broadcast over `x`; and how many these are, in
    the dtype of `x`.
    """
    axis = axis_of(dim, rank(x))
    size = sizes(x)[axis]
    length = ops.cast(length, "int32")
    count = ops.clip(ops.where(length < 0, length + size, length), 0, size)
    inside = ops.arange(size, dtype="int32") < count
    shape = [-1 if each == axis else 1 for each in range(rank(x))]
    return ops.reshape(inside, shape), ops.cast(count, x.dtype)


def _sum(x: Tensor, inside: Tensor, dim: int, keepdim: bool) -> Tensor:
    return ops.sum(ops.where(inside, x, ops.zeros_like(x)), axis=dim, keepdims=keepdim)
