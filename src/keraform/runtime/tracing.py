"""Whether a value can be read now, or is only a symbol of a graph that is being built."""

from __future__ import annotations

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


def compiles_for_cpu() -> bool:
    """True while a graph is being built that XLA will compile for a CPU."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf
        from tensorflow.python.ops import control_flow_util

        if tf.executing_eagerly():
            return False
        graph = tf.compat.v1.get_default_graph()
        inside = control_flow_util.GraphOrParentsInXlaContext(graph)
        return bool(inside) and not tf.config.get_visible_devices("GPU")
    if backend == "jax":
        import jax

        return jax.default_backend() == "cpu" and is_tracing()
    return False
