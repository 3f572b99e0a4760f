"""Depthwise convolution: each channel has a kernel of its own.

Algebra: `y[b, o, c] = sum over k of W[k, c] x[b, stride o + dilation k, c]`.

XLA's convolution of this kind is slow on a CPU: with the sum written out instead, a ConvNeXt runs
in a fifth of the time (benchmarks/forward.py). So a graph that XLA compiles for a CPU gets the sum.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from math import prod

from keras import ops

from keraform.runtime.layers.base import Tensor
from keraform.runtime.tracing import compiles_for_cpu

MOST_TERMS = 128  # beyond, the graph of the sum takes long to compile


def depthwise(
    inputs: Tensor, kernel: Tensor, strides: Sequence[int], dilation: Sequence[int]
) -> Tensor:
    """Unpadded convolution of channels-last `inputs` with a kernel `[*k, 1, out]`.

    Args:
        inputs: `[b, *sizes, c]`, one or two spatial axes.
        kernel: `[*k, 1, out]`, `out` a multiple of `c`.
        strides: one number for each spatial axis, all equal.
        dilation: one number for each spatial axis.

    Returns:
        `[b, *sizes, out]`.
    """
    channels = inputs.shape[-1]
    one_each = kernel.shape[-1] == channels and None not in inputs.shape[1:]
    if one_each and prod(kernel.shape[:-2]) <= MOST_TERMS and compiles_for_cpu():
        return _shifted_products(inputs, kernel, strides, dilation)
    shape = (*kernel.shape[:-2], channels, kernel.shape[-1] // channels)
    return ops.depthwise_conv(
        inputs, ops.reshape(kernel, shape), strides=tuple(strides), padding="valid",
        dilation_rate=tuple(dilation), data_format="channels_last",
    )  # fmt: skip


def _shifted_products(
    inputs: Tensor, kernel: Tensor, strides: Sequence[int], dilation: Sequence[int]
) -> Tensor:
    taps = kernel.shape[:-2]
    spans = [
        size - step * (tap - 1)
        for size, tap, step in zip(inputs.shape[1:-1], taps, dilation, strict=True)
    ]
    total = None
    for place in itertools.product(*map(range, taps)):
        shifted = tuple(
            slice(step * k, step * k + span, stride)
            for k, step, span, stride in zip(place, dilation, spans, strides, strict=True)
        )
        term = inputs[(slice(None), *shifted)] * kernel[(*place, 0)]
        total = term if total is None else total + term
    return total
