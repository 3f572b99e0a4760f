"""Convolutions with torch's interface: channels first outside, channels last inside.

Algebra: `y[b, o, p] = bias[o] + sum over i, k of W[o, i, k] x[b, i, stride p + dilation k - pad]`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

from keraform.runtime.depthwise import depthwise
from keraform.runtime.layers.base import Tensor, TorchLayer
from keraform.runtime.layers.linear import fan_in_uniform
from keraform.runtime.layers.padding import pad_axes
from keraform.runtime.tree import WeightSpec, torch_property


def as_tuple(value: int | Sequence[int], rank: int) -> tuple[int, ...]:
    """One number for each of `rank` axes."""
    return (int(value),) * rank if isinstance(value, int) else tuple(int(item) for item in value)


def channels_last(inputs: Tensor) -> Tensor:
    """`[b, c, ...]` to `[b, ..., c]`."""
    return ops.moveaxis(inputs, 1, -1)


def channels_first(inputs: Tensor) -> Tensor:
    """`[b, ..., c]` to `[b, c, ...]`."""
    return ops.moveaxis(inputs, -1, 1)


def kernel_axes(rank: int) -> tuple[int, ...]:
    """Torch's `[out, in, *k]` to Keras's `[*k, in, out]`; for transposed ones `[*k, out, in]`."""
    return (*range(2, rank + 2), 1, 0)


def convolve(
    inputs: Tensor,
    kernel: Tensor,
    strides: tuple[int, ...],
    dilation: tuple[int, ...],
    groups: int,
) -> Tensor:
    """Unpadded convolution of channels-last `inputs` with a kernel `[*k, in / groups, out]`."""
    if max(strides) > 1 and max(dilation) > 1:
        # TensorFlow refuses both at once: spread the kernel instead
        kernel, dilation = spread(kernel, dilation), (1,) * len(dilation)
    if groups == 1:
        return ops.conv(
            inputs, kernel, strides=strides, padding="valid", dilation_rate=dilation,
            data_format="channels_last",
        )  # fmt: skip
    square = len(set(strides)) == 1 and len(strides) <= 2
    if groups == inputs.shape[-1] and square:
        return depthwise(inputs, kernel, strides, dilation)
    return ops.conv(
        inputs, kernel, strides=strides, padding="valid", dilation_rate=dilation,
        data_format="channels_last",
    )  # fmt: skip


def spread(kernel: Tensor, steps: Sequence[int]) -> Tensor:
    """Put `step - 1` zeros between neighbours along the leading axes of `kernel`."""
    for axis, step in enumerate(steps):
        if step > 1:
            size = kernel.shape[axis]
            places = np.zeros(((size - 1) * step + 1, size))
            places[np.arange(size) * step, np.arange(size)] = 1
            moved = ops.tensordot(ops.cast(places, kernel.dtype), kernel, axes=[[1], [axis]])
            kernel = ops.moveaxis(moved, 0, axis)
    return kernel


class _Convolution(TorchLayer):
    """What Conv1D, Conv2D and Conv3D share; the Keras class follows in each."""

    torch_rank = 2
    weight = torch_property("weight")

    def __init__(
        self,
        in_channels: int,
        filters: int,
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int] = 1,
        padding: int | str | Sequence[int] = 0,
        dilation_rate: int | Sequence[int] = 1,
        groups: int = 1,
        use_bias: bool = True,
        padding_mode: str = "zeros",
        **kwargs: Any,
    ) -> None:
        rank = self.torch_rank
        if in_channels % groups or filters % groups:
            raise ValueError(
                f"expected channels divisible by groups; got {in_channels} in, {filters} out, "
                f"{groups} groups; correct in_channels, filters or groups."
            )
        size = as_tuple(kernel_size, rank)
        fan_in = in_channels // groups * int(np.prod(size))
        kwargs.setdefault("kernel_initializer", fan_in_uniform(fan_in))
        kwargs.setdefault("bias_initializer", fan_in_uniform(fan_in))
        super().__init__(
            filters, size, groups=groups, use_bias=use_bias, data_format="channels_last", **kwargs
        )
        self.in_channels = in_channels
        self.out_channels = filters
        self.strides = self.stride = as_tuple(strides, rank)
        self.dilation_rate = self.dilation = as_tuple(dilation_rate, rank)
        self.padding = padding if isinstance(padding, str) else as_tuple(padding, rank)
        self.padding_mode = padding_mode
        self._pads = self._widths()
        self._kernel = self.add_weight(
            name="kernel",
            shape=(*size, in_channels // groups, filters),
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )
        self.bias = None
        if use_bias:
            self.bias = self.add_weight(
                name="bias",
                shape=(filters,),
                initializer=self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )

    def _widths(self) -> tuple[tuple[int, int], ...]:
        if not isinstance(self.padding, str):
            return tuple((width, width) for width in self.padding)
        if self.padding == "valid":
            return ((0, 0),) * self.torch_rank
        if self.padding != "same" or max(self.stride) > 1:
            raise ValueError(
                "expected padding as numbers, 'valid', or 'same' with stride 1; got "
                f"{self.padding!r} with stride {self.stride}; give the width as a number."
            )
        totals = [d * (k - 1) for d, k in zip(self.dilation, self.kernel_size, strict=True)]
        return tuple((total // 2, total - total // 2) for total in totals)

    def call(self, inputs: Tensor) -> Tensor:
        inputs = self.cast_input(inputs)
        batched = len(inputs.shape) == self.torch_rank + 2
        values = channels_last(inputs if batched else ops.expand_dims(inputs, 0))
        values = pad_axes(values, ((0, 0), *self._pads, (0, 0)), self.padding_mode)
        kernel = self.kernel if self.lora_enabled else self.current_weight("kernel")
        outputs = convolve(values, kernel, self.stride, self.dilation, self.groups)
        bias = self.current_weight("bias")
        if bias is not None:
            outputs = ops.add(outputs, bias)
        if self.activation is not None:
            outputs = self.activation(outputs)
        outputs = channels_first(outputs)
        return outputs if batched else ops.squeeze(outputs, 0)


class Conv1D(_Convolution, keras.layers.Conv1D):
    """torch's `Conv1d` over `[b, c, length]`."""

    torch_rank = 1
    torch_weights: ClassVar = {
        "kernel": WeightSpec("weight", axes=kernel_axes(1)),
        "bias": WeightSpec("bias"),
    }


class Conv2D(_Convolution, keras.layers.Conv2D):
    """torch's `Conv2d` over `[b, c, height, width]`."""

    torch_weights: ClassVar = {
        "kernel": WeightSpec("weight", axes=kernel_axes(2)),
        "bias": WeightSpec("bias"),
    }


class Conv3D(_Convolution, keras.layers.Conv3D):
    """torch's `Conv3d` over `[b, c, depth, height, width]`."""

    torch_rank = 3
    torch_weights: ClassVar = {
        "kernel": WeightSpec("weight", axes=kernel_axes(3)),
        "bias": WeightSpec("bias"),
    }
