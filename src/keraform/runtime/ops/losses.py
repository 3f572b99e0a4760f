"""Losses with torch's arguments and reductions."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keraform.errors import explain
from keraform.runtime import replicas
from keraform.runtime.ops import dtypes
from keraform.runtime.ops.reductions import vector_norm
from keraform.runtime.ops.tensors import Tensor, as_tensor, move, rank, refuse, sizes
from keraform.runtime.step import weighted
from keraform.runtime.tracing import is_for_xla


def reduce_loss(loss: Tensor, reduction: str) -> Tensor:
    """Applies "mean", "sum" or "none"; the first two with the weights that a step of training has
    for its rows.
    """
    if reduction == "mean":
        return mean_of_batch(weighted(loss))
    if reduction == "sum":
        return ops.sum(weighted(loss))
    if reduction == "none":
        return loss
    raise refuse('reduction "mean", "sum" or "none"', repr(reduction), 'reduction="mean"')


def mean_of_batch(loss: Tensor) -> Tensor:
    """The mean; of a replica, its part of the mean over the whole batch (`runtime.replicas`)."""
    if not replicas.are_several():
        return ops.mean(loss)
    size = ops.cast(ops.size(loss), loss.dtype)
    return ops.sum(loss) / ops.cast(replicas.whole(size), loss.dtype)


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """Returns the cross entropy of logits and class indices, or class probabilities.

    A mean over no element at all (every target ignored) is 0; torch gives NaN. This is the one
    deliberate deviation of the project.

    Args:
        input: Logits [n, c], [n, c, ...] or [c].
        target: Indices [n], [n, ...] or [], or probabilities in the shape of `input`.
        weight: Weight of each class [c].
        ignore_index: Target that does not count.
        reduction: "mean", "sum" or "none".
        label_smoothing: Share of the target that is spread evenly.
    """
    input, target = as_tensor(input), as_tensor(target)
    logits = move(input, 0 if rank(input) == 1 else 1, -1)
    log_probabilities = ops.log_softmax(logits, axis=-1)
    if dtypes.is_floating(target):
        return _soft_targets(log_probabilities, target, weight, reduction, label_smoothing)
    return _hard_targets(
        log_probabilities, target, weight, ignore_index, reduction, label_smoothing
    )


def _classes(log_probabilities: Tensor) -> Any:
    count = sizes(log_probabilities)[-1]
    return count if isinstance(count, int) else ops.cast(count, log_probabilities.dtype)


def _soft_targets(
    log_probabilities: Tensor,
    target: Tensor,
    weight: Tensor | None,
    reduction: str,
    smoothing: float,
) -> Tensor:
    classes = _classes(log_probabilities)
    target = move(target, 0 if rank(target) == 1 else 1, -1)
    target = dtypes.to(target, dtypes.name_of(log_probabilities.dtype))
    if smoothing:
        target = target * (1.0 - smoothing) + smoothing / classes
    terms = log_probabilities * target
    if weight is not None:
        terms = terms * weight
    return reduce_loss(-ops.sum(terms, axis=-1), reduction)


def _hard_targets(
    log_probabilities: Tensor,
    target: Tensor,
    weight: Tensor | None,
    ignore_index: int,
    reduction: str,
    smoothing: float,
) -> Tensor:
    target = _one_for_each(target, log_probabilities)
    kept = ops.not_equal(target, ignore_index)
    safe = ops.where(kept, target, ops.zeros_like(target))
    zero = ops.zeros((), dtype=log_probabilities.dtype)
    classes = sizes(log_probabilities)[-1]
    known = ops.logical_and(safe >= 0, safe < ops.cast(classes, safe.dtype))
    safe = ops.where(known, safe, ops.zeros_like(safe))
    taken = ops.take_along_axis(log_probabilities, ops.expand_dims(safe, -1), axis=-1)
    loss = _refuse_unknown(-ops.squeeze(taken, -1), known, classes)
    if weight is None:
        counts = ops.cast(kept, "int32")  # halves of floats cannot count beyond 2048
    else:
        weight = dtypes.to(as_tensor(weight), dtypes.name_of(log_probabilities.dtype))
        each = ops.take(weight, safe, axis=0)
        loss = loss * each
        counts = ops.where(kept, each, zero)
    if smoothing:
        terms = log_probabilities if weight is None else log_probabilities * weight
        even = -ops.sum(terms, axis=-1) / _classes(log_probabilities)
        loss = loss * (1.0 - smoothing) + even * smoothing
    loss = ops.where(kept, loss, zero)
    if reduction != "mean":
        return reduce_loss(loss, reduction)
    total = ops.cast(replicas.whole(ops.sum(counts)), loss.dtype)
    nothing = ops.logical_not(ops.any(kept))
    return reduce_loss(loss, "sum") / ops.where(nothing, ops.ones_like(total), total)


def _one_for_each(target: Tensor, log_probabilities: Tensor) -> Tensor:
    """The class numbers, where there are as many as rows of logits."""
    rows = log_probabilities.shape[:-1]
    parts = (
        "one class number for each row of logits",
        f"labels of shape {tuple(target.shape)} for logits of shape {tuple(rows)}",
        "labels with one class number for each; several classes a row are floats, with "
        'config.problem_type = "multi_label_classification"',
    )
    if not _fits(rows, target.shape):
        raise ValueError(explain(*parts))
    if None in (*rows, *target.shape) and _can_stop():
        import tensorflow as tf

        equal = tf.reduce_all(tf.equal(tf.shape(target), tf.shape(log_probabilities)[:-1]))
        return _stop_unless(equal, explain(*parts), target)
    return target


def _refuse_unknown(loss: Tensor, known: Tensor, classes: Any) -> Tensor:
    """Stops a run with class numbers that do not exist; compiled by XLA, which cannot, it goes on
    with NaN.
    """
    if not _can_stop():
        return ops.where(known, loss, ops.full_like(loss, float("nan")))
    last = classes - 1 if isinstance(classes, int) else "the last"
    message = explain(
        f"class numbers from 0 to {last}, or ignore_index",
        "labels with other numbers",
        "a configuration with num_labels (of language models: vocab_size) as in the data",
    )
    return _stop_unless(ops.all(known), message, loss)


def _can_stop() -> bool:
    return keras.backend.backend() == "tensorflow" and not is_for_xla()


def _stop_unless(condition: Tensor, message: str, value: Tensor) -> Tensor:
    import tensorflow as tf

    with tf.control_dependencies([tf.debugging.Assert(condition, [message])]):
        return tf.identity(value)


def _fits(shape: Any, other: Any) -> bool:
    """Whether two shapes are equal as far as they are known."""
    if len(shape) != len(other):
        return False
    pairs = zip(shape, other, strict=True)
    return all(one is None or two is None or one == two for one, two in pairs)


def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Tensor:
    """Returns the negative log-likelihood from log-probabilities [n, c, ...] and class indices."""
    input = as_tensor(input)
    moved = move(input, 0 if rank(input) == 1 else 1, -1)
    return _hard_targets(moved, as_tensor(target), weight, ignore_index, reduction, 0.0)


def binary_cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None = None, reduction: str = "mean"
) -> Tensor:
    """Returns `-(t log p + (1 - t) log(1 - p))`, each logarithm at least -100."""
    target = dtypes.to(as_tensor(target), dtypes.name_of(input.dtype))
    loss = -(
        target * ops.maximum(ops.log(input), -100.0)
        + (1.0 - target) * ops.maximum(ops.log1p(-input), -100.0)
    )
    return reduce_loss(loss if weight is None else loss * weight, reduction)


def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """Returns the binary cross entropy of logits; `pos_weight` scales the positive part."""
    input, target = dtypes.promote(input, target)
    if not _fits(input.shape, target.shape):
        raise ValueError(
            explain(
                f"a 0 or 1 for each logit, {tuple(input.shape)}",
                f"labels of shape {tuple(target.shape)}",
                'config.problem_type = "single_label_classification" for class numbers',
            )
        )
    if pos_weight is None:
        loss = (1.0 - target) * input - ops.log_sigmoid(input)
    else:
        factor = (pos_weight - 1.0) * target + 1.0
        loss = (1.0 - target) * input - factor * ops.log_sigmoid(input)
    return reduce_loss(loss if weight is None else loss * weight, reduction)


def mse_loss(
    input: Tensor, target: Tensor, reduction: str = "mean", weight: Tensor | None = None
) -> Tensor:
    """Returns the squared difference; with `weight` the mean is the weighted one."""
    return _difference_loss(ops.square, input, target, reduction, weight)


def l1_loss(
    input: Tensor, target: Tensor, reduction: str = "mean", weight: Tensor | None = None
) -> Tensor:
    """Returns the absolute difference; with `weight` the mean is the weighted one."""
    return _difference_loss(ops.abs, input, target, reduction, weight)


def _difference_loss(
    measure: Any, input: Tensor, target: Tensor, reduction: str, weight: Tensor | None
) -> Tensor:
    input, target = dtypes.promote(input, target)
    loss = measure(input - target)
    if weight is None:
        return reduce_loss(loss, reduction)
    loss = loss * weight
    return ops.sum(loss) / ops.sum(weight) if reduction == "mean" else reduce_loss(loss, reduction)


def smooth_l1_loss(
    input: Tensor, target: Tensor, reduction: str = "mean", beta: float = 1.0
) -> Tensor:
    """Returns `d^2 / (2 beta)` where |d| < beta, else `|d| - beta / 2`."""
    if beta == 0:
        return l1_loss(input, target, reduction)
    input, target = dtypes.promote(input, target)
    size = ops.abs(input - target)
    loss = ops.where(size < beta, 0.5 * size * size / beta, size - 0.5 * beta)
    return reduce_loss(loss, reduction)


def huber_loss(
    input: Tensor, target: Tensor, reduction: str = "mean", delta: float = 1.0
) -> Tensor:
    """Returns `d^2 / 2` where |d| < delta, else `delta * (|d| - delta / 2)`."""
    input, target = dtypes.promote(input, target)
    size = ops.abs(input - target)
    loss = ops.where(size < delta, 0.5 * size * size, delta * (size - 0.5 * delta))
    return reduce_loss(loss, reduction)


def kl_div(
    input: Tensor, target: Tensor, reduction: str = "mean", log_target: bool = False
) -> Tensor:
    """Returns `t (log t - x)` for log-probabilities x; "batchmean" divides by the batch."""
    from keraform.runtime.ops.activations import xlogy

    input, target = dtypes.promote(input, target)
    if log_target:
        loss = ops.exp(target) * (target - input)
    else:
        loss = xlogy(target, target) - target * input
    if reduction == "batchmean":
        return ops.sum(loss) / dtypes.as_dtype(sizes(loss)[0], dtypes.name_of(loss.dtype))
    return reduce_loss(loss, reduction)


def soft_margin_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """Returns `log(1 + exp(-t x))` for targets of 1 and -1."""
    input, target = dtypes.promote(input, target)
    return reduce_loss(ops.softplus(-target * input), reduction)


def margin_ranking_loss(
    input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0.0, reduction: str = "mean"
) -> Tensor:
    """Returns `max(0, -t (x1 - x2) + margin)` for targets of 1 and -1."""
    input1, input2, target = dtypes.promote(input1, input2, target)
    return reduce_loss(ops.relu(-target * (input1 - input2) + margin), reduction)


def hinge_embedding_loss(
    input: Tensor, target: Tensor, margin: float = 1.0, reduction: str = "mean"
) -> Tensor:
    """Returns x where the target is 1, `max(0, margin - x)` where it is -1."""
    zero = ops.zeros_like(input)
    loss = ops.where(ops.equal(target, 1), input, zero) + ops.where(
        ops.equal(target, -1), ops.relu(margin - input), zero
    )
    return reduce_loss(loss, reduction)


def cosine_embedding_loss(
    input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0.0, reduction: str = "mean"
) -> Tensor:
    """Returns `1 - cos` where the target is 1, `max(0, cos - margin)` where it is -1."""
    a, b = dtypes.promote(input1, input2)
    small = 1e-12
    squares = (ops.sum(a * a, axis=-1) + small) * (ops.sum(b * b, axis=-1) + small)
    cosine = ops.sum(a * b, axis=-1) / ops.sqrt(squares)
    zero = ops.zeros_like(cosine)
    loss = ops.where(ops.equal(target, 1), 1.0 - cosine, zero) + ops.where(
        ops.equal(target, -1), ops.relu(cosine - margin), zero
    )
    return reduce_loss(loss, reduction)


def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """Returns `max(0, |a - p| - |a - n| + margin)`; `swap` takes the nearer of a and p to n."""
    anchor, positive, negative = dtypes.promote(anchor, positive, negative)
    near = vector_norm(anchor - positive + eps, p, -1)
    far = vector_norm(anchor - negative + eps, p, -1)
    if swap:
        far = ops.minimum(far, vector_norm(positive - negative + eps, p, -1))
    return reduce_loss(ops.relu(near - far + margin), reduction)
