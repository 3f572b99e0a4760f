"""Processors against what was said before, in the tokens so far or in the encoder's input."""

from __future__ import annotations

from typing import Any, ClassVar

from keras import ops

from keraform.errors import explain
from keraform.generation.processors.base import LogitsProcessor, banned, is_count, require, when
from keraform.generation.tokens import counting, for_each_row, last_tokens, length_of, occurring
from keraform.runtime.layers import Tensor


class RepetitionPenaltyLogitsProcessor(LogitsProcessor):
    """Makes tokens that were there less likely, once for each token: a score above 0 is divided,
    one below is multiplied.

    Args:
        penalty: Above 1 against repetition, below 1 for it.
        prompt_ignore_length: Leading tokens that do not count, such as padding: an int, or [b].

    Raises:
        ValueError: a number is out of its range, or the lengths are not one for each row.
    """

    in_graph: ClassVar[bool] = True

    def __init__(self, penalty: float, prompt_ignore_length: Any = None) -> None:
        self.penalty = checked_penalty(penalty)
        if isinstance(prompt_ignore_length, int):
            require(
                prompt_ignore_length >= 0,
                "prompt_ignore_length",
                prompt_ignore_length,
                "an integer from 0 on",
                "2",
            )
        elif prompt_ignore_length is not None:
            require(
                len(prompt_ignore_length.shape) == 1,
                "prompt_ignore_length",
                prompt_ignore_length,
                "an integer, or one for each row",
                "2",
            )
        self.prompt_ignore_length = prompt_ignore_length

    def __call__(self, input_ids: Tensor, scores: Tensor, cur_len: Any = None) -> Tensor:
        counts = ops.broadcast_to(counting(input_ids, cur_len), ops.shape(input_ids))
        if self.prompt_ignore_length is not None:
            places = ops.arange(ops.shape(input_ids)[1], dtype="int32")
            counts = counts & (places >= self._ignored(input_ids))
        return penalised(scores, occurring(input_ids, scores.shape[-1], counts), self.penalty)

    def _ignored(self, input_ids: Tensor) -> Any:
        lengths = self.prompt_ignore_length
        if isinstance(lengths, int):
            return lengths
        rows = (input_ids.shape[0], lengths.shape[0])
        if None not in rows and rows[0] % rows[1]:
            raise ValueError(
                explain(
                    f"prompt_ignore_length for {rows[0]} rows",
                    f"one for {rows[1]}",
                    "prompt_ignore_length=2, for all rows",
                )
            )
        return for_each_row(ops.cast(lengths, "int32")[:, None], input_ids)


class EncoderRepetitionPenaltyLogitsProcessor(LogitsProcessor):
    """Makes tokens of the encoder's input more likely, by the inverse of a repetition penalty.

    Args:
        penalty: Above 1 for what stands in the input, below 1 against it.
        encoder_input_ids: [b, n].

    Raises:
        ValueError: `penalty` is no float above 0.
    """

    in_graph: ClassVar[bool] = True

    def __init__(self, penalty: float, encoder_input_ids: Tensor) -> None:
        self.penalty = 1 / checked_penalty(penalty)
        self.encoder_input_ids = encoder_input_ids

    def __call__(self, input_ids: Tensor, scores: Tensor, cur_len: Any = None) -> Tensor:
        occurs = occurring(ops.convert_to_tensor(self.encoder_input_ids), scores.shape[-1])
        return penalised(scores, for_each_row(occurs, scores), self.penalty)


class NoRepeatNGramLogitsProcessor(LogitsProcessor):
    """Forbids the tokens that would complete an n-gram which was there.

    Args:
        ngram_size: Length of the n-gram.

    Raises:
        ValueError: it is no integer from 1 on.
    """

    in_graph: ClassVar[bool] = True

    def __init__(self, ngram_size: int) -> None:
        require(is_count(ngram_size, 1), "ngram_size", ngram_size, "an integer from 1 on", "3")
        self.ngram_size = ngram_size

    def __call__(self, input_ids: Tensor, scores: Tensor, cur_len: Any = None) -> Tensor:
        prefix = last_tokens(input_ids, self.ngram_size - 1, cur_len)
        counts = counting(input_ids, cur_len)[:, self.ngram_size - 1 :]  # [1, windows]
        mask = completing(input_ids, prefix, scores.shape[-1], counts)
        enough = length_of(input_ids, cur_len) >= self.ngram_size
        return when(enough, banned(scores, mask), scores)


class EncoderNoRepeatNGramLogitsProcessor(LogitsProcessor):
    """Forbids the tokens that would complete an n-gram of the encoder's input.

    Args:
        encoder_ngram_size: Length of the n-gram.
        encoder_input_ids: [b, n] or [n].

    Raises:
        ValueError: the length is no integer from 1 on.
    """

    in_graph: ClassVar[bool] = True

    def __init__(self, encoder_ngram_size: int, encoder_input_ids: Tensor) -> None:
        require(
            is_count(encoder_ngram_size, 1),
            "encoder_ngram_size",
            encoder_ngram_size,
            "an integer from 1 on",
            "3",
        )
        self.ngram_size = encoder_ngram_size
        one_row = len(encoder_input_ids.shape) == 1
        self.encoder_input_ids = encoder_input_ids[None] if one_row else encoder_input_ids

    def __call__(self, input_ids: Tensor, scores: Tensor, cur_len: Any = None) -> Tensor:
        prefix = last_tokens(input_ids, self.ngram_size - 1, cur_len)
        source = for_each_row(ops.convert_to_tensor(self.encoder_input_ids), input_ids)
        mask = completing(source, prefix, scores.shape[-1])
        enough = length_of(input_ids, cur_len) >= self.ngram_size - 1
        return when(enough, banned(scores, mask), scores)


def checked_penalty(penalty: Any) -> float:
    """A penalty.

    Raises:
        ValueError: it is no float above 0.
    """
    holds = isinstance(penalty, float) and penalty > 0
    require(holds, "penalty", penalty, "a float above 0", "1.2")
    return penalty


def penalised(scores: Tensor, occurs: Tensor, penalty: float) -> Tensor:
    """The scores [b, v], less by the penalty where the mask [b, v] is True."""
    less = ops.where(scores < 0, scores * penalty, scores / penalty)
    return ops.where(occurs, less, scores)


def completing(
    source: Tensor, prefix: Tensor, vocab_size: int, counts: Tensor | None = None
) -> Tensor:
    """A mask [b, v], True for the tokens that follow a prefix somewhere in a source.

    Args:
        source: [b, L], tokens.
        prefix: [b, n - 1], tokens.
        vocab_size: v.
        counts: [1, L - n + 1], False for places of a following token that do not count.
    """
    before = prefix.shape[1]
    following = source[:, before:]  # [b, windows]
    windows = ops.shape(following)[1]
    follows = ops.ones_like(following, dtype="bool")
    if counts is not None:
        follows = follows & counts
    for place in range(before):
        at_place = ops.cast(source[:, place : place + windows], prefix.dtype)
        follows = follows & (at_place == prefix[:, place : place + 1])
    return occurring(following, vocab_size, follows)
