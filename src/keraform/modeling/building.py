"""Building a model without values: its variables exist, and get their tensors later."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterable, Iterator

import keras
from keras.src.backend.common import global_state

_PENDING = "uninitialized_variables"  # Keras's own list of variables that wait for a value
_deferred: contextvars.ContextVar[bool] = contextvars.ContextVar("deferred", default=False)


def is_deferred() -> bool:
    """True while models are built without values."""
    return _deferred.get()


@contextlib.contextmanager
def deferred_values(
    made: list[keras.Variable] | None = None,
) -> Iterator[list[keras.Variable]]:
    """Variables made inside get no values; they are in the list that the context gives.

    Whoever opens this has to give each of them a value (`set_value`, `initialize`).

    Args:
        made: The list; a new one when None.
    """
    before = global_state.get_global_attribute(_PENDING)
    made = [] if made is None else made
    global_state.set_global_attribute(_PENDING, made)
    token = _deferred.set(True)
    try:
        with keras.StatelessScope(initialize_variables=False):
            yield made
    finally:
        _deferred.reset(token)
        global_state.set_global_attribute(_PENDING, before if before is not None else [])


def has_value(variable: keras.Variable) -> bool:
    """False for a variable that was made under `deferred_values` and has got no tensor yet.

    Args:
        variable: A Keras variable.
    """
    return variable._value is not None


def set_value(variable: keras.Variable, tensor: object) -> None:
    """Gives a variable its tensor, whether or not it has had one.

    Args:
        variable: The variable.
        tensor: A backend tensor of its shape and dtype.
    """
    if has_value(variable):
        variable.assign(tensor)
    else:
        variable._initialize(tensor)
        variable._initializer = None


def initialize(variables: Iterable[keras.Variable]) -> None:
    """Runs the constructor's initializer of every variable that has no value yet.

    Args:
        variables: The variables.
    """
    for variable in variables:
        if not has_value(variable):
            variable._deferred_initialize()


def lay_out(variables: Iterable[keras.Variable]) -> None:
    """Puts values where the `keras.distribution` that is set wants them, going by full paths.

    Keras looks for a layout when a variable gets its value; in a plain constructor that is before
    the variable has its full path.

    Args:
        variables: Variables with values.
    """
    for variable in variables:
        variable._layout = None
        variable._initialize(variable._value)


@contextlib.contextmanager
def dtype_scope(dtype: str | keras.DTypePolicy | None) -> Iterator[None]:
    """Layers made inside have this dtype policy (a policy on the model reaches no inner layer).

    Args:
        dtype: A dtype's or policy's name, a policy, or None for the one that is set.
    """
    if dtype is None:
        yield
        return
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(dtype)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
