"""How a weight gets its value: at once or later, whole or in part, in torch's layout or its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from keraform.runtime.tree import (
    TorchWeight,
    WeightSpec,
    find_weight,
    inverse_axes,
    members,
    read,
)


@dataclass(frozen=True, slots=True)
class Weight:
    """A weight that is handed on to what fills it: a layer, and torch's name in it."""

    layer: Any
    name: str


_PROTECTED: ContextVar[frozenset[int]] = ContextVar("keraform_protected", default=frozenset())

Maker = Callable[[tuple[int, ...], str], Any]
Target = Any  # a layer (with `name`), a Weight or a keras.Variable


@contextmanager
def protecting(variables: Iterable[keras.Variable]) -> Iterator[None]:
    """Leave `variables` alone inside: those that a checkpoint has given their values."""
    held = _PROTECTED.get() | {id(variable) for variable in variables}
    token = _PROTECTED.set(frozenset(held))
    try:
        yield
    finally:
        _PROTECTED.reset(token)


def settle(variable: keras.Variable, value: Any) -> None:
    """Give `variable` its value in its own layout, initialising it when that was deferred."""
    value = ops.cast(ops.convert_to_tensor(value), variable._dtype)
    if variable._value is not None:
        variable.assign(value)
        return
    if tuple(value.shape) != tuple(variable.shape):
        raise ValueError(
            f"expected a value of shape {tuple(variable.shape)} for {variable.path}; got "
            f"{tuple(value.shape)}; check the axes of the weight map."
        )
    variable._initialize(value)
    variable._initializer = None
    _forget_deferred(variable)


def _forget_deferred(variable: keras.Variable) -> None:
    """Take `variable` off Keras's list of those it initialises when a StatelessScope ends."""
    from keras.src.backend.common import global_state

    waiting = global_state.get_global_attribute("uninitialized_variables")
    if waiting:
        waiting[:] = [other for other in waiting if other is not variable]


def fill(target: Target, name: str | None, make: Maker, index: Any, free: bool = False) -> Any:
    """Set the weight to `make(shape, dtype)`, which speaks of torch's layout.

    `free` says that the values know no order, so they can be drawn in Keras's layout at once.
    """
    if isinstance(target, Weight):
        return fill(target.layer, target.name, make, index, free)
    entry = entry_of(target, name)
    if entry is None:  # parametrised: torch would write into a computed copy
        return None
    if not isinstance(entry, TorchWeight):
        return _fill_buffer(target, str(name), entry, make, index)
    variable = entry.variable
    if id(variable) in _PROTECTED.get():
        return variable
    shape, dtype = torch_shape(entry), variable._dtype
    work = "float32" if dtype in ("float16", "bfloat16") else dtype
    if index is not None:
        settle(variable, _to_keras(_with_index(torch_value(entry), index, make, work), entry))
    elif free and entry.axes is not None:
        settle(variable, make(tuple(variable.shape), work))
    else:
        settle(variable, _to_keras(make(shape, work), entry))
    return variable


def entry_of(target: Target, name: str | None) -> TorchWeight | Any | None:
    """The weight; None where a parametrisation computes it; the tensor where it is a buffer."""
    if isinstance(target, keras.Variable):
        return TorchWeight("", target, None, "")
    if isinstance(target, Weight):
        return entry_of(target.layer, target.name)
    if name is None:
        raise TypeError(
            f"expected a variable, or a layer and the name of its weight; got "
            f"{type(target).__name__} alone; pass the name, as in normal_(layer, 'weight')."
        )
    derived = vars(target).get("_derived") or {}
    for attribute, source in derived.items():
        if target.torch_weights.get(attribute, WeightSpec(attribute)).name == name:
            entries = list(source.entries(target, attribute, WeightSpec(name)))
            return entries[0] if len(entries) == 1 and entries[0].alias else None
    value = getattr(target, name, None)
    if isinstance(value, keras.Variable):  # tf.is_tensor is true of Keras variables
        return find_weight(target, name)
    if ops.is_tensor(value) and any(name == member for member, _ in members(target)):
        return value
    return find_weight(target, name)


def _fill_buffer(target: Target, name: str, value: Any, make: Maker, index: Any) -> Any:
    dtype = keras.backend.standardize_dtype(value.dtype)
    if index is not None:
        new = _with_index(ops.convert_to_numpy(value).copy(), index, make, dtype)
    else:
        new = make(tuple(value.shape), dtype)
    setattr(target, name, ops.cast(ops.convert_to_tensor(new), dtype))
    return getattr(target, name)


def torch_shape(entry: TorchWeight) -> tuple[int, ...]:
    """The weight's shape in torch's layout, from which fans are computed."""
    shape = tuple(entry.variable.shape)
    return shape if entry.axes is None else tuple(shape[axis] for axis in inverse_axes(entry.axes))


def _to_keras(value: Any, entry: TorchWeight) -> Any:
    if entry.axes is None:
        return value
    transpose = np.transpose if isinstance(value, np.ndarray) else ops.transpose
    return transpose(value, entry.axes)


def torch_value(entry: TorchWeight) -> np.ndarray:
    """A copy of the weight's value in torch's layout."""
    value = ops.convert_to_numpy(read(entry.variable))
    return (value if entry.axes is None else np.transpose(value, inverse_axes(entry.axes))).copy()


def _with_index(value: np.ndarray, index: Any, make: Maker, dtype: str) -> np.ndarray:
    part = make(value[index].shape, dtype)
    value[index] = ops.convert_to_numpy(part) if ops.is_tensor(part) else part
    return value
