"""Stopping criteria: upstream's, by its names, in code that runs eagerly and compiled."""

from __future__ import annotations

import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, ClassVar

import numpy as np
from keras import ops
from transformers import GenerationConfig

from keraform.errors import explain
from keraform.generation.step_list import StepList, call_step
from keraform.generation.stop_strings import stop_table
from keraform.generation.tokens import last_tokens, length_of, token_ids
from keraform.runtime.layers import Tensor

__all__ = [
    "ConfidenceCriteria",
    "EosTokenCriteria",
    "MaxLengthCriteria",
    "MaxTimeCriteria",
    "StopStringCriteria",
    "StoppingCriteria",
    "StoppingCriteriaList",
    "get_stopping_criteria",
]


class StoppingCriteria(ABC):
    """Says which rows end.

    Attributes:
        in_graph: Whether it can be called inside of a compiled program, with `cur_len` a tensor. A
            criterion of your own that says so must compute with `keras.ops` and keep no state.

    Call arguments:
        input_ids: [b, L], a buffer of tokens (int32).
        scores: a tuple, of which the last is [b, v] for the last token; None where none are kept.
        cur_len: how many columns of `input_ids` count, an int or an int32 scalar; all when None.

    Returns:
        [b], True for rows that end (bool).
    """

    in_graph: ClassVar[bool] = False

    @abstractmethod
    def __call__(
        self, input_ids: Tensor, scores: Any, cur_len: Any = None, **kwargs: Any
    ) -> Tensor:
        """See the class."""


class MaxLengthCriteria(StoppingCriteria):
    """Ends all rows at a length, prompt included.

    Args:
        max_length: An int or an int32 scalar.
        max_position_embeddings: The longest text that the model was made for; beyond it there is a
            warning, where the length is known.
    """

    in_graph: ClassVar[bool] = True

    def __init__(self, max_length: Any, max_position_embeddings: int | None = None) -> None:
        self.max_length = max_length
        self.max_position_embeddings = max_position_embeddings

    def __call__(
        self, input_ids: Tensor, scores: Any, cur_len: Any = None, **kwargs: Any
    ) -> Tensor:
        length = length_of(input_ids, cur_len)
        most = self.max_position_embeddings
        if most is not None and isinstance(length, int) and most < length < self.max_length:
            warnings.warn(
                f"The text is now longer than the {most} positions that the model was made for; "
                f"what it writes may be worse.",
                stacklevel=2,
            )
        return same_for_all(length >= self.max_length, input_ids)


class MaxTimeCriteria(StoppingCriteria):
    """Ends all rows after a time.

    Args:
        max_time: Seconds.
        initial_timestamp: From when on, as time.time() gives it; now by default.
    """

    def __init__(self, max_time: float, initial_timestamp: float | None = None) -> None:
        self.max_time = max_time
        self.initial_timestamp = time.time() if initial_timestamp is None else initial_timestamp

    def __call__(
        self, input_ids: Tensor, scores: Any, cur_len: Any = None, **kwargs: Any
    ) -> Tensor:
        return same_for_all(time.time() - self.initial_timestamp > self.max_time, input_ids)


class EosTokenCriteria(StoppingCriteria):
    """Ends the rows whose last token is an end.

    Args:
        eos_token_id: One id or several.

    Call arguments:
        new_token_length: how many last tokens are looked at.
    """

    in_graph: ClassVar[bool] = True

    def __init__(self, eos_token_id: Any) -> None:
        self.eos_token_id = token_ids(eos_token_id)

    def __call__(
        self,
        input_ids: Tensor,
        scores: Any,
        cur_len: Any = None,
        new_token_length: int = 1,
        **kwargs: Any,
    ) -> Tensor:
        last = last_tokens(input_ids, new_token_length, cur_len)
        is_end = ops.equal(last[..., None], self.eos_token_id)  # [b, new, ids]
        return ops.any(is_end, axis=(1, 2))


