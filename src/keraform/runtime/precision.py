"""Lifts the float casts that a model names to float64, so that proofs see the algebra only."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import keras

LIFTED = frozenset({"float16", "bfloat16", "float32"})

# the functions of `keras.ops` through which generated code names a dtype
PATCHED = (
    "cast",
    "arange",
    "zeros",
    "ones",
    "full",
    "empty",
    "zeros_like",
    "ones_like",
    "full_like",
    "empty_like",
    "array",
    "convert_to_tensor",
    "linspace",
    "logspace",
    "eye",
    "identity",
    "tri",
    "one_hot",
)

_LIFTING: ContextVar[bool] = ContextVar("keraform_lifting", default=False)


def lifting() -> bool:
    """Whether `lift_casts()` is active."""
    return _LIFTING.get()


def resolve(dtype: Any) -> Any:
    """The dtype to use where the model names `dtype`: float64 for smaller floats while lifting."""
    if dtype is None or not _LIFTING.get():
        return dtype
    name = keras.backend.standardize_dtype(dtype)
    return "float64" if name in LIFTED else name


@contextmanager
def lift_casts() -> Iterator[None]:
    """Read "float32", "float16" and "bfloat16" as "float64" wherever the model names them.

    The functions in `PATCHED` are replaced on the `keras.ops` module, which generated code calls;
    Keras's own layers and the backend are not touched. Values that only rounding tells apart are
    sorted as equal ones. Not for several threads at once.
    """
    if _LIFTING.get():
        yield
        return
    originals = {name: getattr(keras.ops, name) for name in PATCHED if hasattr(keras.ops, name)}
    token = _LIFTING.set(True)
    for name, function in originals.items():
        setattr(keras.ops, name, _resolving(function))
    try:
        yield
    finally:
        for name, function in originals.items():
            setattr(keras.ops, name, function)
        _LIFTING.reset(token)


# what Keras's promotion narrows without need: floats on JAX, complex numbers everywhere
_WIDE = ("float64", "int64", "complex128")


@contextmanager
def keep_float64() -> Iterator[None]:
    """Let Keras compute 64-bit numbers in 64 bits on every backend; proofs need it.

    Outside TensorFlow Keras 3.15's promotion rules turn float64 into float32 and int64 into int32
    (`ops.mean` and `ops.tanh` of a float64 tensor are off by 1e-8 on JAX, whatever
    `jax_enable_x64` says), and complex128 into complex64 on TensorFlow too. Their table is changed
    for the duration; it is read after Keras's caches, which know no precision, so none has to be
    cleared. A private table: tests/runtime/test_precision.py pins it and what it reaches.

    Raises:
        RuntimeError: JAX runs without x64, and would narrow everything itself.
    """
    if keras.backend.backend() == "jax" and integer_dtype() != "int64":
        raise RuntimeError(
            "expected JAX with 64-bit numbers; got jax_enable_x64=False; set JAX_ENABLE_X64=1, or "
            "call jax.config.update('jax_enable_x64', True) first."
        )
    from keras.src.backend.common import dtypes

    table = dtypes.BIT64_TO_BIT32_DTYPE
    before = dict(table)
    table.update({name: name for name in _WIDE})
    try:
        yield
    finally:
        table.update(before)


def _resolving(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` with its `dtype` argument, positional or by keyword, passed through `resolve`."""
    position = list(inspect.signature(function).parameters).index("dtype")

    @functools.wraps(function)
    def resolved(*args: Any, **kwargs: Any) -> Any:
        if "dtype" in kwargs:
            kwargs["dtype"] = resolve(kwargs["dtype"])
        elif len(args) > position:
            args = (*args[:position], resolve(args[position]), *args[position + 1 :])
        return function(*args, **kwargs)

    return resolved


def integer_dtype() -> str:
    """The widest integer dtype that the backend keeps: int64, or int32 on JAX without x64."""
    if keras.backend.backend() != "jax":
        return "int64"
    import jax

    return "int64" if jax.config.jax_enable_x64 else "int32"
