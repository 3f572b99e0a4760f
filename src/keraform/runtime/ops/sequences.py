"""The CTC loss, as a scan over time in log space.

Source of the algebra: Graves et al. 2006, "Connectionist temporal classification", section 4.1:
the forward variables alpha(t, s) over the targets with blanks put between and around them.
"""

from __future__ import annotations

from typing import Any

from keras import ops

from keraform.runtime.ops import dtypes
from keraform.runtime.ops.losses import reduce_loss
from keraform.runtime.ops.tensors import Tensor, as_tensor, rank, sizes

NEVER = -1e30  # stands for log(0): its gradient is zero, not NaN


def ctc_loss(
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: Any,
    target_lengths: Any,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Tensor:
    """Returns the connectionist temporal classification loss.

    Args:
        log_probs: [t, b, c] log-probabilities, or [t, c].
        targets: [b, s] class indices, or all of them behind each other in a vector.
        input_lengths: [b] how much of `t` counts.
        target_lengths: [b] how much of `s` counts.
        blank: Class of the blank.
        reduction: "mean" (each divided by its target length first), "sum" or "none".
        zero_infinity: Whether targets that do not fit give 0 instead of infinity.
    """
    log_probs = as_tensor(log_probs)
    if rank(log_probs) == 2:
        made = ctc_loss(
            ops.expand_dims(log_probs, 1),
            ops.reshape(targets, (1, -1)),
            ops.reshape(as_tensor(input_lengths), (1,)),
            ops.reshape(as_tensor(target_lengths), (1,)),
            blank,
            "none" if reduction == "none" else reduction,
            zero_infinity,
        )
        return ops.reshape(made, ())
    lengths = ops.cast(as_tensor(input_lengths), "int32")
    counts = ops.cast(as_tensor(target_lengths), "int32")
    labels = _rows(ops.cast(as_tensor(targets), "int32"), counts)
    loss = -_log_likelihood(log_probs, labels, lengths, counts, blank)
    infinite = loss > -NEVER / 2
    lost = ops.zeros_like(loss) if zero_infinity else ops.full_like(loss, float("inf"))
    loss = ops.where(infinite, lost, loss)
    if reduction == "mean":
        loss = loss / ops.cast(ops.maximum(counts, 1), loss.dtype)
    return reduce_loss(loss, reduction)


def _rows(labels: Tensor, counts: Tensor) -> Tensor:
    """Returns targets as [b, s], also those that stand behind each other in a vector."""
    if rank(labels) == 2:
        return labels
    static = sizes(labels)[0]
    ends = ops.cumsum(counts)
    if isinstance(static, int) and static == 0:
        return ops.zeros((sizes(counts)[0], 1), dtype="int32")
    places = ops.expand_dims(ends - counts, 1) + ops.expand_dims(
        ops.arange(static, dtype="int32"), 0
    )
    return ops.take(labels, ops.minimum(places, static - 1), axis=0)


def _log_likelihood(
    log_probs: Tensor, labels: Tensor, lengths: Tensor, counts: Tensor, blank: int
) -> Tensor:
    batch, span = sizes(labels)
    width = 2 * span + 1
    place = ops.arange(width, dtype="int32")  # blank, label, blank, label, ..., blank
    is_label = ops.equal(place % 2, 1)
    between = ops.pad(labels, ((0, 0), (0, 1)), constant_values=blank)
    padded = ops.reshape(ops.stack([ops.full_like(between, blank), between], axis=-1), (batch, -1))
    symbols = padded[:, :width]
    classes = sizes(log_probs)[-1]
    symbols = ops.minimum(ops.maximum(symbols, 0), classes - 1)
    before = ops.pad(symbols, ((0, 0), (2, 0)), constant_values=-1)[:, :width]
    may_skip = ops.logical_and(is_label, ops.not_equal(symbols, before))
    never = dtypes.as_dtype(NEVER, dtypes.name_of(log_probs.dtype))

    def emitted(frame: Tensor) -> Tensor:
        return ops.take_along_axis(frame, symbols, axis=-1)  # [b, width]

    possible = ops.logical_or(
        ops.equal(place, 0), ops.logical_and(ops.equal(place, 1), ops.expand_dims(counts > 0, 1))
    )
    start = ops.where(possible, emitted(log_probs[0]), never)

    def step(alpha: Tensor, at: Any) -> Any:
        frame, time = at
        one = ops.pad(alpha, ((0, 0), (1, 0)), constant_values=NEVER)[:, :-1]
        two = ops.pad(alpha, ((0, 0), (2, 0)), constant_values=NEVER)[:, :-2]
        two = ops.where(may_skip, two, never)
        summed = ops.logsumexp(ops.stack([alpha, one, two]), axis=0) + emitted(frame)
        active = ops.expand_dims(time < lengths, 1)
        alpha = ops.where(active, ops.maximum(summed, never), alpha)
        return alpha, alpha  # Keras wants the collected outputs to look like the carry

    frames = sizes(log_probs)[0]
    if isinstance(frames, int):
        times = ops.arange(1, frames, dtype="int32")
        alpha, _ = ops.scan(step, start, (log_probs[1:], times))
    else:  # Keras's scan wants a static length on TensorFlow
        _, alpha = ops.while_loop(
            lambda time, _: time < frames,
            lambda time, alpha: (time + 1, step(alpha, (log_probs[time], time))[0]),
            (ops.ones((), dtype="int32"), start),
        )
    last = ops.take_along_axis(alpha, ops.expand_dims(2 * counts, 1), axis=1)[:, 0]
    earlier = ops.take_along_axis(alpha, ops.expand_dims(ops.maximum(2 * counts - 1, 0), 1), axis=1)
    earlier = ops.where(counts > 0, earlier[:, 0], never)
    return ops.logaddexp(last, earlier)
