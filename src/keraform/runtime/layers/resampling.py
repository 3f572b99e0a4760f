"""Layers that only rearrange or resample: flatten, upsample, pixel shuffle, unfold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras import ops

from keraform.runtime.layers.base import Layer, Tensor


class Flatten(Layer):
    """Joins the axes `start_dim` to `end_dim` into one."""

    def __init__(self, start_dim: int = 1, end_dim: int = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.start_dim, self.end_dim = start_dim, end_dim

    def call(self, inputs: Tensor) -> Tensor:
        shape, rank = ops.shape(inputs), len(inputs.shape)
        start, end = self.start_dim % rank, self.end_dim % rank
        joined = 1
        for size in shape[start : end + 1]:
            joined = joined * size
        return ops.reshape(inputs, (*shape[:start], joined, *shape[end + 1 :]))


class Unflatten(Layer):
    """Cuts axis `dim` into the axes `unflattened_size`."""

    def __init__(self, dim: int, unflattened_size: Sequence[int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dim, self.unflattened_size = dim, tuple(unflattened_size)

    def call(self, inputs: Tensor) -> Tensor:
        shape, axis = ops.shape(inputs), self.dim % len(inputs.shape)
        return ops.reshape(inputs, (*shape[:axis], *self.unflattened_size, *shape[axis + 1 :]))


class Upsample(Layer):
    """torch's `Upsample`: `interpolate` with the layer's arguments."""

    def __init__(
        self,
        size: int | Sequence[int] | None = None,
        scale_factor: float | Sequence[float] | None = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
        recompute_scale_factor: bool | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.size, self.scale_factor, self.mode = size, scale_factor, mode
        self.align_corners = align_corners
        self.recompute_scale_factor = recompute_scale_factor

    def call(self, inputs: Tensor) -> Tensor:
        from keraform.runtime import ops as kf

        return kf.interpolate(
            inputs,
            size=self.size,
            scale_factor=self.scale_factor,
            mode=self.mode,
            align_corners=self.align_corners,
            recompute_scale_factor=self.recompute_scale_factor,
        )


class PixelShuffle(Layer):
    """`[..., c r r, h, w]` to `[..., c, h r, w r]`."""

    def __init__(self, upscale_factor: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.upscale_factor = upscale_factor

    def call(self, inputs: Tensor) -> Tensor:
        r = self.upscale_factor
        *lead, channels, height, width = ops.shape(inputs)
        n = len(lead)
        parts = ops.reshape(inputs, (*lead, channels // (r * r), r, r, height, width))
        order = (*range(n), n, n + 3, n + 1, n + 4, n + 2)
        return ops.reshape(
            ops.transpose(parts, order), (*lead, channels // (r * r), height * r, width * r)
        )


class PixelUnshuffle(Layer):
    """`[..., c, h r, w r]` to `[..., c r r, h, w]`."""

    def __init__(self, downscale_factor: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.downscale_factor = downscale_factor

    def call(self, inputs: Tensor) -> Tensor:
        r = self.downscale_factor
        *lead, channels, height, width = ops.shape(inputs)
        n = len(lead)
        parts = ops.reshape(inputs, (*lead, channels, height // r, r, width // r, r))
        order = (*range(n), n, n + 2, n + 4, n + 1, n + 3)
        return ops.reshape(
            ops.transpose(parts, order), (*lead, channels * r * r, height // r, width // r)
        )


class Unfold(Layer):
    """torch's `Unfold`: sliding blocks `[b, c k k, blocks]`, channels before window."""

    def __init__(
        self,
        kernel_size: int | Sequence[int],
        dilation: int | Sequence[int] = 1,
        padding: int | Sequence[int] = 0,
        stride: int | Sequence[int] = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.kernel_size, self.dilation = kernel_size, dilation
        self.padding, self.stride = padding, stride

    def call(self, inputs: Tensor) -> Tensor:
        from keraform.runtime import ops as kf

        return kf.im2col(inputs, self.kernel_size, self.dilation, self.padding, self.stride)
