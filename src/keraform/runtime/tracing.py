"""Whether a value can be read now, or is only a symbol of a graph that is being built."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import keras
import numpy as np


def is_known(value: Any) -> bool:
    """True when the numbers inside `value` can be read now (eager tensors, arrays, numbers)."""
    if value is None or isinstance(value, (bool, int, float, np.ndarray, np.generic)):
        return True
    if isinstance(value, keras.KerasTensor):
        return False
    backend = keras.backend.backend()
    if backend == "tensorflow":
        return hasattr(value, "numpy")  # graph tensors have no such method
    if backend == "jax":
        import jax

        return not isinstance(value, jax.core.Tracer)
    return True


# What a size is computed of is near; who looks farther has met an activation.
FARTHEST = 2000
# A size that is neither none nor one, and within every table.
USUAL = 8


def known_value(value: Any) -> np.ndarray | None:
    """The numbers inside a value, None when they cannot be read now.

    In a graph of TensorFlow that is being built, they can also be read where they are computed of
    constants alone, such as the grid of an image that the caller knows.
    """
    if is_known(value):
        return None if value is None else np.asarray(keras.ops.convert_to_numpy(value))
    if keras.backend.backend() != "tensorflow" or not hasattr(value, "graph"):
        return None
    found = _of_constants(value)
    numbers = _NUMBERS.get()
    if found is not None and numbers is not None:
        numbers.append(found)
    return found


_NUMBERS: ContextVar[list[np.ndarray] | None] = ContextVar("numbers", default=None)


@contextmanager
def numbers_read() -> Iterator[list[np.ndarray]]:
    """Collects the numbers that are read inside of a graph that is being built."""
    outer = _NUMBERS.get()
    numbers: list[np.ndarray] = []
    token = _NUMBERS.set(numbers)
    try:
        yield numbers
    finally:
        _NUMBERS.reset(token)
        if outer is not None:
            outer += numbers


def usual_value(value: Any) -> np.ndarray | None:
    """The numbers that are computed in a graph of TensorFlow from nothing but sizes and constants,
    where every size that the graph does not know is `USUAL`; None for others.
    """
    return _of_constants(value, USUAL) if hasattr(value, "graph") else None


def _of_constants(tensor: Any, usual: int | None = None) -> np.ndarray | None:
    import tensorflow as tf

    static = tf.get_static_value(tensor)
    if static is not None:
        return np.asarray(static)
    captured = {inner.name: outer for outer, inner in getattr(tensor.graph, "captures", ())}
    given: dict[str, np.ndarray] = {}
    seen, pending = set(), [tensor.op]
    while pending:
        op = pending.pop()
        if op.name in seen:
            continue
        seen.add(op.name)
        if len(seen) > FARTHEST or op.op_def.is_stateful:
            return None
        if usual is not None and op.type == "Shape" and op.inputs[0].shape.rank is not None:
            sizes = _usual_sizes(op.inputs[0], usual)
            given[op.outputs[0].name] = np.array(sizes, op.outputs[0].dtype.as_numpy_dtype)
            continue
        if op.type != "Placeholder":
            pending += [each.op for each in op.inputs]
            continue
        outer = captured.get(op.outputs[0].name)
        known = None if outer is None or outer.dtype == tf.resource else _outer(outer, usual)
        if known is None:
            return None
        given[op.outputs[0].name] = known
    with tf.compat.v1.Session(graph=tensor.graph) as session:
        return np.asarray(session.run(tensor, given))


def _usual_sizes(tensor: Any, usual: int) -> list[int]:
    """The shape of a tensor in a graph whose unknown sizes are usual ones. Those that a reshape
    infers from the others are not unknown, though TensorFlow does not know them.
    """
    sizes = list(tensor.shape)
    if tensor.op.type == "Reshape" and None in sizes:
        whole, target = tensor.op.inputs
        wanted = _of_constants(target, usual)
        if wanted is not None and whole.shape.rank is not None:
            rest = math.prod(int(size) for size in wanted if size != -1)
            inferred = math.prod(_usual_sizes(whole, usual)) // max(1, rest)
            made = [inferred if size == -1 else int(size) for size in wanted]
            sizes = [a if b is None else b for a, b in zip(made, sizes, strict=True)]
    if tensor.op.type == "Transpose" and None in sizes:
        whole, order = tensor.op.inputs
        axes = _of_constants(order)
        if axes is not None and whole.shape.rank is not None:
            before = _usual_sizes(whole, usual)
            sizes = [before[axis] for axis in axes]
    return [usual if size is None else size for size in sizes]


def _outer(value: Any, usual: int | None) -> np.ndarray | None:
    """The same of what an inner graph takes from the one around it."""
    found = known_value(value)
    return usual_value(value) if found is None and usual is not None else found


def is_tracing(tensor: Any = None) -> bool:
    """True while a graph is being built; with a tensor, when that tensor is part of it."""
    if tensor is not None:
        return not is_known(tensor)
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        return not tf.executing_eagerly()
    if backend == "jax":
        import jax

        # under a trace even a constant belongs to it
        return isinstance(jax.numpy.zeros(()), jax.core.Tracer)
    return False


def is_for_xla() -> bool:
    """True while a graph of TensorFlow is being built that XLA will compile."""
    import tensorflow as tf
    from tensorflow.python.ops import control_flow_util

    if tf.executing_eagerly():
        return False
    return bool(control_flow_util.GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph()))


def compiles_for_cpu() -> bool:
    """True while a graph is being built that XLA will compile for a CPU."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        return is_for_xla() and not tf.config.get_visible_devices("GPU")
    if backend == "jax":
        import jax

        return jax.default_backend() == "cpu" and is_tracing()
    return False


# What layers were given inside of a model of a graph: the layer, the name, what it held before.
_GIVEN: ContextVar[list[tuple[Any, str, Any]] | None] = ContextVar("given", default=None)
_NOTHING = object()


def is_inside() -> bool:
    """True while a model is called to build a graph."""
    return _GIVEN.get() is not None


@contextmanager
def inside() -> Iterator[None]:
    """Marks the call of a model, or of a layer in it, that builds a graph."""
    if is_inside():
        yield
        return
    given: list[tuple[Any, str, Any]] = []
    token = _GIVEN.set(given)
    try:
        yield
    finally:
        _GIVEN.reset(token)
        for layer, name, before in reversed(given):
            if before is _NOTHING:
                vars(layer).pop(name, None)
            else:
                vars(layer)[name] = before


def note_given(layer: Any, name: str, value: Any) -> None:
    """Notes a tensor of a graph that a layer is about to keep."""
    given = _GIVEN.get()
    if given is not None and keras.ops.is_tensor(value) and not is_known(value):
        given.append((layer, name, vars(layer).get(name, _NOTHING)))
