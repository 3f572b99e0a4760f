"""What the replicas of a `tf.distribute.Strategy` know of the batch that they share.

A replica sees its own rows. The mean over replicas of a quotient `sum / whole(count)` is the mean
over the whole batch, however its rows, and the labels that count, are spread.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


def whole(count: Any) -> Any:
    """The mean over all replicas of a number, as a float; the number itself where there is one.

    Args:
        count: How much this replica has: a tensor [].
    """
    context = _context()
    if context is None:
        return count
    import tensorflow as tf

    count = count if keras.backend.is_float_dtype(count.dtype) else ops.cast(count, "float64")
    return context.all_reduce(tf.distribute.ReduceOp.MEAN, count)


def are_several() -> bool:
    """Whether this code runs on one of several replicas."""
    return _context() is not None


def _context() -> Any:
    """The context of this replica, where there are others."""
    if keras.backend.backend() != "tensorflow":
        return None
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    return context if context is not None and context.num_replicas_in_sync > 1 else None
