"""Keras's side: `keras.random` draws the numbers of both sides."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
from keras import ops

from keraform.verify.draws.numbers import bernoulli, between, classes, integers, normal, seeded


@contextmanager
def keras_noise() -> Iterator[None]:
    """`keras.random`, which layers and `keraform.ops` call, draws from here inside."""
    before = {name: getattr(keras.random, name) for name in _KERAS}
    for name, draw in _KERAS.items():
        setattr(keras.random, name, draw)
    try:
        with seeded():
            yield
    finally:
        for name, function in before.items():
            setattr(keras.random, name, function)


def _keras_uniform(
    shape: Any, minval: float = 0.0, maxval: float = 1.0, dtype: Any = None, seed: Any = None
) -> Any:
    return ops.convert_to_tensor(between(shape, minval, maxval), dtype or keras.config.floatx())


def _keras_normal(
    shape: Any, mean: float = 0.0, stddev: float = 1.0, dtype: Any = None, seed: Any = None
) -> Any:
    return ops.convert_to_tensor(mean + stddev * normal(shape), dtype or keras.config.floatx())


def _keras_dropout(inputs: Any, rate: float, noise_shape: Any = None, seed: Any = None) -> Any:
    kept = bernoulli(ops.shape(inputs) if noise_shape is None else noise_shape, 1.0 - rate)
    return inputs * ops.cast(ops.convert_to_tensor(kept / (1.0 - rate)), inputs.dtype)


def _keras_randint(
    shape: Any, minval: Any, maxval: Any, dtype: Any = "int32", seed: Any = None
) -> Any:
    return ops.convert_to_tensor(integers(shape, minval, maxval), dtype)


def _keras_categorical(
    logits: Any, num_samples: int, dtype: Any = "int32", seed: Any = None
) -> Any:
    weights = np.exp(ops.convert_to_numpy(logits).astype("float64"))
    return ops.convert_to_tensor(classes(weights, num_samples), dtype)


_KERAS: dict[str, Callable[..., Any]] = {
    "uniform": _keras_uniform,
    "normal": _keras_normal,
    "randint": _keras_randint,
    "categorical": _keras_categorical,
    "dropout": _keras_dropout,
}
