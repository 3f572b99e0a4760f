"""What every logits processor is, and the few steps that several of them share."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
from keras import ops

from keraform.errors import explain
from keraform.generation.step_list import StepList, call_step
from keraform.runtime.layers import Tensor


class LogitsProcessor(ABC):
    """Changes the scores of the next token.

    Attributes:
        in_graph: Whether it can be called inside of a compiled program, with `cur_len` a tensor. A
            processor of your own that says so must compute with `keras.ops` and keep no state.

    Call arguments:
        input_ids: [b, L], a buffer of tokens (int32).
        scores: [b, v], what the next token would be chosen by (float).
        cur_len: how many columns of `input_ids` count, an int or an int32 scalar; all when None.

    Returns:
        [b, v], the scores to choose by, in the dtype of `scores`.
    """

    in_graph: ClassVar[bool] = False

    @abstractmethod
    def __call__(self, input_ids: Tensor, scores: Tensor, cur_len: Any = None) -> Tensor:
        """See the class."""


class LogitsProcessorList(StepList):
    """Processors that are applied one after the other.

    Call arguments:
        input_ids: [b, L], a buffer of tokens (int32).
        scores: [b, v] (float).
        cur_len: how many columns of `input_ids` count, an int or an int32 scalar; all when None.
        kwargs: what single processors take besides.

    Returns:
        [b, v], in the dtype of `scores`.

    Raises:
        ValueError: a processor takes an argument that `kwargs` does not have.
    """

    def __call__(
        self, input_ids: Tensor, scores: Tensor, cur_len: Any = None, **kwargs: Any
    ) -> Tensor:
        for processor in self:
            scores = call_step(processor, input_ids, scores, cur_len, kwargs)
        return scores


def require(holds: Any, name: str, value: Any, expected: str, example: str) -> None:
    """Raises a ValueError unless the argument of a constructor holds what is expected of it."""
    if not holds:
        wanted = f"{name} as {expected}"
        raise ValueError(explain(wanted, f"{name}={value!r}", f"{name}={example}"))


def is_count(value: Any, least: int = 0) -> bool:
    """Whether a value is a tensor, or an integer of at least `least`."""
    return ops.is_tensor(value) or (isinstance(value, (int, np.integer)) and value >= least)


def when(condition: Any, changed: Tensor, scores: Tensor) -> Tensor:
    """`changed` [b, v] where the condition holds, a bool or a bool scalar; else `scores`."""
    if isinstance(condition, (bool, np.bool_)):
        return changed if condition else scores
    return ops.where(condition, changed, scores)


def banned(scores: Tensor, mask: Any, value: float = -math.inf) -> Tensor:
    """The scores with `value` where the mask, broadcast to [b, v], is True."""
    return ops.where(mask, value, scores)


def only(scores: Tensor, mask: Any) -> Tensor:
    """Scores [b, v] of 0 where the mask [v] is True, and minus infinity elsewhere."""
    return banned(ops.zeros_like(scores), np.logical_not(mask))
