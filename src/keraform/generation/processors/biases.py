"""Processors that add a bias to the token which would complete a given sequence."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, ClassVar

import numpy as np
from keras import ops

from keraform.generation.processors.base import LogitsProcessor, require, when
from keraform.generation.tokens import last_tokens, length_of, summed_by_token, token_ids
from keraform.runtime.layers import Tensor


class SequenceBiasLogitsProcessor(LogitsProcessor):
    """Adds a bias to the last token of a sequence wherever the ones before it stand.

    Args:
        sequence_bias: Biases by sequences of token ids, as `{(10, 45): -10.0}` or
            `[[[10, 45], -10.0]]`.

    Raises:
        ValueError: it is empty or of another form; when called, an id is not in the vocabulary.
    """

    in_graph: ClassVar[bool] = True

    def __init__(self, sequence_bias: Any) -> None:
        self.sequence_bias: dict[tuple[int, ...], float] = checked_biases(sequence_bias)

    def __call__(self, input_ids: Tensor, scores: Tensor, cur_len: Any = None) -> Tensor:
        vocab_size = scores.shape[-1]
        outside = [i for ids in self.sequence_bias for i in ids if i >= vocab_size]
        require(
            not outside, "sequence_bias", outside, f"ids below {vocab_size}", "{(10, 45): -10.0}"
        )
        groups: dict[int, list[tuple[int, ...]]] = defaultdict(list)
        for ids in self.sequence_bias:
            groups[len(ids)].append(ids)
        bias = ops.zeros_like(scores)
        for length, sequences in groups.items():
            biases = ops.cast(self._biases(sequences), scores.dtype)  # [n]
            prefixes = np.array([ids[:-1] for ids in sequences], "int32")  # [n, length - 1]
            matches = follow(input_ids, prefixes, cur_len)  # [b, n]
            last = ops.broadcast_to([ids[-1] for ids in sequences], ops.shape(matches))
            added = summed_by_token(last, ops.where(matches, biases, 0.0), vocab_size)
            bias = bias + when(length_of(input_ids, cur_len) >= length - 1, added, 0.0)
        return scores + bias

    def _biases(self, sequences: list[tuple[int, ...]]) -> Any:
        return np.array([self.sequence_bias[ids] for ids in sequences], "float32")


class NoBadWordsLogitsProcessor(SequenceBiasLogitsProcessor):
    """Forbids the last token of a sequence wherever the ones before it stand.

    Args:
        bad_words_ids: The sequences, lists of token ids.
        eos_token_id: Ids of the end, which stay allowed.

    Raises:
        ValueError: the sequences are of another form.
    """

    def __init__(self, bad_words_ids: list[list[int]], eos_token_id: Any = None) -> None:
        require(
            isinstance(bad_words_ids, list)
            and len(bad_words_ids) > 0
            and all(isinstance(ids, list) and are_ids(ids) for ids in bad_words_ids),
            "bad_words_ids",
            bad_words_ids,
            "a list of lists of ids from 0 on",
            "[[10, 45]]",
        )
        ends = [] if eos_token_id is None else [[end] for end in token_ids(eos_token_id)]
        self.bad_word_ids = bad_words_ids
        super().__init__({tuple(ids): -np.inf for ids in bad_words_ids if ids not in ends})


def are_ids(ids: Any) -> bool:
    """Whether all of these are integers from 0 on."""
    return all(isinstance(each, (int, np.integer)) and each >= 0 for each in ids)


def checked_biases(given: Any) -> dict[tuple[int, ...], float]:
    """Biases by sequences.

    Raises:
        ValueError: they are of another form.
    """
    pairs = [tuple(each) for each in given] if isinstance(given, list) else given
    if isinstance(pairs, dict):
        holds = all(isinstance(ids, tuple) for ids in pairs)
        pairs = list(pairs.items())
    else:
        holds = isinstance(pairs, list) and all(len(each) == 2 for each in pairs)
    require(
        holds
        and len(pairs) > 0
        and all(len(ids) > 0 and are_ids(ids) and isinstance(bias, float) for ids, bias in pairs),
        "sequence_bias",
        given,
        "floats by tuples of ids from 0 on",
        "{(10, 45): -10.0}",
    )
    return {tuple(ids): bias for ids, bias in pairs}


def follow(input_ids: Tensor, prefixes: np.ndarray, cur_len: Any) -> Tensor:
    """Which of the prefixes [n, length] the tokens end with, as a mask [b, n]. Where fewer tokens
    count than a prefix has, it means nothing.
    """
    ending = ops.cast(last_tokens(input_ids, prefixes.shape[1], cur_len), "int32")
    return ops.all(ending[:, None] == prefixes[None], axis=-1)
