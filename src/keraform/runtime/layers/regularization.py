"""Dropout in torch's forms."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keraform.runtime.layers.base import Tensor, TorchLayer


class Dropout(TorchLayer, keras.layers.Dropout):
    """torch's `Dropout`: in training, zeros with probability `rate`, the rest scaled up.

    The seed generator is the layer's own, so its state moves in fit and stays in evaluate.
    """

    # axes along which one draw holds for all (counted from the input's rank), for Dropout1D to 3D
    shared_axes: tuple[int, ...] = ()

    def __init__(self, rate: float = 0.5, inplace: bool = False, **kwargs: Any) -> None:
        super().__init__(rate, **kwargs)
        self.inplace = inplace

    @property
    def p(self) -> float:
        return self.rate

    @p.setter
    def p(self, rate: float) -> None:
        if rate > 0 and not hasattr(self, "seed_generator"):
            self.seed_generator = keras.random.SeedGenerator()
        self.rate = rate

    def call(self, inputs: Tensor) -> Tensor:
        if not self.rate or not self.training:
            return inputs
        if self.rate >= 1:
            return ops.zeros_like(inputs)
        return keras.random.dropout(
            inputs, self.rate, noise_shape=self._noise(inputs), seed=self.seed_generator
        )

    def _noise(self, inputs: Tensor) -> tuple[Any, ...] | None:
        if not self.shared_axes:
            return None
        shape = list(ops.shape(inputs))
        for axis in self.shared_axes:
            shape[axis] = 1
        return tuple(shape)


class Dropout1D(Dropout):
    """Drops whole channels of `[b, c, length]`."""

    shared_axes = (-1,)


class Dropout2D(Dropout):
    """Drops whole channels of `[b, c, height, width]`."""

    shared_axes = (-1, -2)


class Dropout3D(Dropout):
    """Drops whole channels of `[b, c, depth, height, width]`."""

    shared_axes = (-1, -2, -3)
