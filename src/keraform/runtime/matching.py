"""Which rows go with which columns for the least cost, in graphs too."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from keraform.errors import explain
from keraform.runtime.layers import Tensor
from keraform.runtime.ops import dtypes


def linear_sum_assignment(cost_matrix: Tensor, maximize: bool = False) -> tuple[Tensor, Tensor]:
    """The rows and columns that cost least together, each at most once; without a gradient.

    Args:
        cost_matrix: What each row costs with each column, [r, c].
        maximize: Whether the most is wanted instead.

    Returns:
        Rows, in order, and the columns they go with: both integers, [min(r, c)].

    Raises:
        ImportError: scipy, which solves it outside of the graph, is not installed.
    """
    cost = ops.stop_gradient(ops.convert_to_tensor(cost_matrix))
    cost = -cost if maximize else cost
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        pairs = tf.numpy_function(_assigned, [cost], tf.int64)
        pairs.set_shape((2, None))
    elif backend == "jax":
        import jax

        shape = jax.ShapeDtypeStruct((2, min(cost.shape)), dtypes.integer())
        pairs = jax.pure_callback(lambda c: _assigned(c).astype(shape.dtype), shape, cost)
    else:
        pairs = ops.convert_to_tensor(_assigned(ops.convert_to_numpy(cost)))
    return pairs[0], pairs[1]


def _assigned(cost: Any) -> np.ndarray:
    try:
        from scipy.optimize import linear_sum_assignment as solve
    except ImportError as error:
        raise ImportError(
            explain(
                "scipy, whose linear_sum_assignment matches objects with queries",
                str(error),
                "pip install scipy",
            )
        ) from error
    return np.stack(solve(np.asarray(cost))).astype("int64")
