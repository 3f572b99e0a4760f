"""Patches of images as columns and back, and pixels moved between channels and places."""

from __future__ import annotations

import math
from typing import Any

from keras import ops

from keraform.runtime.ops.convolutions import Ints, channels_first, channels_last, insert_zeros
from keraform.runtime.ops.padding import pad_constant
from keraform.runtime.ops.tensors import Tensor, as_tensor, per_axis, rank, sizes, transpose


def im2col(
    input: Tensor, kernel_size: Ints, dilation: Ints = 1, padding: Ints = 0, stride: Ints = 1
) -> Tensor:
    """Returns patches [b, c * ky * kx, places] of [b, c, y, x] (torch.nn.functional.unfold)."""
    x = as_tensor(input)
    if rank(x) == 3:
        return ops.squeeze(im2col(ops.expand_dims(x, 0), kernel_size, dilation, padding, stride), 0)
    k, d, p, s = (
        per_axis(v, 2, n)
        for v, n in (
            (kernel_size, "kernel_size"),
            (dilation, "dilation"),
            (padding, "padding"),
            (stride, "stride"),
        )
    )
    x = pad_constant(x, [(0, 0), (0, 0), *((n, n) for n in p)]) if max(p) else x
    batch, channels, height, width = sizes(x)
    parts = []
    for i in range(k[0]):
        for j in range(k[1]):
            rows = slice(i * d[0], height - d[0] * (k[0] - 1) + i * d[0], s[0])
            columns = slice(j * d[1], width - d[1] * (k[1] - 1) + j * d[1], s[1])
            parts.append(x[:, :, rows, columns])
    stacked = ops.stack(parts, axis=2)  # [b, c, ky * kx, y, x]
    shape = sizes(stacked)
    return ops.reshape(stacked, (batch, channels * math.prod(k), shape[3] * shape[4]))


def col2im(
    input: Tensor,
    output_size: Ints,
    kernel_size: Ints,
    dilation: Ints = 1,
    padding: Ints = 0,
    stride: Ints = 1,
) -> Tensor:
    """Adds patches [b, c * ky * kx, places] up to [b, c, y, x] (torch.nn.functional.fold)."""
    x = as_tensor(input)
    if rank(x) == 2:
        made = col2im(ops.expand_dims(x, 0), output_size, kernel_size, dilation, padding, stride)
        return ops.squeeze(made, 0)
    size, k, d, p, s = (
        per_axis(v, 2, n)
        for v, n in (
            (output_size, "output_size"),
            (kernel_size, "kernel_size"),
            (dilation, "dilation"),
            (padding, "padding"),
            (stride, "stride"),
        )
    )
    places = [
        (n + 2 * q - e * (w - 1) - 1) // t + 1
        for n, q, e, w, t in zip(size, p, d, k, s, strict=True)
    ]
    channels = sizes(x)[1] // math.prod(k)
    patches = ops.reshape(x, (-1, channels, *k, *places))
    spans = [n + 2 * q for n, q in zip(size, p, strict=True)]
    total: Any = None
    for i in range(k[0]):
        for j in range(k[1]):
            patch = channels_first(insert_zeros(channels_last(patches[:, :, i, j]), s))
            pairs = [
                (at * e, n - at * e - (m - 1) * t - 1)
                for at, e, n, m, t in zip((i, j), d, spans, places, s, strict=True)
            ]
            placed = ops.pad(patch, [(0, 0), (0, 0), *pairs])
            total = placed if total is None else total + placed
    return total[:, :, p[0] : spans[0] - p[0], p[1] : spans[1] - p[1]]


def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """[..., c * r * r, y, x] to [..., c, y * r, x * r]."""
    r = upscale_factor
    *front, channels, height, width = sizes(as_tensor(input))
    x = ops.reshape(input, (*front, channels // (r * r), r, r, height, width))
    n = len(front)
    x = transpose(x, (*range(n + 1), n + 3, n + 1, n + 4, n + 2))
    return ops.reshape(x, (*front, channels // (r * r), height * r, width * r))


def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """[..., c, y * r, x * r] to [..., c * r * r, y, x]."""
    r = downscale_factor
    *front, channels, height, width = sizes(as_tensor(input))
    x = ops.reshape(input, (*front, channels, height // r, r, width // r, r))
    n = len(front)
    x = transpose(x, (*range(n + 1), n + 2, n + 4, n + 1, n + 3))
    return ops.reshape(x, (*front, channels * r * r, height // r, width // r))
