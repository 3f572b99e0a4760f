"""Processors that leave a mark in what is generated, the same as upstream's detectors look for.

Both draw from torch's generator on a CPU, a Mersenne Twister that NumPy has too. They run in Python
at each step.
"""

from __future__ import annotations

import warnings
from functools import cached_property
from typing import Any

import numpy as np
from keras import ops

from keraform.generation.processors.base import LogitsProcessor, require
from keraform.generation.tokens import length_of
from keraform.runtime.layers import Tensor
from keraform.runtime.ops import dtypes


def drawn(seed: int, count: int) -> np.ndarray:
    """The first integers of 32 bits that torch.Generator().manual_seed(seed) gives."""
    generator = np.random.RandomState(seed % 2**32)
    return generator.randint(0, 2**32, count, dtype="uint32")


def permuted(seed: int, size: int, count: int) -> list[int]:
    """The first `count` numbers of torch.randperm(size) with that seed."""
    numbers = list(range(size))
    remaining = size - np.arange(min(count, size - 1))
    steps = drawn(seed, len(remaining)) % remaining
    for place, step in enumerate(steps.tolist()):
        other = place + step
        numbers[place], numbers[other] = numbers[other], numbers[place]
    return numbers[:count]


class WatermarkLogitsProcessor(LogitsProcessor):
    """Adds a bias to a part of the vocabulary, drawn anew for each token by what came before it.

    Args:
        vocab_size: Size of the vocabulary, v.
        device: Upstream's; not used. The marks are those of its CPU.
        greenlist_ratio: Size of that part, between 0 and 1.
        bias: What is added.
        hashing_key: The secret.
        seeding_scheme: "lefthash", by the last token, or "selfhash", by the next one too.
        context_width: Tokens before that decide, for "selfhash".

    Raises:
        ValueError: an argument is out of its range.

    Reference:
        Kirchenbauer et al., On the Reliability of Watermarks for Large Language Models, 2023.
    """

    def __init__(
        self,
        vocab_size: int,
        device: str = "cpu",
        greenlist_ratio: float = 0.25,
        bias: float = 2.0,
        hashing_key: int = 15485863,
        seeding_scheme: str = "lefthash",
        context_width: int = 1,
    ) -> None:
        require(
            seeding_scheme in ("selfhash", "lefthash"),
            "seeding_scheme",
            seeding_scheme,
            '"selfhash" or "lefthash"',
            '"lefthash"',
        )
        require(
            0 < greenlist_ratio < 1,
            "greenlist_ratio",
            greenlist_ratio,
            "a float between 0 and 1",
            "0.25",
        )
        self.vocab_size = vocab_size
        self.greenlist_size = int(vocab_size * greenlist_ratio)
        self.bias = bias
        self.seeding_scheme = seeding_scheme
        self.hash_key = hashing_key
        self.context_width = context_width
        self.table_size = 1_000_003

    @cached_property
    def fixed_table(self) -> np.ndarray:
        """A permutation by which "selfhash" hashes tokens; made at its first use."""
        return np.array(permuted(self.hash_key, self.table_size, self.table_size))

    def __call__(self, input_ids: Tensor, scores: Tensor, cur_len: Any = None) -> Tensor:
        if length_of(input_ids, cur_len) < self.context_width:
            warnings.warn(
                f"{self.context_width} tokens decide the watermark of the next one, and there are "
                f"fewer: this one has none.",
                stacklevel=2,
            )
            return scores
        tokens = ops.convert_to_numpy(input_ids)[:, :cur_len].astype("int64")
        green = np.zeros(scores.shape, "bool")
        if self.seeding_scheme == "lefthash":
            for row, sequence in enumerate(tokens):
                green[row, self._greenlist(sequence)] = True
        else:
            likely = np.argsort(-ops.convert_to_numpy(scores), axis=-1, kind="stable")
            for row, sequence in enumerate(tokens):
                green[row, self._green_of(sequence, likely[row, :40])] = True  # as many as upstream
        return ops.where(green, scores + self.bias, scores)

    def _greenlist(self, sequence: np.ndarray) -> list[int]:
        context = sequence[-self.context_width :]
        if self.seeding_scheme == "selfhash":
            hashes = self.fixed_table[context % self.table_size] + 1
            # wraps around in 64 bits, as upstream's does
            seed = int((self.hash_key * hashes * hashes[-1]).min())
        else:
            seed = self.hash_key * int(context[-1])
        return permuted(seed % (2**64 - 1), self.vocab_size, self.greenlist_size)

    def _green_of(self, sequence: np.ndarray, candidates: np.ndarray) -> list[int]:
        """Those of the candidates that are in the list which they themselves decide."""
        return [
            token for token in candidates if token in self._greenlist(np.append(sequence, token))
        ]


