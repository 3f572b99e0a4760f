"""Distributions of counts and classes, and their relaxations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras import ops

from keraform.runtime.distributions.base import (
    Distribution,
    as_parameters,
    joint,
    log_odds,
    shape_of,
)
from keraform.runtime.distributions.draws import (
    gamma,
    gumbel,
    log_gamma,
    open_uniform,
    poisson,
    uniform,
)
from keraform.runtime.ops import dtypes, losses
from keraform.runtime.ops.tensors import Tensor, sizes


class NegativeBinomial(Distribution):
    """How many successes come before `total_count` failures (which may be no whole number)."""

    def __init__(
        self,
        total_count: Any,
        probs: Any = None,
        logits: Any = None,
        validate_args: bool | None = None,
    ) -> None:
        self.total_count, self.logits = as_parameters(total_count, log_odds(probs, logits))

    @property
    def mean(self) -> Tensor:
        return self.total_count * ops.exp(self.logits)

    @property
    def variance(self) -> Tensor:
        return self.mean / ops.sigmoid(-self.logits)

    def log_prob(self, value: Tensor) -> Tensor:
        chance = self.total_count * ops.log_sigmoid(-self.logits)
        chance = chance + value * ops.log_sigmoid(self.logits)
        count = self.total_count + value
        ways = log_gamma(1.0 + value) + log_gamma(self.total_count) - log_gamma(count)
        return chance - ops.where(count == 0, ops.zeros_like(ways), ways)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        rate = gamma(shape_of(sample_shape, self.logits), self.total_count) * ops.exp(self.logits)
        return ops.stop_gradient(poisson(rate))


class Bernoulli(Distribution):
    """One with a probability, else zero."""

    def __init__(
        self, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        (self.logits,) = as_parameters(log_odds(probs, logits))

    @property
    def probs(self) -> Tensor:
        """The probability of one."""
        return ops.sigmoid(self.logits)

    @property
    def mean(self) -> Tensor:
        return self.probs

    @property
    def variance(self) -> Tensor:
        return self.probs * (1 - self.probs)

    def log_prob(self, value: Tensor) -> Tensor:
        value = ops.add(value, ops.zeros_like(self.logits))  # the wider dtype of the two
        logits = ops.add(self.logits, ops.zeros_like(value))
        return -losses.binary_cross_entropy_with_logits(logits, value, reduction="none")

    def entropy(self) -> Tensor:
        return -self.log_prob(self.probs)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        drawn = uniform(shape_of(sample_shape, self.logits), self.logits)
        return ops.cast(drawn < self.probs, self.logits.dtype)


class Categorical(Distribution):
    """One of the classes on the last axis of `probs` or `logits`."""

    def __init__(
        self, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        if logits is None:
            eps = dtypes.finfo(probs.dtype).eps
            shares = probs / ops.sum(probs, axis=-1, keepdims=True)
            self.logits = ops.log(ops.clip(shares, eps, 1 - eps))
        else:
            self.logits = logits - ops.logsumexp(logits, axis=-1, keepdims=True)

    @property
    def probs(self) -> Tensor:
        """The probability of each class."""
        return ops.softmax(self.logits, axis=-1)

    def log_prob(self, value: Tensor) -> Tensor:
        value = ops.cast(ops.expand_dims(value, -1), "int32")
        value, logits = ops.broadcast_to(value, (*joint(value, self.logits)[:-1], 1)), self.logits
        logits = ops.broadcast_to(logits, (*sizes(value)[:-1], sizes(logits)[-1]))
        return ops.squeeze(ops.take_along_axis(logits, value, axis=-1), -1)

    def entropy(self) -> Tensor:
        logits = ops.maximum(self.logits, dtypes.finfo(self.logits.dtype).min)
        return -ops.sum(logits * self.probs, axis=-1)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        perturbed = self.logits + gumbel(shape_of(sample_shape, self.logits), self.logits)
        return ops.cast(ops.argmax(perturbed, axis=-1), dtypes.integer())


class RelaxedBernoulli(Distribution):
    """Bernoulli made smooth: between zero and one, the sharper the lower the temperature."""

    def __init__(
        self,
        temperature: Any,
        probs: Any = None,
        logits: Any = None,
        validate_args: bool | None = None,
    ) -> None:
        self.temperature = temperature
        (self.logits,) = as_parameters(log_odds(probs, logits))

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        drawn = open_uniform(shape_of(sample_shape, self.logits), self.logits)
        noise = ops.log(drawn) - ops.log1p(-drawn)
        return ops.sigmoid((self.logits + noise) / self.temperature)


class RelaxedOneHotCategorical(Distribution):
    """Categorical made smooth: shares of the classes, the sharper the lower the temperature."""

    event_dim = 1

    def __init__(
        self,
        temperature: Any,
        probs: Any = None,
        logits: Any = None,
        validate_args: bool | None = None,
    ) -> None:
        self.temperature = temperature
        self.logits = Categorical(probs, logits).logits

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        noise = gumbel(shape_of(sample_shape, self.logits), self.logits)
        return ops.softmax((self.logits + noise) / self.temperature, axis=-1)
