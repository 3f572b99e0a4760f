"""Adaptive pooling: bin `i` of `n` covers `floor(i L / n)` to `ceil((i + 1) L / n)` of `L`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

from keraform.runtime.layers.base import Layer, Tensor


def bins(size: int, count: int) -> list[tuple[int, int]]:
    """`(start, stop)` of each of `count` bins over an axis of `size`."""
    return [(i * size // count, -(-(i + 1) * size // count)) for i in range(count)]


def _static(inputs: Tensor, axis: int) -> int:
    size = inputs.shape[axis]
    if size is None:
        raise NotImplementedError(
            f"expected a known size along axis {axis} for adaptive pooling to more than one bin; "
            "got an unknown one; give the input a static size."
        )
    return int(size)


def average_axis(inputs: Tensor, axis: int, count: int) -> Tensor:
    """Means over `count` bins along `axis`."""
    if count == 1:
        return ops.mean(inputs, axis=axis, keepdims=True)
    size = _static(inputs, axis)
    weights = np.zeros((size, count))
    for place, (start, stop) in enumerate(bins(size, count)):
        weights[start:stop, place] = 1.0 / (stop - start)
    matrix = ops.convert_to_tensor(weights, dtype=inputs.dtype)
    return ops.moveaxis(ops.matmul(ops.moveaxis(inputs, axis, -1), matrix), -1, axis)


def maximum_axis(inputs: Tensor, axis: int, count: int) -> Tensor:
    """Maxima over `count` bins along `axis`."""
    if count == 1:
        return ops.max(inputs, axis=axis, keepdims=True)
    parts = []
    for start, stop in bins(_static(inputs, axis), count):
        index = [slice(None)] * len(inputs.shape)
        index[axis] = slice(start, stop)
        parts.append(ops.max(inputs[tuple(index)], axis=axis, keepdims=True))
    return ops.concatenate(parts, axis=axis)


class _AdaptivePooling(Layer):
    """Pools each of the last `rank` axes to `output_size`; None keeps an axis."""

    rank = 2

    def __init__(self, output_size: int | Sequence[int | None] | None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.output_size = output_size

    def call(self, inputs: Tensor) -> Tensor:
        sizes = self.output_size
        if sizes is None or isinstance(sizes, int):
            sizes = (sizes,) * self.rank
        for offset, count in enumerate(sizes):
            axis = len(inputs.shape) - self.rank + offset
            if count is not None and count != inputs.shape[axis]:
                inputs = self._pool_axis(inputs, axis, count)
        return inputs


class AdaptiveAveragePooling1D(_AdaptivePooling):
    """torch's `AdaptiveAvgPool1d`."""

    rank = 1
    _pool_axis = staticmethod(average_axis)


class AdaptiveAveragePooling2D(_AdaptivePooling):
    """torch's `AdaptiveAvgPool2d`."""

    _pool_axis = staticmethod(average_axis)


class AdaptiveAveragePooling3D(_AdaptivePooling):
    """torch's `AdaptiveAvgPool3d`."""

    rank = 3
    _pool_axis = staticmethod(average_axis)


class AdaptiveMaxPooling1D(_AdaptivePooling):
    """torch's `AdaptiveMaxPool1d`."""

    rank = 1
    _pool_axis = staticmethod(maximum_axis)


class AdaptiveMaxPooling2D(_AdaptivePooling):
    """torch's `AdaptiveMaxPool2d`."""

    _pool_axis = staticmethod(maximum_axis)


class AdaptiveMaxPooling3D(_AdaptivePooling):
    """torch's `AdaptiveMaxPool3d`."""

    rank = 3
    _pool_axis = staticmethod(maximum_axis)
