"""Processors of models that speak in codebooks: Bark and Dia."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from keras import ops

from keraform.generation.processors.base import LogitsProcessor, banned, is_count, require, when
from keraform.generation.processors.lengths import ends
from keraform.generation.tokens import is_one_of, length_of
from keraform.runtime.layers import Tensor


class AlternatingCodebooksLogitsProcessor(LogitsProcessor):
    """Two codebooks that take turns (Bark's coarse model).

    Args:
        input_start_len: Length of the prompt, an int or an int32 scalar.
        semantic_vocab_size: Ids before those of the first codebook.
        codebook_size: Ids of a codebook.

    Raises:
        ValueError: the length is negative or no integer.
    """

    in_graph: ClassVar[bool] = True

    def __init__(self, input_start_len: Any, semantic_vocab_size: int, codebook_size: int) -> None:
        require(
            is_count(input_start_len),
            "input_start_len",
            input_start_len,
            "an integer from 0 on",
            "10",
        )
        self.input_start_len = input_start_len
        self.semantic_vocab_size = semantic_vocab_size
        self.codebook_size = codebook_size

    def __call__(self, input_ids: Tensor, scores: Tensor, cur_len: Any = None) -> Tensor:
        ids = np.arange(scores.shape[-1])
        middle = self.semantic_vocab_size + self.codebook_size
        first = banned(scores, (ids < self.semantic_vocab_size) | (ids >= middle))
        second = banned(scores, ids < middle)
        is_first = (length_of(input_ids, cur_len) - self.input_start_len) % 2 == 0
        return when(is_first, first, second)


class BarkEosPrioritizerLogitsProcessor(LogitsProcessor):
    """Ends a row as soon as its end is likely enough.

    Args:
        eos_token_id: One id or several.
        min_eos_p: The probability from which on only they stay possible; None for never.
        device: Upstream's; not used.

    Raises:
        ValueError: an id is negative, or the probability is not above 0.
    """

    in_graph: ClassVar[bool] = True

    def __init__(self, eos_token_id: Any, min_eos_p: float | None, device: str = "cpu") -> None:
        self.eos_token_id = ends(eos_token_id)
        holds = min_eos_p is None or min_eos_p > 0
        require(holds, "min_eos_p", min_eos_p, "a float above 0", "0.2")
        self.min_eos_p = min_eos_p

    def __call__(self, input_ids: Tensor, scores: Tensor, cur_len: Any = None) -> Tensor:
        if not self.min_eos_p:
            return scores
        is_end = is_one_of(self.eos_token_id, scores.shape[-1])
        probs = ops.softmax(ops.cast(scores, "float32"))
        likely = ops.any((probs > self.min_eos_p) & is_end, axis=-1, keepdims=True)
        return banned(scores, likely & ~is_end)


class DiaEOSChannelFilterLogitsProcessor(LogitsProcessor):
    """Lets the first channel end, only where the end is its highest score, and then surely.

    Args:
        num_channels: Channels, c.
        eos_token_id: Id of the end; those above it never come.

    Call arguments:
        scores: [b c, v].

    Raises:
        ValueError: a number is below 1.
    """

    in_graph: ClassVar[bool] = True

    def __init__(self, num_channels: int, eos_token_id: int) -> None:
        for name, value in (("num_channels", num_channels), ("eos_token_id", eos_token_id)):
            require(value >= 1, name, value, "an integer from 1 on", "9")
        self.num_channels = num_channels
        self.eos_id = eos_token_id

    def __call__(self, input_ids: Tensor, scores: Tensor, cur_len: Any = None) -> Tensor:
        ids = np.arange(scores.shape[-1])
        is_first = np.arange(self.num_channels)[:, None] == 0
        never = np.where(is_first, ids > self.eos_id, ids >= self.eos_id)  # [c, v]
        by_channel = ops.reshape(scores, (-1, *never.shape))  # [b, c, v]
        scores = ops.reshape(banned(by_channel, never), (-1, len(ids)))
        is_highest = ops.argmax(scores, axis=-1)[:, None] == self.eos_id
        return banned(scores, ops.where(is_highest, ids < self.eos_id, ids == self.eos_id))


class DiaEOSDelayPatternLogitsProcessor(LogitsProcessor):
    """Ends each channel some steps after the first one has ended. It counts its own calls, so that
    each generation needs a new one.

    Args:
        delay_pattern: The steps for each channel.
        eos_token_id: Id of the end.
        max_generation_len: Length of the whole; the first channel ends early enough for the others.
        device: Upstream's; not used.

    Call arguments:
        scores: [b c, v].
    """

    def __init__(
        self,
        delay_pattern: list[int],
        eos_token_id: int,
        max_generation_len: int,
        device: str = "cpu",
    ) -> None:
        self.num_channels = len(delay_pattern)
        self.delay_pattern = np.array(delay_pattern)[None]  # [1 or b, c], steps that are left
        self.eos_token_id = eos_token_id
        self.max_generation_len = max_generation_len - max(delay_pattern) - 1
        self.active_batches: Any = False

    def __call__(self, input_ids: Tensor, scores: Tensor, cur_len: Any = None) -> Tensor:
        highest = ops.convert_to_numpy(ops.argmax(scores, axis=-1))
        ended = highest.reshape(-1, self.num_channels)[:, 0] == self.eos_token_id
        reached = int(length_of(input_ids, cur_len)) == self.max_generation_len
        self.active_batches = self.active_batches | ended | reached  # [b]
        forced = (self.active_batches[:, None] & (self.delay_pattern == 0)).reshape(-1, 1)
        self.delay_pattern = self.delay_pattern - self.active_batches[:, None]
        is_end = is_one_of(self.eos_token_id, scores.shape[-1])
        return ops.where(forced, ops.where(is_end, 0.0, -np.inf), scores)
