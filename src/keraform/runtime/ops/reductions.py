"""Reductions with torch's dtypes and its (values, indices) results."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import Any, NamedTuple

from keras import ops

from keraform.runtime.ops import dtypes
from keraform.runtime.ops.tensors import (
    Tensor,
    as_tensor,
    axes_of,
    axis_of,
    product,
    rank,
    sizes,
    static_sizes,
)

Dim = int | Sequence[int] | None


class ValuesAndIndices(NamedTuple):
    """What torch's max, min, sort, topk, kthvalue, mode and median along an axis return."""

    values: Tensor
    indices: Tensor


def count_of(x: Tensor, axes: Sequence[int]) -> Any:
    """Returns how many elements stand along `axes`: an int where static."""
    shape = sizes(x)
    return product([shape[axis] for axis in axes])


def _summed(input: Tensor, dtype: Any) -> Tensor:
    input = as_tensor(input)
    if dtype is not None:
        return dtypes.to(input, dtypes.resolve(dtype))
    whole = dtypes.category(dtypes.name_of(input.dtype)) in ("bool", "integer")
    return dtypes.to(input, dtypes.integer()) if whole else input


def sum(input: Tensor, dim: Dim = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """Returns the sum; bools and integers give int64."""
    x = _summed(input, dtype)
    return ops.sum(x, axis=axes_of(dim, rank(x)), keepdims=keepdim)


def prod(
    input: Tensor, dim: int | None = None, keepdim: bool = False, *, dtype: Any = None
) -> Tensor:
    """Returns the product; bools and integers give int64."""
    x = _summed(input, dtype)
    return ops.prod(x, axis=axes_of(dim, rank(x)), keepdims=keepdim)


def mean(input: Tensor, dim: Dim = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """Returns the mean, computed in `dtype` when one is named."""
    x = dtypes.to(as_tensor(input), dtypes.resolve(dtype))
    return ops.mean(x, axis=axes_of(dim, rank(x)), keepdims=keepdim)


def cumsum(input: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
    """Returns running sums; bools and integers give int64."""
    x = _summed(input, dtype)
    return ops.cumsum(x, axis=axis_of(dim, rank(x))) if rank(x) else x


def cumprod(input: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
    """Returns running products; bools and integers give int64."""
    x = _summed(input, dtype)
    return ops.cumprod(x, axis=axis_of(dim, rank(x))) if rank(x) else x


def var_mean(
    input: Tensor,
    dim: Dim | bool = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> tuple[Tensor, Tensor]:
    """Returns variance `sum((x - mean)^2) / max(0, n - correction)` and mean; see `var`."""
    if isinstance(dim, bool):  # torch's var(input, unbiased)
        dim, unbiased = None, dim
    if correction is None:
        correction = 1 if unbiased is None else int(unbiased)
    x = as_tensor(input)
    dtype = dtypes.name_of(x.dtype)
    x = dtypes.to(x, dtypes.computing_dtype(x))
    axes = axes_of(dim, rank(x))
    count = count_of(x, axes)
    centre = ops.mean(x, axis=axes, keepdims=True)
    squares = ops.sum(ops.square(x - centre), axis=axes, keepdims=keepdim)
    if isinstance(count, int):
        free = ops.convert_to_tensor(float(max(0, count - correction)), dtype=x.dtype)
    else:
        free = ops.maximum(ops.cast(count, x.dtype) - correction, 0)
    spread = squares / free
    return dtypes.to(spread, dtype), dtypes.to(
        centre if keepdim or not axes else ops.squeeze(centre, axes), dtype
    )


def var(
    input: Tensor,
    dim: Dim | bool = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> Tensor:
    """Returns the variance, unbiased unless told otherwise (Keras's is biased).

    Args:
        input: Floating tensor.
        dim: Axis or axes; all when left out.
        unbiased: True for correction 1, False for 0.
        keepdim: Whether reduced axes stay, with size 1.
        correction: What is subtracted from the number of elements; 1 when left out.
    """
    return var_mean(input, dim, unbiased, keepdim, correction=correction)[0]


def std(
    input: Tensor,
    dim: Dim | bool = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> Tensor:
    """Returns the standard deviation; see `var`. Its gradient at zero is 0, as torch's."""
    return root(var(input, dim, unbiased, keepdim, correction=correction))


def root(squares: Tensor) -> Tensor:
    """Returns the square root with the gradient 0 at zero, where that of `ops.sqrt` is infinite."""
    zero = ops.equal(squares, 0)
    return ops.where(zero, squares, ops.sqrt(ops.where(zero, ops.ones_like(squares), squares)))


def std_mean(
    input: Tensor,
    dim: Dim | bool = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> tuple[Tensor, Tensor]:
    """Returns standard deviation and mean; see `var`."""
    spread, centre = var_mean(input, dim, unbiased, keepdim, correction=correction)
    return root(spread), centre


def vector_norm(
    x: Tensor, ord: Any = 2, dim: Dim = None, keepdim: bool = False, *, dtype: Any = None
) -> Tensor:
    """Returns `sum(|x|^ord)^(1 / ord)` over `dim` (all axes when left out).

    The gradient of the 2-norm at zero is 0, as torch's.

    Args:
        x: Floating tensor.
        ord: A number, 0 (counts what is not zero), or plus or minus infinity.
        dim: Axis or axes.
        keepdim: Whether reduced axes stay, with size 1.
        dtype: Dtype to compute in.
    """
    x = dtypes.to(as_tensor(x), dtypes.resolve(dtype))
    axes = axes_of(dim, rank(x))
    size = ops.abs(x)
    if ord == 2:
        return root(ops.sum(ops.square(size), axis=axes, keepdims=keepdim))
    if ord == 1:
        return ops.sum(size, axis=axes, keepdims=keepdim)
    if ord == 0:
        return ops.sum(ops.cast(ops.not_equal(size, 0), size.dtype), axis=axes, keepdims=keepdim)
    if ord == float("inf"):
        return ops.max(size, axis=axes, keepdims=keepdim)
    if ord == float("-inf"):
        return ops.min(size, axis=axes, keepdims=keepdim)
    return ops.power(ops.sum(ops.power(size, ord), axis=axes, keepdims=keepdim), 1.0 / ord)


def norm(
    input: Tensor, p: Any = "fro", dim: Dim = None, keepdim: bool = False, dtype: Any = None
) -> Tensor:
    """Returns the p-norm of the elements along `dim`; "fro" is the 2-norm, "nuc" has no port."""
    if isinstance(p, str) and p != "fro":
        from keraform.runtime.ops.tensors import refuse

        raise refuse('p a number or "fro"', f"p={p!r}", "ops.norm(x, ord='nuc', axis=(-2, -1))")
    return vector_norm(input, 2 if p in ("fro", None) else p, dim, keepdim, dtype=dtype)


def normalize(input: Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12) -> Tensor:
    """Returns `x / max(norm(x), eps)` (Keras divides by the square root of a clamped square)."""
    return input / ops.maximum(vector_norm(input, p, dim, keepdim=True), eps)


def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """Returns `x1 . x2 / (max(|x1|, eps) * max(|x2|, eps))` along `dim`."""
    x1, x2 = dtypes.promote(x1, x2)
    ndim = max(rank(x1), rank(x2))
    axis = axis_of(dim, ndim) - ndim
    first = x1 / ops.maximum(vector_norm(x1, 2, axis, keepdim=True), eps)
    second = x2 / ops.maximum(vector_norm(x2, 2, axis, keepdim=True), eps)
    return ops.sum(first * second, axis=axis)


def _truth(input: Tensor) -> Tensor:
    return dtypes.to(as_tensor(input), "bool")


def any(input: Tensor, dim: Dim = None, keepdim: bool = False) -> Tensor:
    """Returns whether any element is true (not zero)."""
    return ops.any(_truth(input), axis=axes_of(dim, rank(input)), keepdims=keepdim)


def all(input: Tensor, dim: Dim = None, keepdim: bool = False) -> Tensor:
    """Returns whether every element is true (not zero)."""
    return ops.all(_truth(input), axis=axes_of(dim, rank(input)), keepdims=keepdim)


def count_nonzero(input: Tensor, dim: Dim = None) -> Tensor:
    """Returns how many elements are not zero (int64)."""
    return sum(_truth(input), dim)


def logsumexp(input: Tensor, dim: Dim, keepdim: bool = False) -> Tensor:
    """Returns `log(sum(exp(x)))` along `dim`; integers give the default float."""
    x = dtypes.to_float(as_tensor(input))
    return ops.logsumexp(x, axis=axes_of(dim, rank(x)), keepdims=keepdim)


def equal(input: Tensor, other: Tensor) -> Tensor:
    """Returns whether two tensors have the same shape and elements (one bool)."""
    a, b = as_tensor(input), as_tensor(other)
    known = zip(static_sizes(a), static_sizes(b), strict=False)
    if rank(a) != rank(b) or builtins.any(m != n and None not in (m, n) for m, n in known):
        return ops.zeros((), dtype="bool")
    return ops.all(ops.equal(a, b))


def masked_mean(input: Tensor, mask: Tensor, dim: Dim = None, keepdim: bool = False) -> Tensor:
    """Returns the mean of the elements where `mask` is True (torch.masked.mean)."""
    total, count = _masked(input, mask, dim, keepdim)
    return total / count


def masked_var(
    input: Tensor, mask: Tensor, dim: Dim = None, unbiased: bool = True, keepdim: bool = False
) -> Tensor:
    """Returns the variance of the elements where `mask` is True (torch.masked.var)."""
    centred = input - masked_mean(input, mask, dim, True)
    total, count = _masked(ops.square(centred), mask, dim, keepdim)
    return total / (ops.maximum(count - 1, 0) if unbiased else count)


def _masked(input: Tensor, mask: Tensor, dim: Dim, keepdim: bool) -> tuple[Tensor, Tensor]:
    """The sum of the elements where `mask` is True, and how many they are."""
    x = dtypes.to_float(as_tensor(input))
    axes = axes_of(dim, rank(x))
    kept = ops.logical_and(_truth(mask), ops.ones_like(x, dtype="bool"))
    total = ops.sum(ops.where(kept, x, ops.zeros_like(x)), axis=axes, keepdims=keepdim)
    return total, ops.sum(ops.cast(kept, x.dtype), axis=axes, keepdims=keepdim)


def bincount(input: Tensor, weights: Tensor | None = None, minlength: int = 0) -> Tensor:
    """Counts each value (int64), or sums its weights; the length depends on the largest value."""
    if weights is None:
        return dtypes.to(ops.bincount(input, minlength=minlength), dtypes.integer())
    length = ops.maximum(ops.max(input) + 1, minlength)
    return ops.segment_sum(weights, input, num_segments=_readable(length, "bincount"))


def histc(input: Tensor, bins: int = 100, min: float = 0, max: float = 0) -> Tensor:
    """Counts elements in `bins` equal parts of [min, max]; equal bounds mean the data's own."""
    x = ops.reshape(as_tensor(input), (-1,))
    low: Any = min
    high: Any = max
    if min == max:
        low, high = ops.min(x), ops.max(x)
        flat = ops.equal(low, high)
        low, high = ops.where(flat, low - 1, low), ops.where(flat, high + 1, high)
    place = ops.floor((x - low) / (high - low) * bins)
    place = ops.cast(ops.minimum(place, bins - 1), "int32")
    inside = ops.logical_and(x >= low, x <= high)
    counted = ops.cast(inside, x.dtype)
    return ops.segment_sum(
        counted, ops.where(inside, place, ops.zeros_like(place)), num_segments=bins
    )


def _readable(value: Tensor, what: str) -> int:
    from keraform.runtime.ops.tensors import scalar

    return scalar(value, f"the length of {what}", "it is the shape of the result")
