"""Padding with torch's widths and modes, as a function on any axes and as layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras import ops

from keraform.runtime.layers.base import Layer, Tensor

Widths = Sequence[tuple[int, int]]


def pad_axes(inputs: Tensor, widths: Widths, mode: str = "zeros", value: float = 0.0) -> Tensor:
    """Pad every axis of `inputs` by `(before, after)`.

    Args:
        inputs: any tensor.
        widths: one pair for each axis; negative widths crop, as in torch.
        mode: "zeros" or "constant" (with `value`), "reflect", "replicate" or "circular".
        value: what "constant" pads with.
    """
    if any(before < 0 or after < 0 for before, after in widths):
        inputs, widths = _crop(inputs, widths)
    if not any(before or after for before, after in widths):
        return inputs
    if mode in ("zeros", "constant"):
        return ops.pad(inputs, widths, mode="constant", constant_values=value if value else None)
    if mode == "reflect":
        return ops.pad(inputs, widths, mode="reflect")
    if mode not in _INDICES:
        raise ValueError(
            f"expected padding mode zeros, constant, reflect, replicate or circular; got {mode!r}; "
            "correct padding_mode."
        )
    for axis, (before, after) in enumerate(widths):
        if before or after:
            size = ops.shape(inputs)[axis]
            places = ops.arange(-before, size + after)
            inputs = ops.take(inputs, _INDICES[mode](places, size), axis=axis)
    return inputs


_INDICES = {
    "replicate": lambda places, size: ops.clip(places, 0, size - 1),
    "circular": lambda places, size: ops.mod(places, size),
}


def _crop(inputs: Tensor, widths: Widths) -> tuple[Tensor, Widths]:
    for axis, (before, after) in enumerate(widths):
        if before < 0 or after < 0:
            size = ops.shape(inputs)[axis]
            index = [slice(None)] * len(inputs.shape)
            index[axis] = slice(max(-before, 0), size - max(-after, 0))
            inputs = inputs[tuple(index)]
    return inputs, [(max(before, 0), max(after, 0)) for before, after in widths]


class _Padding(Layer):
    """Pads the last `rank` axes; `padding` lists the last axis first, as torch does."""

    rank = 2
    mode = "constant"

    def __init__(self, padding: int | Sequence[int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        flat = (padding,) * (2 * self.rank) if isinstance(padding, int) else tuple(padding)
        if len(flat) != 2 * self.rank:
            raise ValueError(
                f"expected an int or {2 * self.rank} widths, the last axis first; got {padding!r}; "
                "give (left, right, ...)."
            )
        self.padding = flat
        self.value = 0.0

    def call(self, inputs: Tensor) -> Tensor:
        pairs = [(self.padding[2 * i], self.padding[2 * i + 1]) for i in range(self.rank)]
        free = [(0, 0)] * (len(inputs.shape) - self.rank)
        return pad_axes(inputs, [*free, *reversed(pairs)], self.mode, self.value)


class ZeroPadding1D(_Padding):
    """torch's `ZeroPad1d`."""

    rank = 1


class ZeroPadding2D(_Padding):
    """torch's `ZeroPad2d`."""


class ZeroPadding3D(_Padding):
    """torch's `ZeroPad3d`."""

    rank = 3


class _ConstantPadding(_Padding):
    def __init__(self, padding: int | Sequence[int], value: float, **kwargs: Any) -> None:
        super().__init__(padding, **kwargs)
        self.value = value


class ConstantPadding1D(_ConstantPadding):
    """torch's `ConstantPad1d`."""

    rank = 1


class ConstantPadding2D(_ConstantPadding):
    """torch's `ConstantPad2d`."""


class ConstantPadding3D(_ConstantPadding):
    """torch's `ConstantPad3d`."""

    rank = 3


class ReflectionPadding1D(_Padding):
    """torch's `ReflectionPad1d`."""

    rank = 1
    mode = "reflect"


class ReflectionPadding2D(_Padding):
    """torch's `ReflectionPad2d`."""

    mode = "reflect"


class ReflectionPadding3D(_Padding):
    """torch's `ReflectionPad3d`."""

    rank = 3
    mode = "reflect"


class ReplicationPadding1D(_Padding):
    """torch's `ReplicationPad1d`."""

    rank = 1
    mode = "replicate"


class ReplicationPadding2D(_Padding):
    """torch's `ReplicationPad2d`."""

    mode = "replicate"


class ReplicationPadding3D(_Padding):
    """torch's `ReplicationPad3d`."""

    rank = 3
    mode = "replicate"


class CircularPadding1D(_Padding):
    """torch's `CircularPad1d`."""

    rank = 1
    mode = "circular"


class CircularPadding2D(_Padding):
    """torch's `CircularPad2d`."""

    mode = "circular"
