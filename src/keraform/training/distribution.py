"""`fit`, `evaluate` and `predict` under a `tf.distribute.Strategy`, equal to those without."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops
from keras.src.losses.loss import scale_loss_for_distribution

from keraform.errors import KeraformError
from keraform.runtime import replicas
from keraform.runtime.ops.randomness import of_process


class Replicated:
    """Mixin before a `keras.Model`: mends what Keras's trainer does under a strategy.

    - Rows of a batch count the same, also where replicas have not equally many of them (Keras
      takes the mean of the replicas' means).
    - A first batch that cannot be split evenly, and several workers, can be trained on.
    - XLA, which TensorFlow cannot use over several devices, is refused with a word.
    """

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """`keras.Model.compile`; `jit_compile=True` is for one device only."""
        strategy = getattr(self, "distribute_strategy", None)
        if kwargs.get("jit_compile") is True and strategy and strategy.num_replicas_in_sync > 1:
            raise KeraformError(
                expected=f"jit_compile=False for {strategy.num_replicas_in_sync} replicas: "
                "TensorFlow compiles no step that several devices share",
                got=f"jit_compile=True in a {type(strategy).__name__}",
                try_next='compile(..., jit_compile=False), or KERAS_BACKEND="jax" with '
                "keras.distribution.DataParallel, which compiles",
            )
        super().compile(*args, **kwargs)  # type: ignore[misc]

    def train_step(self, *args: Any) -> Any:
        """One training step of a replica."""
        return _for_workers(self, super().train_step(*args))  # type: ignore[misc]

    def test_step(self, *args: Any) -> Any:
        """One evaluation step of a replica."""
        return _for_workers(self, super().test_step(*args))  # type: ignore[misc]

    def compute_loss(self, x: Any = None, *args: Any, **kwargs: Any) -> Any:
        """A compiled loss; its gradient counts as the replica's rows do in the whole batch."""
        loss = super().compute_loss(x, *args, **kwargs)  # type: ignore[misc]
        if not replicas.are_several():
            return loss
        return _with_gradient_of(ops.multiply(loss, _share(x, loss.dtype)), loss)

    def _distributed(self, loss: Any, x: Any) -> Any:
        """A replica's part of a loss that is a mean over the whole batch (`replicas.whole`).

        Keras weights what it reports with the replica's rows.
        """
        if not replicas.are_several():
            return loss
        reported = ops.divide_no_nan(loss, _share(x, loss.dtype))
        return scale_loss_for_distribution(_with_gradient_of(loss, reported))

    def _maybe_symbolic_build(self, iterator: Any = None, data_batch: Any = None) -> None:
        """Builds metrics and optimizer in the strategy's scope, by what one replica gets.

        Keras takes the mean of what the replicas get, which has to be of one shape and here.
        """
        strategy = getattr(self, "_distribute_strategy", None)
        if strategy is None:
            return
        if iterator is not None:
            _, _, batches = next(iter(iterator))
            batch = next(batches)
            data_batch = keras.tree.map_structure(
                lambda value: strategy.experimental_local_results(value)[0], batch
            )
        with strategy.scope():
            of_process()  # which draws the dropout of attentions
            self._symbolic_build(data_batch=data_batch)


def _share(x: Any, dtype: str) -> Any:
    """A replica's rows over the mean number of rows: 1 where a batch is split evenly."""
    rows = ops.shape(next(leaf for leaf in keras.tree.flatten(x) if leaf is not None))[0]
    rows = ops.cast(rows, dtype)
    return ops.divide(rows, replicas.whole(rows))


def _with_gradient_of(loss: Any, value: Any) -> Any:
    """The value, with the gradient of the loss."""
    return ops.add(loss, ops.stop_gradient(ops.subtract(value, loss)))


def _for_workers(model: Any, logs: Any) -> Any:
    """Numbers as vectors where several workers run: Keras takes the mean along axis 0 there."""
    strategy = getattr(model, "distribute_strategy", None)
    if strategy is None or not getattr(strategy.extended, "_in_multi_worker_mode", bool)():
        return logs
    return {name: ops.expand_dims(value, 0) for name, value in logs.items()}