class StopStringCriteria(StoppingCriteria):
    """Ends the rows whose last token completes one of some strings.

    The string may begin inside of an earlier token and end inside of the last one; that it stood
    somewhere before does not count.

    Args:
        tokenizer: The tokenizer of the tokens.
        stop_strings: One string or several.

    Raises:
        ValueError: no token can end any of the strings.
    """

    in_graph: ClassVar[bool] = True

    def __init__(self, tokenizer: Any, stop_strings: str | list[str]) -> None:
        strings = (stop_strings,) if isinstance(stop_strings, str) else tuple(stop_strings)
        self.stop_strings: tuple[str, ...] = strings
        self.table = stop_table(tokenizer, strings)

    def __call__(
        self, input_ids: Tensor, scores: Any, cur_len: Any = None, **kwargs: Any
    ) -> Tensor:
        table = self.table
        count = int(table.targets.max())  # each token has a character at least
        outside = len(table.lengths) - 1
        tokens = ops.minimum(last_tokens(input_ids, count, cur_len), outside)
        missing = np.arange(count, dtype="int32") < count - length_of(input_ids, cur_len)
        tokens = ops.flip(ops.where(missing, outside, tokens), axis=1)  # [b, count], last one first
        # each way in which the last token can overlap with the end is followed by itself
        overlap = ops.take(table.overlaps, tokens[:, :1], axis=0)  # [b, 1, strings, ways]
        lengths = ops.take(table.lengths, tokens[:, 1:], axis=0)[..., None, None]
        lengths = lengths + ops.zeros_like(overlap)  # [b, count - 1, strings, ways]
        matched = ops.cumsum(ops.concatenate([overlap, lengths], axis=1), axis=1)
        places = ops.take(table.places, tokens[:, 1:], axis=0)  # [b, count - 1, strings, places]
        fits = ops.any(matched[:, :-1, :, None] == places[..., None], axis=-2)
        fits = ops.concatenate([overlap > 0, fits], axis=1)
        unbroken = ops.cumsum(ops.cast(~fits, "int32"), axis=1) == 0
        longest = ops.max(ops.where(unbroken, matched, 0), axis=(1, 3))  # [b, strings]
        return ops.any(longest >= table.targets, axis=-1)


class ConfidenceCriteria(StoppingCriteria):
    """Ends an assistant's draft, of one row, at a token that it was not sure of.

    Args:
        assistant_confidence_threshold: The probability from which on it is sure.
    """

    in_graph: ClassVar[bool] = True

    def __init__(self, assistant_confidence_threshold: float) -> None:
        self.assistant_confidence_threshold = assistant_confidence_threshold

    def __call__(
        self, input_ids: Tensor, scores: Any, cur_len: Any = None, **kwargs: Any
    ) -> Tensor:
        probs = ops.softmax(scores[-1][:1])
        chosen = last_tokens(input_ids, 1, cur_len)[:1]
        sure = ops.take_along_axis(probs, chosen, axis=-1)[0, 0]
        return same_for_all(sure < self.assistant_confidence_threshold, input_ids)


class StoppingCriteriaList(StepList):
    """Criteria of which one is enough to end a row.

    Call arguments:
        input_ids: [b, L], a buffer of tokens (int32).
        scores: a tuple of [b, v], or None.
        cur_len: how many columns of `input_ids` count, an int or an int32 scalar; all when None.
        kwargs: what single criteria take besides.

    Returns:
        [b], True for rows that end (bool).
    """

    def __call__(
        self, input_ids: Tensor, scores: Any, cur_len: Any = None, **kwargs: Any
    ) -> Tensor:
        done = same_for_all(False, input_ids)
        for criterion in self:
            done = done | call_step(criterion, input_ids, scores, cur_len, kwargs)
        return done

    @property
    def max_length(self) -> Any:
        """The length at which all rows end, None when there is none."""
        lengths = (each.max_length for each in self if isinstance(each, MaxLengthCriteria))
        return next(lengths, None)


def same_for_all(done: Any, input_ids: Tensor) -> Tensor:
    """One bool for each row [b]."""
    done = ops.convert_to_tensor(done, dtype="bool")
    return ops.broadcast_to(done, (ops.shape(input_ids)[0],))


def get_stopping_criteria(
    generation_config: GenerationConfig,
    *,
    stopping_criteria: Iterable[Any] | None = None,
    tokenizer: Any = None,
    max_position_embeddings: int | None = None,
    max_length: Any = None,
) -> StoppingCriteriaList:
    """All criteria of a generation, in upstream's order.

    Args:
        generation_config: What is asked for.
        stopping_criteria: The user's own.
        tokenizer: What stop strings are compared by.
        max_position_embeddings: The longest text that the model was made for.
        max_length: Length of the whole, an int or an int32 scalar; the config's when None.

    Raises:
        ValueError: there are stop strings and no tokenizer.
    """
    config = generation_config
    criteria = StoppingCriteriaList()
    if max_length is None:
        max_length = config.max_length
    if max_length is not None:
        criteria.append(MaxLengthCriteria(max_length, max_position_embeddings))
    if config.max_time is not None:
        criteria.append(MaxTimeCriteria(config.max_time))
    if config.stop_strings is not None:
        if tokenizer is None:
            raise ValueError(
                explain(
                    "a tokenizer, which says what each token writes",
                    f"stop_strings={config.stop_strings!r} and tokenizer=None",
                    "model.generate(..., tokenizer=tokenizer)",
                )
            )
        criteria.append(StopStringCriteria(tokenizer, config.stop_strings))
    if config.eos_token_id is not None:
        criteria.append(EosTokenCriteria(config.eos_token_id))
    threshold = config.assistant_confidence_threshold
    if config.is_assistant and threshold is not None and threshold > 0:
        criteria.append(ConfidenceCriteria(threshold))
    return criteria.merged_with(stopping_criteria)
