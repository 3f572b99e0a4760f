"""Pooling over windows, with torch's padding, ceil_mode and counting."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

from keras import ops

from keraform.runtime.layers.base import Layer, Tensor
from keraform.runtime.layers.convolution import as_tuple, channels_first, channels_last

Widths = tuple[tuple[int, int], ...]


def ceil_widths(
    sizes: Sequence[Any], window: Sequence[int], strides: Sequence[int], padding: Sequence[int]
) -> Widths:
    """Extra room after each axis, so that flooring gives what torch's `ceil_mode` gives."""
    widths = []
    for size, reach, stride, pad in zip(sizes, window, strides, padding, strict=True):
        if not isinstance(size, int):
            if pad + stride > reach:
                raise NotImplementedError(
                    "expected a known size for ceil_mode with windows that may start in the "
                    f"padding (window {reach}, stride {stride}, padding {pad}); got an unknown "
                    "one; give the input a static size."
                )
            widths.append((0, stride - 1))
            continue
        count = -(-(size + 2 * pad - reach) // stride) + 1
        if (count - 1) * stride >= size + pad:  # torch drops a window that starts in the padding
            count -= 1
        widths.append((0, max((count - 1) * stride + reach - size - 2 * pad, 0)))
    return tuple(widths)


class _Pooling(Layer):
    """Windows over the last `rank` axes of `[b, c, ...]`, or of `[c, ...]`."""

    rank = 2

    def _set_window(
        self,
        pool_size: int | Sequence[int],
        strides: int | Sequence[int] | None,
        padding: int | Sequence[int],
        ceil_mode: bool,
    ) -> None:
        self.kernel_size = pool_size
        self.stride = pool_size if strides is None else strides
        self.padding = padding
        self.ceil_mode = ceil_mode
        self._window = as_tuple(pool_size, self.rank)
        self._strides = as_tuple(self.stride, self.rank)
        self._pads = as_tuple(padding, self.rank)

    def _extra(self, inputs: Tensor, window: tuple[int, ...]) -> Widths:
        if not self.ceil_mode:
            return ((0, 0),) * self.rank
        sizes = ops.shape(inputs)[1:-1]
        return ceil_widths(sizes, window, self._strides, self._pads)

    def call(self, inputs: Tensor) -> Tensor:
        batched = len(inputs.shape) == self.rank + 2
        values = channels_last(inputs if batched else ops.expand_dims(inputs, 0))
        outputs = channels_first(self._pool(values))
        return outputs if batched else ops.squeeze(outputs, 0)


def _pad(values: Tensor, widths: Sequence[tuple[int, int]], filler: float) -> Tensor:
    if not any(before or after for before, after in widths):
        return values
    return ops.pad(values, ((0, 0), *widths, (0, 0)), constant_values=filler)


class _MaxPooling(_Pooling):
    def __init__(
        self,
        pool_size: int | Sequence[int],
        strides: int | Sequence[int] | None = None,
        padding: int | Sequence[int] = 0,
        dilation_rate: int | Sequence[int] = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if return_indices:
            raise NotImplementedError(
                f"expected return_indices=False; got True on {type(self).__name__}; "
                "compute the indices with ops.argmax over windows."
            )
        self._set_window(pool_size, strides, padding, ceil_mode)
        self.dilation = dilation_rate
        self._dilation = as_tuple(dilation_rate, self.rank)

    def _pool(self, values: Tensor) -> Tensor:
        reach = tuple((k - 1) * d + 1 for k, d in zip(self._window, self._dilation, strict=True))
        extra = self._extra(values, reach)
        widths = [(p, p + after) for p, (_, after) in zip(self._pads, extra, strict=True)]
        # torch pads with minus infinity, so that padding never wins
        values = _pad(values, widths, float("-inf"))
        if max(self._dilation) == 1 and self.rank < 3:
            return ops.max_pool(
                values, self._window, self._strides, "valid", data_format="channels_last"
            )
        return by_slices(values, self._window, self._strides, self._dilation, ops.maximum)


def by_slices(
    values: Tensor,
    window: tuple[int, ...],
    strides: tuple[int, ...],
    dilation: tuple[int, ...],
    join: Callable[[Tensor, Tensor], Tensor],
) -> Tensor:
    """Pool axis by axis over strided slices: dilated windows, and 3D in float64, which
    TensorFlow's kernels do not take.
    """
    for axis, (size, stride, spread) in enumerate(zip(window, strides, dilation, strict=True)):
        reach = (size - 1) * spread + 1
        stop = (ops.shape(values)[axis + 1] - reach) // stride * stride + 1
        parts = []
        for step in range(size):
            index = [slice(None)] * len(values.shape)
            index[axis + 1] = slice(step * spread, step * spread + stop, stride)
            parts.append(values[tuple(index)])
        values = functools.reduce(join, parts)
    return values


class MaxPooling1D(_MaxPooling):
    """torch's `MaxPool1d`."""

    rank = 1


class MaxPooling2D(_MaxPooling):
    """torch's `MaxPool2d`."""


class MaxPooling3D(_MaxPooling):
    """torch's `MaxPool3d`."""

    rank = 3


class _AveragePooling(_Pooling):
    def __init__(
        self,
        pool_size: int | Sequence[int],
        strides: int | Sequence[int] | None = None,
        padding: int | Sequence[int] = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._set_window(pool_size, strides, padding, ceil_mode)
        self.count_include_pad = count_include_pad
        self.divisor_override = divisor_override

    def _average(self, values: Tensor) -> Tensor:
        if self.rank == 3:
            sums = by_slices(values, self._window, self._strides, (1, 1, 1), ops.add)
            return sums / math.prod(self._window)
        return ops.average_pool(
            values, self._window, self._strides, "valid", data_format="channels_last"
        )

    def _pool(self, values: Tensor) -> Tensor:
        extra = self._extra(values, self._window)
        pads = [(width, width) for width in self._pads]
        outputs = self._average(_pad(_pad(values, pads, 0.0), extra, 0.0))
        if self.divisor_override is not None:
            return outputs * (math.prod(self._window) / self.divisor_override)
        padded = any(self._pads) and not self.count_include_pad
        if not padded and not any(after for _, after in extra):
            return outputs
        # the part of each window that counts: what torch divides by, over the window's size
        counted = ops.ones_like(values[:1, ..., :1])
        counted = _pad(_pad(counted, pads, 1.0 if self.count_include_pad else 0.0), extra, 0.0)
        return outputs / self._average(counted)


class AveragePooling1D(_AveragePooling):
    """torch's `AvgPool1d`."""

    rank = 1


class AveragePooling2D(_AveragePooling):
    """torch's `AvgPool2d`."""


class AveragePooling3D(_AveragePooling):
    """torch's `AvgPool3d`."""

    rank = 3
