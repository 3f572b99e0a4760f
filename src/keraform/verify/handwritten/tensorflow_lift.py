"""The float64 lift for plain TensorFlow in users files: what `tf.cast` and its like name or make
as a smaller float becomes float64, as `runtime.precision.lift_casts` does for `keras.ops`.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras

from keraform.runtime import activations

# The functions of the `tf` module that name a dtype or choose float32 by themselves.
LIFTED = (
    "cast", "constant", "convert_to_tensor", "ones", "zeros", "fill", "range", "linspace", "eye",
    "one_hot", "ones_like", "zeros_like",
)  # fmt: skip
SMALL = ("float16", "bfloat16", "float32")


def _gelu(features: Any, approximate: bool = False, name: str | None = None) -> Any:
    return activations.gelu_new(features) if approximate else activations.gelu(features)


def _leaky_relu(features: Any, alpha: float = 0.2, name: str | None = None) -> Any:
    return keras.ops.where(features > 0, features, features * alpha)


# TensorFlow rounds the constants of these to float32, which is 5e-9 off; Keras's layers call them.
EXACT = {"gelu": _gelu, "leaky_relu": _leaky_relu}


@contextmanager
def lift_tensorflow() -> Iterator[None]:
    """While active, those functions give float64 wherever code outside the libraries calls them."""
    if keras.backend.backend() != "tensorflow":
        yield
        return
    import tensorflow as tf

    libraries = tuple(str(Path(each.__file__).parent) for each in (tf, keras))
    before = {name: getattr(tf, name) for name in LIFTED}

    def lifted(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            result = function(*args, **kwargs)
            if sys._getframe(1).f_code.co_filename.startswith(libraries):
                return result
            small = getattr(result, "dtype", None) in SMALL
            return before["cast"](result, "float64") if small else result

        return call

    rounded = {name: getattr(tf.nn, name) for name in EXACT}
    try:
        for name, function in before.items():
            setattr(tf, name, lifted(function))
        for name, function in EXACT.items():
            setattr(tf.nn, name, function)
        yield
    finally:
        for name, function in before.items():
            setattr(tf, name, function)
        for name, function in rounded.items():
            setattr(tf.nn, name, function)
