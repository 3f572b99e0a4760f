"""A block that is computed again for its gradients, so that what it computes is not kept.

`keras.remat` wants a function of tensors that gives the same at each run. A block of a model draws
random numbers, moves statistics, takes and gives all kinds of values, and runs again when its call
is long over. So the function here sees state as it was before the block, gives what the block
changed as outputs, and enters the scopes of the call again.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras
from keras import ops
from keras.src.backend.common import global_state  # scopes have no public reader

from keraform.runtime import observe

_AUTOCAST = "autocast_scope"


class _Replayed(keras.StatelessScope):
    """State as it was before the block, at every run; what the block changes is kept aside.

    Variables that are trained are read where they are, so that they get their gradients.

    Args:
        before: the values that the first run found, by the variable's id.
    """

    def __init__(self, before: dict[int, Any]) -> None:
        super().__init__(collect_losses=True, initialize_variables=False)
        self.before = before
        self.changed: list[keras.Variable] = []

    def add_update(self, update: tuple[keras.Variable, Any]) -> None:
        if all(known is not update[0] for known in self.changed):
            self.changed.append(update[0])
        super().add_update(update)

    def get_current_value(self, variable: keras.Variable) -> Any:
        for known in (self.state_mapping, self.before):
            if id(variable) in known:
                return known[id(variable)]
        value = None
        if self.original_scope is not None:
            value = self.original_scope.get_current_value(variable)
        if variable.trainable or (value is None and variable._value is None):
            return value
        if value is None:
            value = variable._value
            value = value.read_value() if hasattr(value, "read_value") else value
        self.before[id(variable)] = value
        return value


@contextmanager
def _autocast(scope: Any) -> Iterator[None]:
    outer = global_state.get_global_attribute(_AUTOCAST)
    global_state.set_global_attribute(_AUTOCAST, scope)
    try:
        yield
    finally:
        global_state.set_global_attribute(_AUTOCAST, outer)


def _is_differentiable(value: Any) -> bool:
    if not ops.is_tensor(value) or isinstance(value, keras.Variable):
        return False  # of a variable a block reads the value itself
    dtype = keras.backend.standardize_dtype(value.dtype)
    return keras.backend.is_float_dtype(dtype) or dtype.startswith("complex")


def _is_passed(value: Any) -> bool:
    """Whether a value has to leave the function as an output: TensorFlow's must be those that have
    gradients, and leaves the others where they are; JAX's are all that it traces.
    """
    if keras.backend.backend() == "jax":
        return ops.is_tensor(value)
    return _is_differentiable(value)


def rematerialized(
    layer: Any, run: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], scope: Any
) -> Any:
    """`run(*args, **kwargs)`, computed again in the backward pass.

    Random numbers, running statistics, losses that layers add and reports to observers are those of
    one run.

    Args:
        layer: the block.
        run: what computes it.
        args: of any kind.
        kwargs: of any kind.
        scope: enters the call's context (a context manager).
    """
    given = keras.tree.flatten((args, kwargs))
    places = [place for place, value in enumerate(given) if _is_differentiable(value)]
    context = contextvars.copy_context()
    autocast = global_state.get_global_attribute(_AUTOCAST)
    watched = bool(observe._CALLBACKS.get())
    before: dict[int, Any] = {}
    first: list[Any] = []

    def body(tensors: tuple[Any, ...]) -> dict[str, Any]:
        values = list(given)
        for place, tensor in zip(places, tensors, strict=True):
            values[place] = tensor
        inner_args, inner_kwargs = keras.tree.pack_sequence_as((args, kwargs), values)
        calls: list[Any] = []
        with observe.unobserved(), scope(), _autocast(autocast), _Replayed(before) as state:
            if watched:
                with observe.observe(lambda *call: calls.append(call)):
                    output = run(*inner_args, **inner_kwargs)
            else:
                output = run(*inner_args, **inner_kwargs)
        changed = [state.get_current_value(variable) for variable in state.changed]
        result = {"output": output, "changed": changed, "losses": state.losses, "calls": calls}
        if not first:
            first.extend((result, state.changed))
        return result

    def function(*tensors: Any) -> tuple[Any, ...]:
        leaves = keras.tree.flatten(context.run(body, tensors))
        return tuple(leaf for leaf in leaves if _is_passed(leaf))

    outputs = iter(keras.remat(function)(*(given[place] for place in places)))
    result = keras.tree.map_structure(
        lambda leaf: next(outputs) if _is_passed(leaf) else leaf, first[0]
    )
    for variable, value in zip(first[1], result["changed"], strict=True):
        variable.assign(value)
    first[:] = [None]  # a tape keeps the function
    for loss in result["losses"]:
        layer.add_loss(loss)
    for call in result["calls"]:
        observe.report(*call)
    return result["output"]
