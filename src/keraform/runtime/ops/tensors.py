"""What every family of operations asks of a tensor: is it one, its sizes, its axes, its numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import keras
import numpy as np
from keras import ops

from keraform.errors import explain
from keraform.runtime.tracing import known_value

Tensor: TypeAlias = Any
Size: TypeAlias = Any  # an int where the size is static, a scalar tensor where it is not


def on_jax() -> bool:
    """Whether JAX is the backend (its traced shapes are always static)."""
    return keras.backend.backend() == "jax"


def is_tensor(value: Any) -> bool:
    """Whether `value` is a backend tensor, a KerasTensor or a Keras variable."""
    return isinstance(value, (keras.KerasTensor, keras.Variable)) or ops.is_tensor(value)


def is_array(value: Any) -> bool:
    """Whether `value` holds numbers in axes: a tensor or a NumPy array."""
    return isinstance(value, np.ndarray) or is_tensor(value)


def as_tensor(value: Any) -> Tensor:
    """Returns `value` as a backend tensor; tensors pass through."""
    return ops.convert_to_tensor(value)


def sizes(x: Tensor) -> tuple[Size, ...]:
    """Returns the shape: ints where static, scalar tensors where not."""
    static = tuple(x.shape)
    return tuple(ops.shape(x)) if None in static else static


def static_sizes(x: Tensor) -> tuple[int | None, ...]:
    """Returns the shape with None where a size is not static."""
    return tuple(x.shape)


def rank(x: Tensor) -> int:
    """Returns the number of axes, which is always static."""
    return len(x.shape)


def as_int(value: Any) -> int | None:
    """Returns an integer that can be read now as an int, else None."""
    if isinstance(value, (int, np.integer)):
        return int(value)
    known = known_value(value)
    return None if known is None else int(known)


def scalar(value: Any, name: str, why: str) -> int:
    """Returns an int, or raises where `value` is only known when the graph runs."""
    number = as_int(value)
    if number is None:
        raise ValueError(
            explain(
                f"{name} as a number known while the graph is built: {why}",
                f"{name}={value!r}",
                f"a Python int for {name}, or run eagerly (model.run_eagerly = True)",
            )
        )
    return number


def index_scalar(value: Any) -> Any:
    """Returns an int, or an int32 scalar tensor that slices and reshapes accept."""
    number = as_int(value)
    return number if number is not None else ops.cast(value, "int32")


def axis_of(dim: Any, ndim: int, name: str = "dim") -> int:
    """Returns `dim` counted from the front; a scalar has one imaginary axis, as in torch."""
    dim = scalar(dim, name, "it names an axis")
    span = max(ndim, 1)
    if not -span <= dim < span:
        raise IndexError(
            explain(
                f"{name} in [{-span}, {span - 1}]",
                f"{name}={dim} for a tensor of {ndim} axes",
                f"{name}=-1",
            )
        )
    return dim % span


def axes_of(dim: Any, ndim: int) -> tuple[int, ...]:
    """Returns the axes that `dim` (None for all, an int, or several ints) names."""
    if dim is None:
        return tuple(range(ndim))
    if isinstance(dim, (int, np.integer)):
        return (axis_of(dim, ndim),)
    chosen = tuple(axis_of(d, ndim) for d in dim)
    if len(set(chosen)) != len(chosen):
        raise ValueError(explain("each axis once", f"dim={tuple(dim)}", "dim=(0, 1)"))
    return chosen or tuple(range(ndim))


def flat_sizes(given: Sequence[Any]) -> tuple[Any, ...]:
    """Reads `f(2, 3)`, `f((2, 3))` and `f(shape)` as the same sizes."""
    if len(given) == 1 and isinstance(given[0], (tuple, list)):
        given = given[0]
    elif len(given) == 1 and is_array(given[0]) and len(given[0].shape) == 1:
        given = [given[0][i] for i in range(given[0].shape[0])]
    return tuple(index_scalar(size) for size in given)


def product(numbers: Sequence[Size]) -> Size:
    """Returns the product of sizes: an int where all are static."""
    static = math.prod(n for n in numbers if isinstance(n, int))
    for number in numbers:
        if not isinstance(number, int):
            static = static * number
    return static


def transpose(x: Tensor, axes: Sequence[int]) -> Tensor:
    """Transposes, unless the axes already stand in order."""
    return x if list(axes) == list(range(len(axes))) else ops.transpose(x, axes)


def move(x: Tensor, source: int, target: int) -> Tensor:
    """Moves one axis, unless it is already there."""
    ndim = rank(x)
    source, target = source % ndim, target % ndim
    axes = [axis for axis in range(ndim) if axis != source]
    axes.insert(target, source)
    return transpose(x, axes)


def per_axis(value: Any, count: int, name: str) -> tuple[int, ...]:
    """Returns one int for each spatial axis, from an int or from a sequence of one or `count`."""
    if isinstance(value, (int, np.integer)):
        return (int(value),) * count
    values = tuple(int(v) for v in value)
    if len(values) == 1:
        return values * count
    if len(values) != count:
        raise ValueError(
            explain(f"{name} as one int or {count} ints", f"{name}={value!r}", f"{name}=1")
        )
    return values


def refuse(expected: str, got: str, next_step: str) -> ValueError:
    """Returns the error for a value that has no port (raise it)."""
    return ValueError(explain(expected, got, next_step))
