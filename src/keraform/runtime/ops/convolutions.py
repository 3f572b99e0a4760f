"""Convolutions on [b, c, ...] with weights in torch's layout; channels stand last inside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras import ops

from keraform.runtime.depthwise import depthwise
from keraform.runtime.ops.padding import pad_constant
from keraform.runtime.ops.tensors import (
    Tensor,
    as_int,
    as_tensor,
    on_jax,
    per_axis,
    rank,
    refuse,
    scalar,
    sizes,
    transpose,
)

Ints = int | Sequence[int]


def channels_last(x: Tensor) -> Tensor:
    """[b, c, ...] to [b, ..., c]."""
    return transpose(x, (0, *range(2, rank(x)), 1))


def channels_first(x: Tensor) -> Tensor:
    """[b, ..., c] to [b, c, ...]."""
    return transpose(x, (0, rank(x) - 1, *range(1, rank(x) - 1)))


def conv1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Ints = 1,
    padding: Ints | str = 0,
    dilation: Ints = 1,
    groups: int = 1,
) -> Tensor:
    """Convolves [b, c, t] (or [c, t]) with weight [out, c / groups, k]."""
    return _conv(1, input, weight, bias, stride, padding, dilation, groups)


def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Ints = 1,
    padding: Ints | str = 0,
    dilation: Ints = 1,
    groups: int = 1,
) -> Tensor:
    """Convolves [b, c, y, x] (or [c, y, x]) with weight [out, c / groups, ky, kx]."""
    return _conv(2, input, weight, bias, stride, padding, dilation, groups)


def conv3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Ints = 1,
    padding: Ints | str = 0,
    dilation: Ints = 1,
    groups: int = 1,
) -> Tensor:
    """Convolves [b, c, z, y, x] (or [c, z, y, x]) with weight [out, c / groups, kz, ky, kx]."""
    return _conv(3, input, weight, bias, stride, padding, dilation, groups)


def _conv(
    axes: int,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Ints,
    padding: Ints | str,
    dilation: Ints,
    groups: int,
) -> Tensor:
    x, weight = as_tensor(input), as_tensor(weight)
    if rank(x) == axes + 1:
        made = _conv(axes, ops.expand_dims(x, 0), weight, bias, stride, padding, dilation, groups)
        return ops.squeeze(made, 0)
    kernel = transpose(weight, (*range(2, axes + 2), 1, 0))
    made = convolve(
        channels_last(x),
        kernel,
        per_axis(stride, axes, "stride"),
        padding_pairs(padding, weight.shape[2:], per_axis(dilation, axes, "dilation")),
        per_axis(dilation, axes, "dilation"),
        _number_of(groups, kernel),
    )
    return channels_first(made if bias is None else made + as_tensor(bias))


def _number_of(groups: Any, kernel: Tensor) -> int:
    """As many groups as channels, where a graph does not know the number of those: a kernel that
    sees one channel has as many outputs; with others the graph stops when it runs.
    """
    if as_int(groups) is None and kernel.shape[-2] == 1:
        return int(kernel.shape[-1])
    return scalar(groups, "groups", "a kernel of several channels does not tell it")


def padding_pairs(
    padding: Ints | str, kernel_size: Sequence[int], dilation: Sequence[int]
) -> list[tuple[int, int]]:
    """Returns (before, after) for each spatial axis from torch's `padding`."""
    if padding == "valid":
        return [(0, 0)] * len(kernel_size)
    if padding == "same":
        totals = [d * (k - 1) for k, d in zip(kernel_size, dilation, strict=True)]
        return [(total // 2, total - total // 2) for total in totals]
    if isinstance(padding, str):
        raise refuse('padding as ints, "valid" or "same"', repr(padding), "padding=1")
    return [(p, p) for p in per_axis(padding, len(kernel_size), "padding")]


def convolve(
    x: Tensor,
    kernel: Tensor,
    strides: Sequence[int],
    pairs: Sequence[tuple[int, int]],
    dilation: Sequence[int],
    groups: int = 1,
) -> Tensor:
    """Convolves channels-last `x` with kernel [..., in / groups, out]; pads by `pairs`."""
    if any(n for pair in pairs for n in pair):
        x = pad_constant(x, [(0, 0), *pairs, (0, 0)])
    channels = groups * kernel.shape[-2]
    if groups > 1 and x.shape[-1] is None:
        x = ops.reshape(x, (*sizes(x)[:-1], channels))
    if groups > 1 and channels != x.shape[-1]:
        raise refuse(
            f"{channels} channels ({groups} groups of {kernel.shape[-2]})",
            f"shape {tuple(x.shape)}",
            "groups=1",
        )
    strided = max(strides) > 1 and max(dilation) > 1
    steps = (1,) * len(strides) if strided else tuple(strides)
    made = _grouped(x, kernel, steps, tuple(dilation), groups)
    if strided:  # TensorFlow refuses stride with dilation: keep every n-th
        made = made[(slice(None), *(slice(None, None, s) for s in strides), slice(None))]
    return made


def _grouped(
    x: Tensor, kernel: Tensor, strides: Sequence[int], dilation: Sequence[int], groups: int
) -> Tensor:
    """Convolves each group of channels by its own part of the kernel.

    On TensorFlow `keras.ops.conv` would compile a function for each call with groups.
    """
    if groups == 1:
        return _valid(x, kernel, strides, dilation)
    if kernel.shape[-2] == 1 and len(strides) < 3 and len(set(strides)) == 1:
        return depthwise(x, kernel, strides, dilation)
    if on_jax():
        return _valid(x, kernel, strides, dilation)
    parts = zip(ops.split(x, groups, axis=-1), ops.split(kernel, groups, axis=-1), strict=True)
    return ops.concatenate([_valid(part, k, strides, dilation) for part, k in parts], axis=-1)


def _valid(x: Tensor, kernel: Tensor, strides: Sequence[int], dilation: Sequence[int]) -> Tensor:
    return ops.conv(
        x,
        kernel,
        strides=tuple(strides),
        padding="valid",
        data_format="channels_last",
        dilation_rate=tuple(dilation),
    )


def conv_transpose1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Ints = 1,
    padding: Ints = 0,
    output_padding: Ints = 0,
    groups: int = 1,
    dilation: Ints = 1,
) -> Tensor:
    """Transposed convolution of [b, c, t] with weight [c, out / groups, k]."""
    return _conv_transpose(
        1, input, weight, bias, stride, padding, output_padding, groups, dilation
    )


def conv_transpose2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Ints = 1,
    padding: Ints = 0,
    output_padding: Ints = 0,
    groups: int = 1,
    dilation: Ints = 1,
) -> Tensor:
    """Transposed convolution of [b, c, y, x] with weight [c, out / groups, ky, kx]."""
    return _conv_transpose(
        2, input, weight, bias, stride, padding, output_padding, groups, dilation
    )