class SynthIDTextWatermarkLogitsProcessor(LogitsProcessor):
    """SynthID's tournament: the probabilities are bent by bits that a hash of the n-gram draws. It
    remembers its contexts, so that each generation needs a new one.

    Args:
        ngram_len: Length of the n-gram that is hashed.
        keys: Secrets, one for each round of the tournament.
        sampling_table_size: Bits that are drawn.
        sampling_table_seed: Seed of them.
        context_history_size: Contexts that are remembered; one that comes again gives no mark.
        device: Upstream's; not used. The marks are those of its CPU.
        skip_first_ngram_calls: Whether the first `ngram_len - 1` tokens have no mark.
        debug_mode: Whether all tokens are taken as equally likely.

    Reference:
        Dathathri et al., Scalable watermarking for identifying large language model outputs, 2024.
    """

    def __init__(
        self,
        ngram_len: int,
        keys: list[int],
        sampling_table_size: int,
        sampling_table_seed: int,
        context_history_size: int,
        device: str = "cpu",
        skip_first_ngram_calls: bool = False,
        debug_mode: bool = False,
    ) -> None:
        self.ngram_len = ngram_len
        self.keys = np.array(keys, "int64")
        self.sampling_table = drawn(sampling_table_seed, sampling_table_size) % 2
        self.context_history_size = context_history_size
        self.skip_first_ngram_calls = skip_first_ngram_calls
        self.debug_mode = debug_mode
        self.num_calls = 0
        self.context: np.ndarray  # [b, ngram_len - 1], tokens, 0 for those of the prompt
        self.context_history: np.ndarray  # [b, context_history_size], hashes

    def __call__(self, input_ids: Tensor, scores: Tensor, cur_len: Any = None) -> Tensor:
        if self.debug_mode:
            scores = ops.ones_like(scores)
        rows, vocab_size = scores.shape
        if self.num_calls == 0:
            self.context = np.zeros((rows, self.ngram_len - 1), "int64")
            self.context_history = np.zeros((rows, self.context_history_size), "int64")
        else:
            last = ops.convert_to_numpy(input_ids)[:, :cur_len][:, -1:]
            self.context = np.concatenate([self.context[:, 1:], last.astype("int64")], axis=1)
        self.num_calls += 1
        if self.skip_first_ngram_calls and self.num_calls < self.ngram_len:
            return scores
        context = hashed(np.ones(rows, "int64"), self.context)  # [b]
        repeated = (self.context_history == context[:, None]).any(axis=1, keepdims=True)
        self.context_history = np.concatenate(
            [context[:, None], self.context_history[:, :-1]], axis=1
        )
        ngrams = hashed(context[:, None], np.arange(vocab_size)[:, None])  # [b, v]
        keyed = hashed(ngrams[..., None], self.keys[:, None])  # [b, v, rounds]
        bits = self.sampling_table[keyed % len(self.sampling_table)]
        return ops.where(repeated, scores, played(scores, bits))


def hashed(state: np.ndarray, data: np.ndarray) -> np.ndarray:
    """A hash [...] carried on over the last axis of `data` [..., n], in int64 that wraps around."""
    for place in range(data.shape[-1]):
        state = (state + data[..., place]) * np.int64(6364136223846793005) + np.int64(1)
    return state


def played(scores: Tensor, bits: np.ndarray) -> Tensor:
    """Log probabilities after rounds in which tokens [b, v] with a bit win over those without."""
    probs = ops.softmax(scores)
    for each_round in range(bits.shape[-1]):
        won = ops.cast(bits[..., each_round], probs.dtype)
        probs = probs * (1 + won - ops.sum(won * probs, axis=-1, keepdims=True))
    log_probs = ops.log(probs)
    return ops.where(ops.isfinite(log_probs), log_probs, dtypes.finfo(scores.dtype).min)
