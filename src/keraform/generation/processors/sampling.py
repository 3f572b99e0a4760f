"""Processors of sampling: they spread the scores, or drop the tokens that are not likely enough."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
from keras import ops

from keraform.generation.processors.base import LogitsProcessor, banned, is_count, require
from keraform.generation.tokens import occurring
from keraform.runtime.layers import Tensor


class TemperatureLogitsWarper(LogitsProcessor):
    """Divides the scores.

    Args:
        temperature: Below 1 likely tokens become more likely, above 1 less.

    Raises:
        ValueError: it is no float above 0.
    """

    in_graph: ClassVar[bool] = True

    def __init__(self, temperature: float) -> None:
        require(
            isinstance(temperature, float) and temperature > 0,
            "temperature",
            temperature,
            "a float above 0 (for the most likely token: do_sample=False)",
            "0.7",
        )
        self.temperature = temperature

    def __call__(self, input_ids: Tensor, scores: Tensor, cur_len: Any = None) -> Tensor:
        return scores / self.temperature


class TopKLogitsWarper(LogitsProcessor):
    """Keeps the k highest scores, and all that equal the lowest of them.

    Args:
        top_k: How many.
        filter_value: What becomes of the others.
        min_tokens_to_keep: As many are kept in any case.

    Raises:
        ValueError: `top_k` is no integer from 1 on.
    """

    in_graph: ClassVar[bool] = True

    def __init__(
        self, top_k: int, filter_value: float = -math.inf, min_tokens_to_keep: int = 1
    ) -> None:
        require(isinstance(top_k, int) and top_k > 0, "top_k", top_k, "an integer from 1 on", "50")
        self.top_k = max(top_k, min_tokens_to_keep)
        self.filter_value = filter_value

    def __call__(self, input_ids: Tensor, scores: Tensor, cur_len: Any = None) -> Tensor:
        return banned(scores, scores < lowest_of_top(scores, self.top_k), self.filter_value)


class TopPLogitsWarper(LogitsProcessor):
    """Keeps the most likely tokens that together are as likely as `top_p`.

    Args:
        top_p: From 0 to 1.
        filter_value: What becomes of the others.
        min_tokens_to_keep: As many are kept in any case.

    Raises:
        ValueError: a number is out of its range.
    """

    in_graph: ClassVar[bool] = True

    def __init__(
        self, top_p: float, filter_value: float = -math.inf, min_tokens_to_keep: int = 1
    ) -> None:
        self.top_p = float(top_p)
        require(0 <= self.top_p <= 1, "top_p", top_p, "a float from 0 to 1", "0.9")
        self.filter_value = filter_value
        self.min_tokens_to_keep = checked_number_to_keep(min_tokens_to_keep)

    def __call__(self, input_ids: Tensor, scores: Tensor, cur_len: Any = None) -> Tensor:
        ascending, order = sorted_ascending(scores)
        cumulative = ops.cumsum(ops.softmax(ascending), axis=-1)
        place = np.arange(scores.shape[-1])
        unlikely = (cumulative <= 1 - self.top_p) & (place < len(place) - self.min_tokens_to_keep)
        return banned(scores, occurring(order, scores.shape[-1], unlikely), self.filter_value)


class TopHLogitsWarper(LogitsProcessor):
    """Keeps the most likely tokens as long as their entropy is within a part of the whole.

    Args:
        top_h: That part, above 0 and up to 1.
        filter_value: What becomes of the others.

    Raises:
        ValueError: `top_h` is out of its range.
    """

    in_graph: ClassVar[bool] = True

    def __init__(self, top_h: float, filter_value: float = -math.inf) -> None:
        require(0 < top_h <= 1, "top_h", top_h, "a float above 0 and up to 1", "0.4")
        self.top_n = 100  # tokens that are looked at
        self.top_h = top_h
        self.filter_value = filter_value

    def __call__(self, input_ids: Tensor, scores: Tensor, cur_len: Any = None) -> Tensor:
        highest, order = ops.top_k(scores, min(self.top_n, scores.shape[-1]))
        surprise = entropy_terms(ops.log_softmax(highest))
        threshold = ops.sum(surprise, axis=-1, keepdims=True) * self.top_h
        # a token that cannot come adds no entropy, and is not kept for that
        possible = ops.softmax(highest) > 0
        within = (ops.cumsum(surprise, axis=-1) <= threshold) & possible
        kept = within | (np.arange(order.shape[-1]) == 0)
        return banned(scores, ~occurring(order, scores.shape[-1], kept), self.filter_value)


class MinPLogitsWarper(LogitsProcessor):
    """Drops what is less likely than a part of the most likely token.

    Args:
        min_p: That part, from 0 to 1.
        filter_value: What becomes of the dropped.
        min_tokens_to_keep: As many are kept in any case.

    Raises:
        ValueError: a number is out of its range.
    """

    in_graph: ClassVar[bool] = True

    def __init__(
        self, min_p: float, filter_value: float = -math.inf, min_tokens_to_keep: int = 1
    ) -> None:
        require(0 <= min_p <= 1, "min_p", min_p, "a float from 0 to 1", "0.1")
        self.min_p = min_p
        self.filter_value = filter_value
        self.min_tokens_to_keep = checked_number_to_keep(min_tokens_to_keep)

    def __call__(self, input_ids: Tensor, scores: Tensor, cur_len: Any = None) -> Tensor:
        probs = ops.softmax(scores)
        unlikely = probs < self.min_p * ops.max(probs, axis=-1, keepdims=True)
        if self.min_tokens_to_keep > 1:  # the most likely one is never unlikely
            _, order = ops.top_k(probs, min(self.min_tokens_to_keep, scores.shape[-1]))
            unlikely = unlikely & ~occurring(order, scores.shape[-1])
        return banned(scores, unlikely, self.filter_value)


class TypicalLogitsWarper(LogitsProcessor):
    """Keeps the tokens whose surprise is nearest to the expected one, as many as hold `mass`.

    Args:
        mass: Probability of what is kept, between 0 and 1.
        filter_value: What becomes of the others.
        min_tokens_to_keep: As many are kept in any case.

    Raises:
        ValueError: a number is out of its range.

    Reference:
        Meister et al., Locally Typical Sampling, 2022.
    """

    in_graph: ClassVar[bool] = True

    def __init__(
        self, mass: float = 0.9, filter_value: float = -math.inf, min_tokens_to_keep: int = 1
    ) -> None:
        self.mass = float(mass)
        require(0 < self.mass < 1, "typical_p", mass, "a float between 0 and 1", "0.9")
        self.filter_value = filter_value
        self.min_tokens_to_keep = checked_number_to_keep(min_tokens_to_keep)

    def __call__(self, input_ids: Tensor, scores: Tensor, cur_len: Any = None) -> Tensor:
        log_probs = ops.log_softmax(scores)
        expected = ops.sum(entropy_terms(log_probs), axis=-1, keepdims=True)
        distances, order = sorted_ascending(ops.abs(-log_probs - expected))
        probs = ops.softmax(ops.take_along_axis(scores, order, axis=-1))
        within = ops.cast(ops.cumsum(probs, axis=-1) < self.mass, "int32")
        last = ops.minimum(ops.sum(within, axis=-1, keepdims=True), scores.shape[-1] - 1)
        too_far = distances > ops.take_along_axis(distances, last, axis=-1)
        dropped = too_far & (np.arange(scores.shape[-1]) >= self.min_tokens_to_keep)
        return banned(scores, occurring(order, scores.shape[-1], dropped), self.filter_value)


class EpsilonLogitsWarper(LogitsProcessor):
    """Drops what is less likely than a threshold.

    Args:
        epsilon: The threshold, between 0 and 1.
        filter_value: What becomes of the dropped.
        min_tokens_to_keep: As many are kept in any case.

    Raises:
        ValueError: a number is out of its range.
    """

    in_graph: ClassVar[bool] = True

    def __init__(
        self, epsilon: float, filter_value: float = -math.inf, min_tokens_to_keep: int = 1
    ) -> None:
        self.epsilon = float(epsilon)
        require(0 < self.epsilon < 1, "epsilon_cutoff", epsilon, "a float between 0 and 1", "3e-4")
        self.filter_value = filter_value
        self.min_tokens_to_keep = checked_number_to_keep(int(min_tokens_to_keep))

    def __call__(self, input_ids: Tensor, scores: Tensor, cur_len: Any = None) -> Tensor:
        unlikely = ops.softmax(scores) < self.epsilon
        not_top = scores < lowest_of_top(scores, self.min_tokens_to_keep)
        return banned(scores, unlikely & not_top, self.filter_value)


class EtaLogitsWarper(LogitsProcessor):
    """Drops what is less likely than a threshold, which is lower where the entropy is high:
    min(epsilon, sqrt(epsilon) exp(-entropy)).

    Args:
        epsilon: Between 0 and 1.
        filter_value: What becomes of the dropped.
        min_tokens_to_keep: As many are kept in any case.
        device: Upstream's; not used.

    Raises:
        ValueError: a number is out of its range.

    Reference:
        Hewitt et al., Truncation Sampling as Language Model Desmoothing, 2022.
    """

    in_graph: ClassVar[bool] = True

    def __init__(
        self,
        epsilon: float,
        filter_value: float = -math.inf,
        min_tokens_to_keep: int = 1,
        device: str = "cpu",
    ) -> None:
        require(0 < float(epsilon) < 1, "eta_cutoff", epsilon, "a float between 0 and 1", "3e-4")
        self.epsilon = np.float32(epsilon)  # upstream keeps it in float32 whatever the scores are
        self.filter_value = filter_value
        self.min_tokens_to_keep = checked_number_to_keep(int(min_tokens_to_keep))

    def __call__(self, input_ids: Tensor, scores: Tensor, cur_len: Any = None) -> Tensor:
        entropy = ops.sum(entropy_terms(ops.log_softmax(scores)), axis=-1, keepdims=True)
        root, epsilon = float(np.sqrt(self.epsilon)), float(self.epsilon)
        unlikely = ops.softmax(scores) < ops.minimum(epsilon, root * ops.exp(-entropy))
        not_top = scores < lowest_of_top(scores, self.min_tokens_to_keep)
        return banned(scores, unlikely & not_top, self.filter_value)


def checked_number_to_keep(number: Any) -> int:
    """The number of tokens to keep in any case.

    Raises:
        ValueError: it is no integer from 1 on.
    """
    require(is_count(number, least=1), "min_tokens_to_keep", number, "an integer from 1 on", "1")
    return number


def lowest_of_top(scores: Tensor, count: int) -> Tensor:
    """The lowest [b, 1] of the `count` highest scores, of all where there are fewer."""
    return ops.top_k(scores, min(count, scores.shape[-1]))[0][:, -1:]


def sorted_ascending(values: Tensor) -> tuple[Tensor, Tensor]:
    """Values [b, v] in ascending order and where they stood; equal ones keep their order."""
    descending, order = ops.top_k(-values, values.shape[-1])
    return -descending, order


def entropy_terms(log_probs: Tensor) -> Tensor:
    """-p log p of each token, 0 for those that cannot come."""
    return ops.where(log_probs > -math.inf, -ops.exp(log_probs) * log_probs, 0.0)