def conv_transpose3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Ints = 1,
    padding: Ints = 0,
    output_padding: Ints = 0,
    groups: int = 1,
    dilation: Ints = 1,
) -> Tensor:
    """Transposed convolution of [b, c, z, y, x] with weight [c, out / groups, kz, ky, kx]."""
    return _conv_transpose(
        3, input, weight, bias, stride, padding, output_padding, groups, dilation
    )


def _conv_transpose(
    axes: int,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Ints,
    padding: Ints,
    output_padding: Ints,
    groups: int,
    dilation: Ints,
) -> Tensor:
    x, weight = as_tensor(input), as_tensor(weight)
    if rank(x) == axes + 1:
        made = _conv_transpose(
            axes,
            ops.expand_dims(x, 0),
            weight,
            bias,
            stride,
            padding,
            output_padding,
            groups,
            dilation,
        )
        return ops.squeeze(made, 0)
    kernel = transpose(weight, (*range(2, axes + 2), 1, 0))  # [..., out / groups, in]
    made = convolve_transposed(
        channels_last(x),
        kernel,
        per_axis(stride, axes, "stride"),
        per_axis(padding, axes, "padding"),
        per_axis(output_padding, axes, "output_padding"),
        per_axis(dilation, axes, "dilation"),
        groups,
    )
    return channels_first(made if bias is None else made + as_tensor(bias))


def convolve_transposed(
    x: Tensor,
    kernel: Tensor,
    strides: Sequence[int],
    padding: Sequence[int],
    output_padding: Sequence[int],
    dilation: Sequence[int],
    groups: int = 1,
) -> Tensor:
    """Transposed convolution of channels-last `x` with a kernel [..., out / groups, in].

    Zeros are put between the elements, and the result is convolved with the flipped kernel:
    out = (in - 1) * stride - 2 * padding + dilation * (k - 1) + output_padding + 1.
    """
    axes = len(strides)
    spread = insert_zeros(x, strides)
    kernel = ops.flip(kernel, axis=tuple(range(axes)))
    if groups == 1:
        kernel = ops.swapaxes(kernel, -1, -2)  # [..., in, out]
    else:
        inner = kernel.shape[-1] // groups
        split = ops.reshape(kernel, (*kernel.shape[:-1], groups, inner))
        order = (*range(axes), axes + 2, axes + 1, axes)  # [..., in / groups, groups, out / groups]
        kernel = ops.reshape(
            ops.transpose(split, order), (*kernel.shape[:-2], inner, groups * kernel.shape[-2])
        )
    reach = [d * (k - 1) for d, k in zip(dilation, kernel.shape[:axes], strict=True)]
    pairs = [(r - p, r - p + o) for r, p, o in zip(reach, padding, output_padding, strict=True)]
    cut = [(max(0, -a), max(0, -b)) for a, b in pairs]
    made = convolve(
        spread, kernel, (1,) * axes, [(max(0, a), max(0, b)) for a, b in pairs], dilation, groups
    )
    if any(n for pair in cut for n in pair):
        made = made[(slice(None), *(slice(a, -b if b else None) for a, b in cut), slice(None))]
    return made


def insert_zeros(x: Tensor, strides: Sequence[int]) -> Tensor:
    """Puts `stride - 1` zeros between neighbours along each spatial axis of [b, ..., c]."""
    for axis, step in enumerate(strides, start=1):
        if step == 1:
            continue
        shape = sizes(x)
        wide = ops.expand_dims(x, axis + 1)
        wide = ops.pad(
            wide, [(0, step - 1) if a == axis + 1 else (0, 0) for a in range(rank(wide))]
        )
        x = ops.reshape(wide, (*shape[:axis], shape[axis] * step, *shape[axis + 1 :]))
        x = x[(*(slice(None),) * axis, slice(None, 1 - step))]
    return x
