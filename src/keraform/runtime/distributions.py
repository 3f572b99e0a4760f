"""Probability distributions by torch's names (torch.distributions), as far as models use them.

Algebra: torch.distributions of torch 2.13. Samples have no gradient; those of `rsample` have.
"""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from keraform.runtime.ops import dtypes
from keraform.runtime.ops.losses import binary_cross_entropy_with_logits
from keraform.runtime.ops.randomness import choose_seed, multinomial, rand, randn
from keraform.runtime.ops.tensors import Tensor, as_tensor, flat_sizes, is_array, sizes

Number = Any  # a Python number or a tensor


class Distribution:
    """Base: a distribution over tensors of shape `batch_shape`."""

    batch_shape: tuple[Any, ...] = ()

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Draws `sample_shape` times; the gradient flows to the parameters."""
        raise NotImplementedError(f"expected a distribution that can be drawn from; got {self}")

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Draws `sample_shape` times, without a gradient."""
        return ops.stop_gradient(self.rsample(sample_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        """The logarithm of the probability (density) at `value`."""
        raise NotImplementedError(f"expected a distribution with a density; got {self}")

    def _shape(self, sample_shape: Any) -> tuple[Any, ...]:
        return (*flat_sizes((sample_shape,)), *self.batch_shape)


def _parameters(*values: Number) -> tuple[Tensor, ...]:
    """The parameters as tensors of one shape and dtype; numbers are of the default float."""
    made = dtypes.promote(*(v if is_array(v) else float(v) for v in values))
    common = made[0]
    for value in made[1:]:
        common = common + ops.zeros_like(value)
    return tuple(value + ops.zeros_like(common) for value in made)


class Normal(Distribution):
    """The normal distribution of mean `loc` and deviation `scale`."""

    def __init__(self, loc: Number, scale: Number, validate_args: bool | None = None) -> None:
        self.loc, self.scale = _parameters(loc, scale)
        self.batch_shape = sizes(self.loc)

    @property
    def mean(self) -> Tensor:
        """`loc`."""
        return self.loc

    @property
    def variance(self) -> Tensor:
        """`scale^2`."""
        return ops.square(self.scale)

    @property
    def stddev(self) -> Tensor:
        """`scale`."""
        return self.scale

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Draws `sample_shape` times; the gradient flows to the parameters."""
        noise = randn(self._shape(sample_shape), dtype=self.loc.dtype)
        return self.loc + self.scale * noise

    def log_prob(self, value: Tensor) -> Tensor:
        """`-(x - loc)^2 / (2 scale^2) - log(scale) - log(2 pi) / 2`."""
        distance = ops.square(value - self.loc) / (2 * ops.square(self.scale))
        return -distance - ops.log(self.scale) - math.log(math.sqrt(2 * math.pi))

    def icdf(self, value: Tensor) -> Tensor:
        """The value below which the share `value` lies: `loc + scale sqrt(2) erfinv(2 p - 1)`."""
        return self.loc + self.scale * ops.erfinv(2 * as_tensor(value) - 1) * math.sqrt(2)

    def cdf(self, value: Tensor) -> Tensor:
        """The share below `value`."""
        return 0.5 * (1 + ops.erf((value - self.loc) / self.scale / math.sqrt(2)))

    def entropy(self) -> Tensor:
        """`1 / 2 + log(2 pi) / 2 + log(scale)`."""
        return 0.5 + 0.5 * math.log(2 * math.pi) + ops.log(self.scale)


class Gumbel(Distribution):
    """The Gumbel distribution of location `loc` and width `scale`."""

    def __init__(self, loc: Number, scale: Number, validate_args: bool | None = None) -> None:
        self.loc, self.scale = _parameters(loc, scale)
        self.batch_shape = sizes(self.loc)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Draws `loc - scale log(-log(u))`."""
        drawn = rand(self._shape(sample_shape), dtype=self.loc.dtype)
        limits = dtypes.finfo(self.loc.dtype)
        drawn = ops.clip(drawn, limits.tiny, 1 - limits.eps)
        return self.loc - self.scale * ops.log(-ops.log(drawn))

    def log_prob(self, value: Tensor) -> Tensor:
        """`-(z + exp(-z)) - log(scale)` with `z = (x - loc) / scale`."""
        place = (value - self.loc) / self.scale
        return -(place + ops.exp(-place)) - ops.log(self.scale)


class Beta(Distribution):
    """The beta distribution over [0, 1]."""

    def __init__(
        self, concentration1: Number, concentration0: Number, validate_args: bool | None = None
    ) -> None:
        self.concentration1, self.concentration0 = _parameters(concentration1, concentration0)
        self.batch_shape = sizes(self.concentration1)

    @property
    def mean(self) -> Tensor:
        """`a / (a + b)`."""
        return self.concentration1 / (self.concentration1 + self.concentration0)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Draws `sample_shape` times, without a gradient."""
        return ops.stop_gradient(
            keras.random.beta(
                self._shape(sample_shape),
                self.concentration1,
                self.concentration0,
                dtype=dtypes.name_of(self.concentration1.dtype),
                seed=choose_seed(),
            )
        )


def _probs_and_logits(probs: Number | None, logits: Number | None) -> tuple[Any, Any]:
    if (probs is None) == (logits is None):
        raise ValueError(
            "expected one of probs and logits; "
            f"got {'both' if probs is not None else 'neither'}; pass logits=..."
        )
    given = logits if probs is None else probs
    (value,) = _parameters(given)
    return (None, value) if probs is None else (value, None)


class Bernoulli(Distribution):
    """Zeros and ones, by the probability of one or its logit."""

    def __init__(
        self,
        probs: Number | None = None,
        logits: Number | None = None,
        validate_args: bool | None = None,
    ) -> None:
        probs, logits = _probs_and_logits(probs, logits)
        self.probs = ops.sigmoid(logits) if probs is None else probs
        self.logits = _logit(probs) if logits is None else logits
        self.batch_shape = sizes(self.logits)

    @property
    def mean(self) -> Tensor:
        """The probability of one."""
        return self.probs

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Draws `sample_shape` times, without a gradient."""
        drawn = rand(self._shape(sample_shape), dtype=self.probs.dtype)
        return ops.stop_gradient(ops.cast(drawn < self.probs, self.probs.dtype))

    def log_prob(self, value: Tensor) -> Tensor:
        """`x log(p) + (1 - x) log(1 - p)`."""
        value, logits = dtypes.promote(value, self.logits)
        return -binary_cross_entropy_with_logits(logits, value, reduction="none")

    def entropy(self) -> Tensor:
        """`-p log(p) - (1 - p) log(1 - p)`."""
        return binary_cross_entropy_with_logits(self.logits, self.probs, reduction="none")


class Categorical(Distribution):
    """One of several classes, the last axis of its (unnormalised) probabilities or logits."""

    def __init__(
        self,
        probs: Number | None = None,
        logits: Number | None = None,
        validate_args: bool | None = None,
    ) -> None:
        probs, logits = _probs_and_logits(probs, logits)
        if logits is None:
            self.probs = probs / ops.sum(probs, axis=-1, keepdims=True)
            limits = dtypes.finfo(self.probs.dtype)
            self.logits = ops.log(ops.clip(self.probs, limits.eps, 1 - limits.eps))
        else:
            self.logits = logits - ops.logsumexp(logits, axis=-1, keepdims=True)
            self.probs = ops.softmax(self.logits, axis=-1)
        self.batch_shape = sizes(self.logits)[:-1]

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Draws `sample_shape` times, without a gradient."""
        wanted = self._shape(sample_shape)
        shape = (*wanted, sizes(self.probs)[-1])
        rows = ops.reshape(ops.broadcast_to(self.probs, shape), (-1, shape[-1]))
        return ops.stop_gradient(ops.reshape(multinomial(rows, 1, replacement=True), wanted))

    def log_prob(self, value: Tensor) -> Tensor:
        """The logarithm of the probability of each class in `value`."""
        index = ops.expand_dims(ops.cast(value, "int32"), -1)
        shape = (*sizes(index)[:-1], sizes(self.logits)[-1])
        table = ops.broadcast_to(self.logits, shape)
        return ops.squeeze(ops.take_along_axis(table, index, axis=-1), -1)

    def entropy(self) -> Tensor:
        """`-sum p log(p)`."""
        logits = ops.maximum(self.logits, dtypes.finfo(self.logits.dtype).min)
        return -ops.sum(logits * self.probs, axis=-1)


class RelaxedBernoulli(Distribution):
    """A Bernoulli distribution whose draws lie between zero and one (Maddison et al. 2017)."""

    def __init__(
        self,
        temperature: Number,
        probs: Number | None = None,
        logits: Number | None = None,
        validate_args: bool | None = None,
    ) -> None:
        base = Bernoulli(probs, logits)
        self.temperature, self.probs, self.logits = temperature, base.probs, base.logits
        self.batch_shape = base.batch_shape

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Draws `sigmoid((logit + log(u) - log(1 - u)) / temperature)`."""
        drawn = rand(self._shape(sample_shape), dtype=self.logits.dtype)
        return ops.sigmoid((self.logits + _logit(drawn)) / self.temperature)


class RelaxedOneHotCategorical(Distribution):
    """A categorical distribution whose draws are softmaxes (Maddison et al. 2017)."""

    def __init__(
        self,
        temperature: Number,
        probs: Number | None = None,
        logits: Number | None = None,
        validate_args: bool | None = None,
    ) -> None:
        base = Categorical(probs, logits)
        self.temperature, self.probs, self.logits = temperature, base.probs, base.logits
        self.batch_shape = sizes(self.logits)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Draws `softmax((logits + gumbel) / temperature)`."""
        noise = Gumbel(ops.zeros_like(self.logits), 1.0).rsample(sample_shape)
        return ops.softmax((self.logits + noise) / self.temperature, axis=-1)


def _logit(probs: Tensor) -> Tensor:
    """`log(p / (1 - p))` of probabilities that are kept away from zero and one."""
    limits = dtypes.finfo(probs.dtype)
    probs = ops.clip(probs, limits.eps, 1 - limits.eps)
    return ops.log(probs) - ops.log1p(-probs)
