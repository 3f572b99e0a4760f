"""Normalisations that keep no running statistics: layer, RMS, group and local response."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import keras
from keras import ops

from keraform.runtime.layers.base import Layer, Tensor, TorchLayer
from keraform.runtime.tree import WeightSpec, torch_property

_HALF = ("float16", "bfloat16")
_MACHINE_EPSILON = {
    "bfloat16": 2.0**-7,
    "float16": 2.0**-10,
    "float32": 2.0**-23,
    "float64": 2.0**-52,
}


def as_shape(shape: int | Sequence[int]) -> tuple[int, ...]:
    """The sizes as a tuple; one number is one axis."""
    return (shape,) if isinstance(shape, int) else tuple(int(size) for size in shape)


def standardise(inputs: Tensor, axes: Sequence[int], epsilon: float) -> Tensor:
    """`(x - mean) / sqrt(variance + epsilon)` over `axes`."""
    mean = ops.mean(inputs, axis=axes, keepdims=True)
    centred = inputs - mean
    variance = ops.mean(ops.square(centred), axis=axes, keepdims=True)
    # epsilon stays a Python number: ops.cast would round it to float32 on the way
    return centred * ops.rsqrt(variance + epsilon)


def widen(inputs: Tensor) -> Tensor:
    """Half precision as float32, in which torch computes statistics; other dtypes as they are."""
    half = keras.backend.standardize_dtype(inputs.dtype) in _HALF
    return ops.cast(inputs, "float32") if half else inputs


class LayerNormalization(TorchLayer, keras.layers.LayerNormalization):
    """torch's `LayerNorm` over the last `len(shape)` axes.

    Args:
        shape: sizes of the normalised axes.
        epsilon: added to the variance.
        elementwise_affine: whether there is a scale (and a bias).
        use_bias: whether there is a bias.
        eps: torch's name of `epsilon`, for a model that chooses the class at run time.
    """

    torch_weights: ClassVar = {"gamma": WeightSpec("weight"), "beta": WeightSpec("bias")}
    weight = torch_property("weight")
    bias = torch_property("bias")

    def __init__(
        self,
        shape: int | Sequence[int],
        epsilon: float = 1e-5,
        elementwise_affine: bool = True,
        use_bias: bool = True,
        eps: float | None = None,
        **kwargs: Any,
    ) -> None:
        normalized = as_shape(shape)
        epsilon = epsilon if eps is None else eps
        super().__init__(
            axis=list(range(-len(normalized), 0)),
            epsilon=epsilon,
            center=elementwise_affine and use_bias,
            scale=elementwise_affine,
            **kwargs,
        )
        self.normalized_shape = normalized
        self.eps = epsilon
        self.variance_epsilon = epsilon
        self.elementwise_affine = elementwise_affine
        self.gamma = self._vector("gamma", "ones") if self.scale else None
        self.beta = self._vector("beta", "zeros") if self.center else None

    def _vector(self, name: str, initializer: str) -> keras.Variable:
        return self.add_weight(
            name=name, shape=self.normalized_shape, initializer=initializer, autocast=False
        )

    def call(self, inputs: Tensor) -> Tensor:
        dtype = inputs.dtype
        outputs = standardise(widen(inputs), tuple(self.axis), self.eps)
        for operation, attribute in ((ops.multiply, "gamma"), (ops.add, "beta")):
            vector = self.current_weight(attribute)
            if vector is not None:
                outputs = operation(outputs, ops.cast(vector, outputs.dtype))
        return self.cast_input(ops.cast(outputs, dtype))


class RMSNormalization(TorchLayer, keras.layers.RMSNormalization):
    """torch's `RMSNorm` over the last `len(shape)` axes.

    Args:
        shape: sizes of the normalised axes.
        epsilon: added to the mean square; None means the dtype's machine epsilon.
        elementwise_affine: whether there is a scale.
        eps: torch's name of `epsilon`, for a model that chooses the class at run time.
    """

    torch_weights: ClassVar = {"scale": WeightSpec("weight")}
    weight = torch_property("weight")

    def __init__(
        self,
        shape: int | Sequence[int],
        epsilon: float | None = None,
        elementwise_affine: bool = True,
        eps: float | None = None,
        **kwargs: Any,
    ) -> None:
        epsilon = epsilon if eps is None else eps
        super().__init__(axis=-1, epsilon=epsilon or 0.0, **kwargs)
        self.normalized_shape = as_shape(shape)
        self.eps = epsilon
        self.elementwise_affine = elementwise_affine
        self.scale = None
        if elementwise_affine:
            self.scale = self.add_weight(
                name="scale", shape=self.normalized_shape, initializer="ones", autocast=False
            )

    def call(self, inputs: Tensor) -> Tensor:
        dtype = inputs.dtype
        values = widen(inputs)
        axes = tuple(range(-len(self.normalized_shape), 0))
        epsilon = self.eps
        if epsilon is None:
            epsilon = _MACHINE_EPSILON[keras.backend.standardize_dtype(dtype)]
        square = ops.mean(ops.square(values), axis=axes, keepdims=True)
        outputs = values * ops.rsqrt(square + epsilon)
        scale = self.current_weight("scale")
        if scale is not None:
            outputs = outputs * ops.cast(scale, outputs.dtype)
        return self.cast_input(ops.cast(outputs, dtype))


class GroupNormalization(TorchLayer, keras.layers.GroupNormalization):
    """torch's `GroupNorm` over `[b, channels, ...]`.

    Args:
        groups: number of groups that the channels are cut into.
        num_channels: size of axis 1.
        epsilon: added to the variance.
        affine: whether there are a scale and a bias.
    """

    torch_weights: ClassVar = {"gamma": WeightSpec("weight"), "beta": WeightSpec("bias")}
    weight = torch_property("weight")
    bias = torch_property("bias")

    def __init__(
        self,
        groups: int,
        num_channels: int,
        epsilon: float = 1e-5,
        affine: bool = True,
        **kwargs: Any,
    ) -> None:
        if num_channels % groups:
            raise ValueError(
                f"expected num_channels divisible by groups; got {num_channels} channels in "
                f"{groups} groups; choose groups that divide them."
            )
        super().__init__(
            groups=groups, axis=1, epsilon=epsilon, center=affine, scale=affine, **kwargs
        )
        self.num_groups = groups
        self.num_channels = num_channels
        self.eps = epsilon
        self.affine = affine
        self.gamma = self.beta = None
        if affine:
            self.gamma = self.add_weight(
                name="gamma", shape=(num_channels,), initializer="ones", autocast=False
            )
            self.beta = self.add_weight(
                name="beta", shape=(num_channels,), initializer="zeros", autocast=False
            )

    def call(self, inputs: Tensor) -> Tensor:
        dtype, shape = inputs.dtype, ops.shape(inputs)
        rows = ops.reshape(widen(inputs), (shape[0], self.num_groups, -1))
        outputs = ops.reshape(standardise(rows, (-1,), self.eps), shape)
        if self.affine:
            outputs = scale_channels(outputs, self.gamma, self.beta)
        return self.cast_input(ops.cast(outputs, dtype))


def scale_channels(values: Tensor, scale: Tensor, offset: Tensor) -> Tensor:
    """`values * scale + offset` along axis 1 of `[b, channels, ...]`."""
    shape = (1, -1) + (1,) * (len(values.shape) - 2)
    scale = ops.reshape(ops.cast(scale, values.dtype), shape)
    return values * scale + ops.reshape(ops.cast(offset, values.dtype), shape)


class LocalResponseNormalization(Layer):
    """torch's `LocalResponseNorm`: divides by the energy of the neighbouring channels."""

    def __init__(
        self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def call(self, inputs: Tensor) -> Tensor:
        channels = inputs.shape[1]
        left = self.size // 2
        widths = [(0, 0), (left, (self.size - 1) // 2)] + [(0, 0)] * (len(inputs.shape) - 2)
        squares = ops.pad(ops.square(inputs), widths)
        energy = sum(squares[:, start : start + channels] for start in range(self.size))
        return inputs / (energy / self.size * self.alpha + self.k) ** self.beta
