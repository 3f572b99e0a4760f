"""What a training step tells the losses inside of a model, and what they tell back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from keras import ops

from keraform.errors import explain


@dataclass
class Step:
    """One step of fit or evaluate.

    Args:
        sample_weight: Weights of the rows [b] or of the labels [b, q], or None.
        weighted: Whether a loss has used the weights.
        shifted: Whether a loss compared each position with the label of the next one.
    """

    sample_weight: Any = None
    weighted: bool = False
    shifted: bool = False


_current: ContextVar[Step | None] = ContextVar("step", default=None)


@contextmanager
def training_step(sample_weight: Any) -> Iterator[Step]:
    """The losses that are computed inside use these weights.

    Args:
        sample_weight: Weights [b] or [b, q], or None.
    """
    step = Step(sample_weight)
    token = _current.set(step)
    try:
        yield step
    finally:
        _current.reset(token)


def labels_are_shifted() -> bool:
    """Whether the loss of this step's model shifts labels by itself."""
    step = _current.get()
    return step is not None and step.shifted


def shift() -> None:
    """Says that labels were shifted to the left, and shifts the weights of labels with them."""
    step = _current.get()
    if step is None or step.shifted:
        return
    step.shifted = True
    weight = step.sample_weight
    if weight is not None and len(weight.shape) > 1:
        end = ops.zeros_like(weight[:, :1])
        step.sample_weight = ops.concatenate([weight[:, 1:], end], axis=1)


def weighted(losses: Any) -> Any:
    """Single losses times the weights of their rows, where the step has some.

    Args:
        losses: [b, ...], or all of a row behind each other, [b * n].

    Returns:
        Losses of the same shape.

    Raises:
        ValueError: there are no as many losses for each weight.
    """
    step = _current.get()
    if step is None or step.sample_weight is None or len(losses.shape) == 0:
        return losses
    weight = ops.reshape(ops.cast(step.sample_weight, losses.dtype), (-1, 1))
    found, wanted = (_size(each.shape) for each in (losses, weight))
    if found is not None and wanted and found % wanted:
        raise ValueError(
            explain(
                f"sample_weight with a weight for each row, or for each of the {found} losses",
                f"sample_weight of shape {tuple(step.sample_weight.shape)}",
                "a sample_weight of shape (rows,)",
            )
        )
    step.weighted = True
    rows = ops.reshape(losses, (ops.shape(weight)[0], -1))
    return ops.reshape(rows * weight, ops.shape(losses))


def _size(shape: Any) -> int | None:
    size = 1
    for axis in shape:
        if axis is None:
            return None
        size *= axis
    return size
