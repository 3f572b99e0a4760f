"""Classifier-free guidance: scores moved away from those that no prompt gives."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar

from keras import ops

from keraform.errors import explain
from keraform.generation.processors.base import LogitsProcessor, banned, is_count, require
from keraform.generation.tokens import occurring
from keraform.runtime.layers import Tensor


class ClassifierFreeGuidanceLogitsProcessor(LogitsProcessor):
    """u + scale (c - u), where the first half of the scores, c, is with the prompt and the other
    without.

    Args:
        guidance_scale: Above 1.

    Call arguments:
        scores: [2 b, v].

    Returns:
        [b, v].

    Raises:
        ValueError: the scale is not above 1, or the scores are not of two times `b` rows.
    """

    in_graph: ClassVar[bool] = True

    def __init__(self, guidance_scale: float) -> None:
        self.guidance_scale = checked_scale(guidance_scale)

    def __call__(self, input_ids: Tensor, scores: Tensor, cur_len: Any = None) -> Tensor:
        with_prompt, without = halves(input_ids, scores)
        return without + (with_prompt - without) * self.guidance_scale


class DiaClassifierFreeGuidanceLogitsProcessor(LogitsProcessor):
    """Dia's: c + scale (c - u), or c of the k tokens which are highest in that.

    Args:
        guidance_scale: Above 1.
        guidance_top_k: k.

    Call arguments:
        scores: [2 b, v], with the prompt and without.

    Returns:
        [b, v].

    Raises:
        ValueError: a number is out of its range, or the scores are not of two times `b` rows.
    """

    in_graph: ClassVar[bool] = True

    def __init__(self, guidance_scale: float, guidance_top_k: int | None = None) -> None:
        self.guidance_scale = checked_scale(guidance_scale)
        holds = guidance_top_k is None or is_count(guidance_top_k, least=1)
        require(holds, "guidance_top_k", guidance_top_k, "an integer from 1 on", "45")
        self.guidance_top_k = guidance_top_k

    def __call__(self, input_ids: Tensor, scores: Tensor, cur_len: Any = None) -> Tensor:
        with_prompt, without = halves(input_ids, scores)
        guided = with_prompt + (with_prompt - without) * self.guidance_scale
        if self.guidance_top_k is None:
            return guided
        _, highest = ops.top_k(guided, min(self.guidance_top_k, scores.shape[-1]))
        return banned(with_prompt, ~occurring(highest, scores.shape[-1]), -math.inf)


class UnbatchedClassifierFreeGuidanceLogitsProcessor(LogitsProcessor):
    """u + scale (c - u) of log probabilities, where u comes from a second call of the model.

    Args:
        guidance_scale: 1 for none, above it for more.
        unconditional_logits: Gives the logits [b, v] without the prompt, or with a negative one; it
            is called once at each step with `input_ids` and `cur_len`.
    """

    def __init__(
        self, guidance_scale: float, unconditional_logits: Callable[[Tensor, Any], Tensor]
    ) -> None:
        self.guidance_scale = guidance_scale
        self.unconditional_logits = unconditional_logits

    def __call__(self, input_ids: Tensor, scores: Tensor, cur_len: Any = None) -> Tensor:
        scores = ops.log_softmax(scores)
        if self.guidance_scale == 1:
            return scores
        without = ops.log_softmax(self.unconditional_logits(input_ids, cur_len))
        return self.guidance_scale * (scores - without) + without


def checked_scale(guidance_scale: Any) -> float:
    """A scale of guidance.

    Raises:
        ValueError: it is not above 1.
    """
    require(guidance_scale > 1, "guidance_scale", guidance_scale, "a number above 1", "3.0")
    return guidance_scale


def halves(input_ids: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
    """The scores with the prompt and those without.

    Raises:
        ValueError: they are not of twice as many rows as the tokens.
    """
    rows, tokens = scores.shape[0], input_ids.shape[0]
    if None not in (rows, tokens) and rows != 2 * tokens:
        raise ValueError(
            explain(
                f"scores of {2 * tokens} rows, with and without the prompt of {tokens}",
                f"scores of {rows} rows",
                "UnbatchedClassifierFreeGuidanceLogitsProcessor, for scores with the prompt only",
            )
        )
    with_prompt, without = ops.split(scores, 2, axis=0)
    return with_prompt, without
