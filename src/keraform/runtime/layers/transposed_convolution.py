"""Transposed convolutions with torch's interface: channels first outside, last inside.

Algebra: the input is spread by the stride, padded, and convolved with the flipped kernel; torch's
`padding` crops `padding` from each side and `output_padding` adds room at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

from keraform.runtime.layers.base import Tensor, TorchLayer
from keraform.runtime.layers.convolution import (
    as_tuple,
    channels_first,
    channels_last,
    kernel_axes,
    spread,
)
from keraform.runtime.layers.linear import fan_in_uniform
from keraform.runtime.layers.padding import pad_axes
from keraform.runtime.tree import WeightSpec, torch_property


class _TransposedConvolution(TorchLayer):
    """What the three ranks share; the Keras class follows in each."""

    torch_rank = 2
    weight = torch_property("weight")

    def __init__(
        self,
        in_channels: int,
        filters: int,
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int] = 1,
        padding: int | Sequence[int] = 0,
        output_padding: int | Sequence[int] = 0,
        groups: int = 1,
        use_bias: bool = True,
        dilation_rate: int | Sequence[int] = 1,
        padding_mode: str = "zeros",
        **kwargs: Any,
    ) -> None:
        rank = self.torch_rank
        if padding_mode != "zeros":
            raise ValueError(
                f"expected padding_mode 'zeros'; got {padding_mode!r}; "
                "transposed convolutions have no other in torch either."
            )
        size = as_tuple(kernel_size, rank)
        fan_in = filters // groups * int(np.prod(size))
        kwargs.setdefault("kernel_initializer", fan_in_uniform(fan_in))
        kwargs.setdefault("bias_initializer", fan_in_uniform(fan_in))
        super().__init__(filters, size, use_bias=use_bias, data_format="channels_last", **kwargs)
        self.in_channels, self.out_channels, self.groups = in_channels, filters, groups
        self.strides = self.stride = as_tuple(strides, rank)
        self.dilation_rate = self.dilation = as_tuple(dilation_rate, rank)
        self.padding = as_tuple(padding, rank)
        self.output_padding = as_tuple(output_padding, rank)
        self.padding_mode = padding_mode
        self._kernel = self.add_weight(
            name="kernel",
            shape=(*size, filters // groups, in_channels),
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

    def call(self, inputs: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        inputs = self.cast_input(inputs)
        batched = len(inputs.shape) == self.torch_rank + 2
        values = channels_last(inputs if batched else ops.expand_dims(inputs, 0))
        extra = self._extra(values, output_size)
        kernel = self.current_weight("kernel")
        if self.groups == 1:
            outputs = self._transposed(values, kernel, extra)
        else:
            parts = zip(
                ops.split(values, self.groups, axis=-1),
                ops.split(kernel, self.groups, axis=-1),
                strict=True,
            )
            outputs = ops.concatenate(
                [self._transposed(part, weights, extra) for part, weights in parts], axis=-1
            )
        bias = self.current_weight("bias")
        if bias is not None:
            outputs = ops.add(outputs, bias)
        if self.activation is not None:
            outputs = self.activation(outputs)
        outputs = channels_first(outputs)
        return outputs if batched else ops.squeeze(outputs, 0)

    def _extra(self, values: Tensor, output_size: Sequence[int] | None) -> tuple[int, ...]:
        """Torch's output_padding, or what `output_size` makes it."""
        if output_size is None:
            return self.output_padding
        sizes = tuple(output_size)[-self.torch_rank :]
        least = [
            (n - 1) * s - 2 * p + d * (k - 1) + 1
            for n, s, p, d, k in zip(
                ops.shape(values)[1:-1], self.stride, self.padding, self.dilation,
                self.kernel_size, strict=True,
            )
        ]  # fmt: skip
        return tuple(size - low for size, low in zip(sizes, least, strict=True))

    def _transposed(self, values: Tensor, kernel: Tensor, extra: tuple[int, ...]) -> Tensor:
        kernel = spread(ops.convert_to_tensor(kernel), self.dilation)
        reach = tuple(kernel.shape[: self.torch_rank])
        wide = ops.conv_transpose(
            values, kernel, strides=self.stride, padding="valid", data_format="channels_last"
        )
        # each axis of it has size (n - 1) stride + max(reach, stride)
        widths = []
        for axis in range(self.torch_rank):
            over = max(self.stride[axis] - reach[axis], 0)
            pad = self.padding[axis]
            widths.append((-pad, extra[axis] - pad - over))
        return pad_axes(wide, [(0, 0), *widths, (0, 0)])


class ConvTranspose1D(_TransposedConvolution, keras.layers.Conv1DTranspose):
    """torch's `ConvTranspose1d` over `[b, c, length]`."""

    torch_rank = 1
    torch_weights: ClassVar = {
        "kernel": WeightSpec("weight", axes=kernel_axes(1)),
        "bias": WeightSpec("bias"),
    }


class ConvTranspose2D(_TransposedConvolution, keras.layers.Conv2DTranspose):
    """torch's `ConvTranspose2d` over `[b, c, height, width]`."""

    torch_weights: ClassVar = {
        "kernel": WeightSpec("weight", axes=kernel_axes(2)),
        "bias": WeightSpec("bias"),
    }


class ConvTranspose3D(_TransposedConvolution, keras.layers.Conv3DTranspose):
    """torch's `ConvTranspose3d` over `[b, c, depth, height, width]`."""

    torch_rank = 3
    torch_weights: ClassVar = {
        "kernel": WeightSpec("weight", axes=kernel_axes(3)),
        "bias": WeightSpec("bias"),
    }
