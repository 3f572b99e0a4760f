"""Normalisations with running statistics: batch and instance normalisation, torch's meaning.

Training normalises by the batch's mean and biased variance and moves the running statistics by
`running += momentum * (batch - running)`, where the batch's variance is the unbiased one.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import keras
from keras import ops

from keraform.runtime import precision
from keraform.runtime.layers.base import Tensor, TorchLayer
from keraform.runtime.layers.normalization import scale_channels, standardise, widen
from keraform.runtime.tree import WeightSpec, torch_property


class BatchNormalization(TorchLayer, keras.layers.BatchNormalization):
    """torch's `BatchNorm1d`, `BatchNorm2d` and `BatchNorm3d` over `[b, channels, ...]`.

    Args:
        num_features: size of axis 1.
        epsilon: added to the variance.
        momentum: torch's: the weight of the new batch; None for a plain average of all batches.
        affine: whether there are a scale and a bias.
        track_running_stats: whether evaluation uses running statistics.
    """

    torch_weights: ClassVar = {
        "gamma": WeightSpec("weight"),
        "beta": WeightSpec("bias"),
        "moving_mean": WeightSpec("running_mean"),
        "moving_variance": WeightSpec("running_var"),
        "num_batches_tracked": WeightSpec("num_batches_tracked"),
    }
    weight = torch_property("weight")
    bias = torch_property("bias")
    running_mean = torch_property("running_mean")
    running_var = torch_property("running_var")

    def __init__(
        self,
        num_features: int,
        epsilon: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(axis=1, epsilon=epsilon, center=affine, scale=affine, **kwargs)
        self.num_features = num_features
        self.eps = epsilon
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats
        self.gamma = self._vector("gamma", "ones", True) if affine else None
        self.beta = self._vector("beta", "zeros", True) if affine else None
        self.moving_mean = self.moving_variance = self.num_batches_tracked = None
        if track_running_stats:
            self.moving_mean = self._vector("moving_mean", "zeros", False)
            self.moving_variance = self._vector("moving_variance", "ones", False)
            self.num_batches_tracked = self.add_weight(
                name="num_batches_tracked",
                shape=(),
                initializer="zeros",
                dtype=precision.integer_dtype(),
                trainable=False,
                autocast=False,
            )

    def _vector(self, name: str, initializer: str, trainable: bool) -> keras.Variable:
        return self.add_weight(
            name=name,
            shape=(self.num_features,),
            initializer=initializer,
            trainable=trainable,
            autocast=False,
        )

    @property
    def training(self) -> bool:
        """Whether statistics are the batch's, and move: not while it is frozen, as in Keras."""
        return super().training and self.trainable

    def call(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
        values = widen(inputs)
        if self.training or not self.track_running_stats:
            outputs = self._by_batch(values)
        else:
            outputs = self._by_running(values)
        if self.affine:
            outputs = scale_channels(outputs, self.gamma, self.beta)
        return self.cast_input(ops.cast(outputs, inputs.dtype))

    def _by_running(self, values: Tensor) -> Tensor:
        variance = ops.cast(self.moving_variance, values.dtype)
        scale = ops.rsqrt(variance + self.eps)
        shape = (1, -1) + (1,) * (len(values.shape) - 2)
        mean = ops.reshape(ops.cast(self.moving_mean, values.dtype), shape)
        return (values - mean) * ops.reshape(scale, shape)

    def _by_batch(self, values: Tensor) -> Tensor:
        axes = tuple(axis for axis in range(len(values.shape)) if axis != 1)
        if self.training and self.track_running_stats:
            self._move(values, axes)
        return standardise(values, axes, self.eps)

    def _move(self, values: Tensor, axes: tuple[int, ...]) -> None:
        assert self.num_batches_tracked is not None  # statistics are tracked
        self.num_batches_tracked.assign(self.num_batches_tracked + 1)
        mean, variance = ops.moments(values, axes=axes)
        shape = ops.shape(values)
        count = ops.cast(math.prod(shape[axis] for axis in axes), values.dtype)
        step = self.momentum
        if step is None:
            step = 1.0 / ops.cast(self.num_batches_tracked, values.dtype)
        unbiased = variance * (count / (count - 1))
        for running, batch in ((self.moving_mean, mean), (self.moving_variance, unbiased)):
            old = ops.cast(running, values.dtype)
            running.assign(ops.cast(old + step * (batch - old), running.dtype))


class InstanceNormalization(BatchNormalization):
    """torch's `InstanceNorm1d`, `InstanceNorm2d` and `InstanceNorm3d` over `[b, channels, ...]`."""

    def __init__(
        self,
        num_features: int,
        epsilon: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_features, epsilon, momentum, affine, track_running_stats, **kwargs)

    def _by_batch(self, values: Tensor) -> Tensor:
        axes = tuple(range(2, len(values.shape)))
        if self.training and self.track_running_stats:
            self._move(values, axes)
        return standardise(values, axes, self.eps)

    def _move(self, values: Tensor, axes: tuple[int, ...]) -> None:
        # torch averages the statistics of the instances and does not count the batches here
        mean, variance = ops.moments(values, axes=axes)
        count = ops.cast(math.prod(ops.shape(values)[2:]), values.dtype)
        unbiased = variance * (count / (count - 1))
        for running, batch in ((self.moving_mean, mean), (self.moving_variance, unbiased)):
            old = ops.cast(running, values.dtype)
            new = old + self.momentum * (ops.mean(batch, axis=0) - old)
            running.assign(ops.cast(new, running.dtype))
