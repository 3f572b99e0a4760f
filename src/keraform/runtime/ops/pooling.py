"""Pooling of [b, c, ...] with torch's padding, ceil_mode and counts."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from keras import ops

from keraform.runtime.ops import dtypes
from keraform.runtime.ops.convolutions import Ints, channels_first, channels_last
from keraform.runtime.ops.interpolations import apply_matrix, resize_matrix
from keraform.runtime.ops.padding import pad_constant
from keraform.runtime.ops.tensors import (
    Tensor,
    as_tensor,
    per_axis,
    rank,
    refuse,
    scalar,
    sizes,
)


def _output_size(size: Any, k: int, s: int, p: int, d: int, ceil_mode: bool) -> Any:
    reach = size + 2 * p - d * (k - 1) - 1
    if not ceil_mode:
        return reach // s + 1
    count = (reach + s - 1) // s + 1
    starts_outside = (count - 1) * s >= size + p  # the last window must start inside
    if isinstance(count, int):
        return count - 1 if starts_outside else count
    return count - ops.cast(starts_outside, count.dtype)


def _spans(
    x: Tensor,
    k: Sequence[int],
    s: Sequence[int],
    p: Sequence[int],
    d: Sequence[int],
    ceil_mode: bool,
) -> tuple[list[Any], list[tuple[Any, Any]]]:
    """Returns output sizes and how much to pad each spatial axis."""
    outs, pairs = [], []
    for size, ki, si, pi, di in zip(sizes(x)[2:], k, s, p, d, strict=True):
        if pi > di * (ki - 1) // 2 + (di * (ki - 1)) % 2:
            raise refuse(
                "padding at most half the kernel",
                f"padding={pi}, kernel_size={ki}",
                f"padding={ki // 2}",
            )
        out = _output_size(size, ki, si, pi, di, ceil_mode)
        needed = (out - 1) * si + di * (ki - 1) + 1 - size - pi
        if not ceil_mode:
            after: Any = pi
        else:
            after = max(needed, 0) if isinstance(needed, int) else ops.maximum(needed, 0)
        outs.append(out)
        pairs.append((pi, after))
    return outs, pairs


def _arguments(axes: int, kernel_size: Any, stride: Any, padding: Any, dilation: Any) -> Any:
    k = per_axis(kernel_size, axes, "kernel_size")
    no_stride = stride is None or (isinstance(stride, (list, tuple)) and not stride)
    return (
        k,
        k if no_stride else per_axis(stride, axes, "stride"),
        per_axis(padding, axes, "padding"),
        per_axis(dilation, axes, "dilation"),
    )


def _max_pool(
    axes: int,
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None,
    padding: Ints,
    dilation: Ints,
    ceil_mode: bool,
    return_indices: bool,
) -> Tensor:
    if return_indices:
        raise refuse("return_indices=False", "return_indices=True", "kf.im2col and kf.argmax")
    x = as_tensor(input)
    if rank(x) == axes + 1:
        made = _max_pool(
            axes, ops.expand_dims(x, 0), kernel_size, stride, padding, dilation, ceil_mode, False
        )
        return ops.squeeze(made, 0)
    k, s, p, d = _arguments(axes, kernel_size, stride, padding, dilation)
    outs, pairs = _spans(x, k, s, p, d, ceil_mode)
    name = dtypes.name_of(x.dtype)
    low = float("-inf") if dtypes.is_floating(x) else dtypes.iinfo(name).min
    if any(not (isinstance(n, int) and n == 0) for pair in pairs for n in pair):
        x = pad_constant(x, [(0, 0), (0, 0), *pairs], low)
    if max(d) > 1 or axes == 3 or not dtypes.is_floating(x):  # TensorFlow has no kernel for these
        return _windows(x, ops.maximum, outs, k, s, d)
    made = ops.max_pool(
        channels_last(x), k, strides=s, padding="valid", data_format="channels_last"
    )
    return channels_first(made)


def _windows(
    x: Tensor,
    combine: Callable[[Tensor, Tensor], Tensor],
    outs: Sequence[Any],
    k: Sequence[int],
    s: Sequence[int],
    d: Sequence[int],
) -> Tensor:
    """Reduces windows one axis after the other, by shifted slices."""
    for axis, (out, ki, si, di) in enumerate(zip(outs, k, s, d, strict=True), start=2):
        before = (slice(None),) * axis
        parts = [x[(*before, slice(j * di, j * di + (out - 1) * si + 1, si))] for j in range(ki)]
        x = functools.reduce(combine, parts)
    return x


def max_pool1d(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Tensor:
    """Returns the largest element of each window of [b, c, t]."""
    return _max_pool(1, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool2d(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Tensor:
    """Returns the largest element of each window of [b, c, y, x]."""
    return _max_pool(2, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool3d(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Tensor:
    """Returns the largest element of each window of [b, c, z, y, x]."""
    return _max_pool(3, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def _avg_pool(
    axes: int,
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None,
    padding: Ints,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None = None,
) -> Tensor:
    x = as_tensor(input)
    if rank(x) == axes + 1:
        made = _avg_pool(
            axes,
            ops.expand_dims(x, 0),
            kernel_size,
            stride,
            padding,
            ceil_mode,
            count_include_pad,
            divisor_override,
        )
        return ops.squeeze(made, 0)
    k, s, p, d = _arguments(axes, kernel_size, stride, padding, 1)
    source = sizes(x)[2:]
    outs, pairs = _spans(x, k, s, p, d, ceil_mode)
    if any(not (isinstance(n, int) and n == 0) for pair in pairs for n in pair):
        x = pad_constant(x, [(0, 0), (0, 0), *pairs])
    if axes == 3:  # TensorFlow has no kernel for float64
        made = _windows(x, ops.add, outs, k, s, d) / math.prod(k)
    else:
        made = channels_first(
            ops.average_pool(
                channels_last(x), k, strides=s, padding="valid", data_format="channels_last"
            )
        )
    if divisor_override is not None:
        return made * (math.prod(k) / divisor_override)
    for axis, values in enumerate(zip(source, outs, k, s, p, strict=True)):
        counts = _counts(*values, count_include_pad)
        if counts is not None:
            counts = dtypes.to(as_tensor(counts), dtypes.name_of(made.dtype))
            factor = k[axis] / counts
            made = made * ops.reshape(factor, (-1, *(1,) * (axes - 1 - axis)))
    return made


def _counts(size: Any, out: Any, k: int, s: int, p: int, include_pad: bool) -> Any:
    """Returns how many elements of each window count along one axis; None where it is always k."""
    static = isinstance(size, int) and isinstance(out, int)
    numeric: Any = np if static else ops
    places = np.arange(out) if static else ops.arange(out, dtype="int32")
    start = places * s - p
    stop = numeric.minimum(start + k, size + p)
    if not include_pad:
        start, stop = numeric.maximum(start, 0), numeric.minimum(stop, size)
    counts = stop - start
    return None if static and (counts == k).all() else counts


def avg_pool1d(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """Returns the mean of each window of [b, c, t]."""
    return _avg_pool(1, input, kernel_size, stride, padding, ceil_mode, count_include_pad)


def avg_pool2d(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """Returns the mean of each window of [b, c, y, x]."""
    return _avg_pool(
        2, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
    )


def avg_pool3d(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """Returns the mean of each window of [b, c, z, y, x]."""
    return _avg_pool(
        3, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
    )


def lp_pool1d(
    input: Tensor,
    norm_type: float,
    kernel_size: int,
    stride: int | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    """Returns the p-norm of each window of [b, c, t]."""
    powers = avg_pool1d(ops.power(input, norm_type), kernel_size, stride, 0, ceil_mode)
    return ops.power(ops.relu(powers * kernel_size), 1.0 / norm_type)


def _adaptive_sizes(x: Tensor, axes: int, output_size: Any) -> list[Any]:
    wanted = list(output_size) if isinstance(output_size, (list, tuple)) else [output_size] * axes
    source = sizes(x)[rank(x) - axes :]
    if len(wanted) != axes:
        raise refuse(f"output_size as one int or {axes}", repr(output_size), "output_size=1")
    return [own if new is None else new for new, own in zip(wanted, source, strict=True)]


def _adaptive_avg_pool(axes: int, input: Tensor, output_size: Any) -> Tensor:
    x = as_tensor(input)
    wanted, dtype = _adaptive_sizes(x, axes, output_size), dtypes.name_of(x.dtype)
    if all(isinstance(new, int) and new == 1 for new in wanted):
        return ops.mean(x, axis=tuple(range(rank(x) - axes, rank(x))), keepdims=True)
    for axis, new in enumerate(wanted, start=rank(x) - axes):
        old = sizes(x)[axis]
        if not (isinstance(old, int) and isinstance(new, int) and old == new):
            x = apply_matrix(x, axis, resize_matrix(old, new, None, "area", False, False))
    return dtypes.to(x, dtype)


def adaptive_avg_pool1d(input: Tensor, output_size: Any) -> Tensor:
    """Returns means over even parts of the last axis."""
    return _adaptive_avg_pool(1, input, output_size)


def adaptive_avg_pool2d(input: Tensor, output_size: Any) -> Tensor:
    """Returns means over even parts of the last two axes; None keeps a size."""
    return _adaptive_avg_pool(2, input, output_size)


def adaptive_avg_pool3d(input: Tensor, output_size: Any) -> Tensor:
    """Returns means over even parts of the last three axes; None keeps a size."""
    return _adaptive_avg_pool(3, input, output_size)


def _adaptive_max_pool(axes: int, input: Tensor, output_size: Any, return_indices: bool) -> Tensor:
    if return_indices:
        raise refuse("return_indices=False", "return_indices=True", "kf.im2col and kf.argmax")
    x = as_tensor(input)
    wanted = _adaptive_sizes(x, axes, output_size)
    for axis, new in enumerate(wanted, start=rank(x) - axes):
        if isinstance(new, int) and new == 1:
            x = ops.max(x, axis=axis, keepdims=True)
            continue
        old = sizes(x)[axis]
        if isinstance(old, int) and isinstance(new, int) and old == new:
            continue
        new = scalar(new, "output_size", "each output reads its own part")
        before = (slice(None),) * axis
        parts = [
            ops.max(
                x[(*before, slice(i * old // new, ((i + 1) * old + new - 1) // new))], axis=axis
            )
            for i in range(new)
        ]
        x = ops.stack(parts, axis=axis)
    return x


def adaptive_max_pool1d(input: Tensor, output_size: Any, return_indices: bool = False) -> Tensor:
    """Returns maxima over even parts of the last axis."""
    return _adaptive_max_pool(1, input, output_size, return_indices)


def adaptive_max_pool2d(input: Tensor, output_size: Any, return_indices: bool = False) -> Tensor:
    """Returns maxima over even parts of the last two axes; None keeps a size."""
    return _adaptive_max_pool(2, input, output_size, return_indices)


def adaptive_max_pool3d(input: Tensor, output_size: Any, return_indices: bool = False) -> Tensor:
    """Returns maxima over even parts of the last three axes; None keeps a size."""
    return _adaptive_max_pool(3, input, output_size, return_indices)
