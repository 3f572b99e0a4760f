"""The loss of recurrent neural network transducers, as a sum over alignments in log space.

Source of the algebra: Graves 2012, "Sequence transduction with recurrent neural networks", section
2.4: alpha(t, u) is the probability of all ways to have read t frames and written u labels. It is
computed along the diagonals t + u = n, each of which depends on the one before alone.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keraform.runtime.layers import Tensor
from keraform.runtime.ops.sequences import NEVER

REDUCTIONS = ("mean_volume", "mean_batch", "mean", "sum", "none")


def ParakeetForRNNTLoss(
    logits: Tensor,
    labels: Tensor,
    logit_lengths: Tensor,
    label_lengths: Tensor,
    blank_token_id: int,
    reduction: str = "mean_volume",
    **kwargs: Any,
) -> Tensor:
    """The negative log-likelihood of labels [b, u] under logits [b, t, u + 1, v].

    `reduction` is "mean_volume" (all rows by the number of all labels), "mean_batch", "mean" (each
    row by the number of its labels), "sum" or "none".
    """
    if reduction not in REDUCTIONS:
        raise ValueError(
            f"Expected reduction to be one of {', '.join(REDUCTIONS)}; got {reduction!r}. Leave it "
            "out for 'mean_volume'."
        )
    log_probabilities = ops.log_softmax(ops.cast(logits, "float32"), axis=-1)
    losses = -_log_likelihood(
        log_probabilities,
        ops.cast(labels, "int32"),
        ops.cast(logit_lengths, "int32"),
        ops.cast(label_lengths, "int32"),
        blank_token_id,
    )
    counts = ops.cast(label_lengths, losses.dtype)
    if reduction == "none":
        return losses
    if reduction == "sum":
        return ops.sum(losses)
    if reduction == "mean_volume":
        return ops.sum(losses) / ops.sum(counts)
    return ops.mean(losses / counts if reduction == "mean" else losses)


def _log_likelihood(
    log_probabilities: Tensor, labels: Tensor, frames: Tensor, counts: Tensor, blank: int
) -> Tensor:
    """Log-probabilities [b, t, u + 1, v] of labels [b, u] to log-likelihoods [b]."""
    time, width = ops.shape(log_probabilities)[1:3]
    written = ops.arange(width, dtype="int32")  # u
    known = ops.logical_and(labels >= 0, labels < ops.shape(log_probabilities)[-1])
    labels = ops.where(known, labels, ops.zeros_like(labels))  # padding is never reached
    labels = ops.pad(labels, ((0, 0), (0, 1)))[:, None, :, None]
    shape = (*ops.shape(log_probabilities)[:3], 1)
    blanks = log_probabilities[..., blank]  # [b, t, u + 1]
    emitted = ops.take_along_axis(log_probabilities, ops.broadcast_to(labels, shape), axis=-1)
    emitted = ops.squeeze(emitted, -1)
    never = ops.full_like(blanks[:, 0], NEVER)  # [b, u + 1]

    def on_diagonal(values: Tensor, n: Any) -> Tensor:
        """Values [b, t, u + 1] at t = n - u, as [b, u + 1]; NEVER outside."""
        places = n - written
        inside = ops.logical_and(places >= 0, places < time)
        places = ops.broadcast_to(ops.clip(places, 0, time - 1), ops.shape(never))
        found = ops.take_along_axis(values, places[:, None], axis=1)[:, 0]
        return ops.where(inside, found, never)

    # a row ends with the blank of its last frame after its last label
    last = frames - 1 + counts

    def step(n: Any, alpha: Tensor, total: Tensor) -> tuple[Any, Tensor, Tensor]:
        read = alpha + on_diagonal(blanks, n)
        end = ops.take_along_axis(read, counts[:, None], axis=1)[:, 0]
        total = ops.where(ops.equal(last, n), end, total)
        wrote = alpha + on_diagonal(emitted, n)
        wrote = ops.pad(wrote[:, :-1], ((0, 0), (1, 0)), constant_values=NEVER)
        return n + 1, ops.maximum(ops.logaddexp(read, wrote), never), total

    start = ops.where(ops.equal(written, 0), ops.zeros_like(never), never)
    n, total = ops.zeros((), dtype="int32"), ops.zeros_like(never[:, 0])
    steps = time + width - 1
    if keras.backend.backend() == "tensorflow":  # sizes may be unknown, which only XLA minds
        most = steps if isinstance(steps, int) else None
        return ops.while_loop(lambda n, *_: n < steps, step, (n, start, total), most)[2]

    def scanned(state: Any, _: Any) -> Any:
        state = step(*state)
        return state, state  # Keras wants the collected outputs to look like the carry

    (_, _, total), _ = ops.scan(scanned, (n, start, total), length=steps)
    return total
