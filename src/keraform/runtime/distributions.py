"""Probability distributions by torch's names (`torch.distributions`): densities, moments, samples.

Parameters broadcast against each other and against values. `event_dim` is the number of axes, from
the last, that make one event: densities are summed over them. Nothing checks that arguments are in
their domain, which in a graph would cost; `validate_args` is taken and means nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keraform.runtime.ops import dtypes, losses, randomness
from keraform.runtime.ops.tensors import Tensor, is_array, sizes

__all__ = [
    "AffineTransform",
    "Bernoulli",
    "Beta",
    "Categorical",
    "Distribution",
    "Gumbel",
    "Independent",
    "NegativeBinomial",
    "Normal",
    "RelaxedBernoulli",
    "RelaxedOneHotCategorical",
    "StudentT",
    "TransformedDistribution",
]


class Distribution:
    """What all distributions have; each says what it can of the rest."""

    event_dim: int = 0

    @property
    def mean(self) -> Tensor:
        """The expected value."""
        raise NotImplementedError(_unknown(self, "mean"))

    @property
    def variance(self) -> Tensor:
        """The variance of each element."""
        raise NotImplementedError(_unknown(self, "variance"))

    @property
    def stddev(self) -> Tensor:
        """The standard deviation of each element."""
        return ops.sqrt(self.variance)

    def log_prob(self, value: Tensor) -> Tensor:
        """The logarithm of the density, or of the probability, of `value`."""
        raise NotImplementedError(_unknown(self, "log_prob"))

    def entropy(self) -> Tensor:
        """The entropy in nats."""
        raise NotImplementedError(_unknown(self, "entropy"))

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Random values, [*sample_shape, *shape of the parameters]; no gradient."""
        return ops.stop_gradient(self.rsample(sample_shape))

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """As `sample`, with a gradient."""
        raise NotImplementedError(_unknown(self, "rsample"))


class Normal(Distribution):
    """The normal distribution of a mean and a standard deviation."""

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        self.loc, self.scale = _parameters(loc, scale)

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        return ops.square(self.scale)

    def log_prob(self, value: Tensor) -> Tensor:
        squares = ops.square(value - self.loc) / (2 * self.variance)
        return -squares - ops.log(self.scale) - 0.5 * math.log(2 * math.pi)

    def cdf(self, value: Tensor) -> Tensor:
        """The probability of a value not above `value`."""
        return 0.5 * (1 + ops.erf((value - self.loc) / (self.scale * math.sqrt(2))))

    def icdf(self, value: Tensor) -> Tensor:
        """The value that is not exceeded with this probability."""
        return self.loc + self.scale * ops.erfinv(2 * value - 1) * math.sqrt(2)

    def entropy(self) -> Tensor:
        return 0.5 + 0.5 * math.log(2 * math.pi) + ops.log(self.scale)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        return self.loc + self.scale * _normal(_shape(sample_shape, self.loc), self.loc)


class StudentT(Distribution):
    """Student's t of degrees of freedom, moved and stretched."""

    def __init__(
        self, df: Any, loc: Any = 0.0, scale: Any = 1.0, validate_args: bool | None = None
    ) -> None:
        self.df, self.loc, self.scale = _parameters(df, loc, scale)

    @property
    def mean(self) -> Tensor:
        return ops.where(self.df > 1, self.loc, math.nan)

    @property
    def variance(self) -> Tensor:
        finite = ops.square(self.scale) * self.df / ops.where(self.df > 2, self.df - 2, 1)
        return ops.where(self.df > 2, finite, ops.where(self.df > 1, math.inf, math.nan))

    def log_prob(self, value: Tensor) -> Tensor:
        apart = (value - self.loc) / self.scale
        norm = (
            ops.log(self.scale)
            + 0.5 * ops.log(self.df)
            + 0.5 * math.log(math.pi)
            + _log_gamma(0.5 * self.df)
            - _log_gamma(0.5 * (self.df + 1))
        )
        return -0.5 * (self.df + 1) * ops.log1p(ops.square(apart) / self.df) - norm

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        shape = _shape(sample_shape, self.loc)
        squares = 2 * _gamma(shape, 0.5 * self.df)
        return self.loc + self.scale * _normal(shape, self.loc) * ops.rsqrt(squares / self.df)


class NegativeBinomial(Distribution):
    """How many successes come before `total_count` failures (which may be no whole number)."""

    def __init__(
        self,
        total_count: Any,
        probs: Any = None,
        logits: Any = None,
        validate_args: bool | None = None,
    ) -> None:
        self.total_count, self.logits = _parameters(total_count, _log_odds(probs, logits))

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
        ways = _log_gamma(1.0 + value) + _log_gamma(self.total_count) - _log_gamma(count)
        return chance - ops.where(count == 0, ops.zeros_like(ways), ways)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        rate = _gamma(_shape(sample_shape, self.logits), self.total_count) * ops.exp(self.logits)
        return ops.stop_gradient(_poisson(rate))


class Bernoulli(Distribution):
    """One with a probability, else zero."""

    def __init__(
        self, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        (self.logits,) = _parameters(_log_odds(probs, logits))

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
        value = ops.cast(value, self.logits.dtype) + ops.zeros_like(self.logits)
        logits = self.logits + ops.zeros_like(value)
        return -losses.binary_cross_entropy_with_logits(logits, value, reduction="none")

    def entropy(self) -> Tensor:
        return -self.log_prob(self.probs)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        drawn = _uniform(_shape(sample_shape, self.logits), self.logits)
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
        value, logits = ops.broadcast_to(value, (*_joint(value, self.logits)[:-1], 1)), self.logits
        logits = ops.broadcast_to(logits, (*sizes(value)[:-1], sizes(logits)[-1]))
        return ops.squeeze(ops.take_along_axis(logits, value, axis=-1), -1)

    def entropy(self) -> Tensor:
        logits = ops.maximum(self.logits, dtypes.finfo(self.logits.dtype).min)
        return -ops.sum(logits * self.probs, axis=-1)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        perturbed = self.logits + _gumbel(_shape(sample_shape, self.logits), self.logits)
        return ops.cast(ops.argmax(perturbed, axis=-1), dtypes.integer())


class Gumbel(Distribution):
    """Gumbel's distribution of the largest of many values."""

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        self.loc, self.scale = _parameters(loc, scale)

    @property
    def mean(self) -> Tensor:
        return self.loc + self.scale * 0.57721566490153286060  # Euler's constant

    @property
    def variance(self) -> Tensor:
        return ops.square(self.scale) * (math.pi**2 / 6)

    def log_prob(self, value: Tensor) -> Tensor:
        below = (self.loc - value) / self.scale
        return below - ops.exp(below) - ops.log(self.scale)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        return self.loc + self.scale * _gumbel(_shape(sample_shape, self.loc), self.loc)


class Beta(Distribution):
    """The beta distribution of two concentrations."""

    def __init__(
        self, concentration1: Any, concentration0: Any, validate_args: bool | None = None
    ) -> None:
        self.concentration1, self.concentration0 = _parameters(concentration1, concentration0)

    @property
    def mean(self) -> Tensor:
        return self.concentration1 / (self.concentration1 + self.concentration0)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        shape = _shape(sample_shape, self.concentration1)
        ones, others = (_gamma(shape, each) for each in (self.concentration1, self.concentration0))
        return ones / (ones + others)


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
        (self.logits,) = _parameters(_log_odds(probs, logits))

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        drawn = _open_uniform(_shape(sample_shape, self.logits), self.logits)
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
        noise = _gumbel(_shape(sample_shape, self.logits), self.logits)
        return ops.softmax((self.logits + noise) / self.temperature, axis=-1)


class Independent(Distribution):
    """The last axes of a distribution taken as one event."""

    def __init__(
        self,
        base_distribution: Distribution,
        reinterpreted_batch_ndims: int,
        validate_args: bool | None = None,
    ) -> None:
        self.base_dist = base_distribution
        self.reinterpreted_batch_ndims = reinterpreted_batch_ndims
        self.event_dim = base_distribution.event_dim + reinterpreted_batch_ndims

    @property
    def mean(self) -> Tensor:
        return self.base_dist.mean

    @property
    def variance(self) -> Tensor:
        return self.base_dist.variance

    def log_prob(self, value: Tensor) -> Tensor:
        return _sum_last(self.base_dist.log_prob(value), self.reinterpreted_batch_ndims)

    def entropy(self) -> Tensor:
        return _sum_last(self.base_dist.entropy(), self.reinterpreted_batch_ndims)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        return self.base_dist.sample(sample_shape)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        return self.base_dist.rsample(sample_shape)


class AffineTransform:
    """`loc + scale * x`, of events with `event_dim` axes."""

    def __init__(self, loc: Any, scale: Any, event_dim: int = 0) -> None:
        self.loc, self.scale, self.event_dim = loc, scale, event_dim

    def __call__(self, x: Tensor) -> Tensor:
        """`x` transformed."""
        return self.loc + self.scale * x

    def inv(self, y: Tensor) -> Tensor:
        """What becomes `y`."""
        return (y - self.loc) / self.scale

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """By how much the logarithm of a volume grows around `x`."""
        (scale,) = _parameters(self.scale)
        growth = ops.log(ops.abs(scale)) + ops.zeros_like(x)
        return _sum_last(growth, self.event_dim)


class TransformedDistribution(Distribution):
    """What a distribution's values become by transforms, one after the other."""

    def __init__(
        self,
        base_distribution: Distribution,
        transforms: AffineTransform | list[AffineTransform],
        validate_args: bool | None = None,
    ) -> None:
        self.base_dist = base_distribution
        self.transforms = transforms if isinstance(transforms, list) else [transforms]
        steps = (each.event_dim for each in self.transforms)
        self.event_dim = max(base_distribution.event_dim, *steps)

    def log_prob(self, value: Tensor) -> Tensor:
        growth: Any = 0.0
        for transform in reversed(self.transforms):
            before = transform.inv(value)
            step = transform.log_abs_det_jacobian(before, value)
            growth = growth + _sum_last(step, self.event_dim - transform.event_dim)
            value = before
        density = self.base_dist.log_prob(value)
        return _sum_last(density, self.event_dim - self.base_dist.event_dim) - growth

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        return self._transformed(self.base_dist.sample(sample_shape))

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        return self._transformed(self.base_dist.rsample(sample_shape))

    def _transformed(self, value: Tensor) -> Tensor:
        for transform in self.transforms:
            value = transform(value)
        return value


def _unknown(distribution: Distribution, what: str) -> str:
    name = type(distribution).__name__
    return f"Expected a distribution with {what}; {name} has none here. Compute it from its fields."


def _parameters(*values: Any) -> tuple[Tensor, ...]:
    """Parameters as tensors of one shape and dtype; numbers alone have the default one."""
    found = [value for value in values if is_array(value)]
    dtype = dtypes.name_of(found[0].dtype) if found else dtypes.default_float()
    tensors = [ops.convert_to_tensor(v) if is_array(v) else ops.full((), v, dtype) for v in values]
    if len(tensors) == 1:
        return (tensors[0],)
    whole = sum((ops.zeros_like(each) for each in tensors[1:]), ops.zeros_like(tensors[0]))
    return tuple(each + whole for each in tensors)


def _log_odds(probs: Any, logits: Any) -> Any:
    """Log odds, as they are given or of probabilities, which are kept off zero and one."""
    if logits is not None:
        return logits
    (probs,) = _parameters(probs)
    eps = dtypes.finfo(probs.dtype).eps
    probs = ops.clip(probs, eps, 1 - eps)
    return ops.log(probs) - ops.log1p(-probs)


def _joint(a: Tensor, b: Tensor) -> tuple[Any, ...]:
    """The sizes that two tensors have together, but for their last axes."""
    return sizes(a[..., :1] + ops.cast(ops.zeros_like(b[..., :1]), a.dtype))


def _shape(sample_shape: Sequence[int], parameter: Tensor) -> tuple[Any, ...]:
    return (*sample_shape, *sizes(parameter))


def _sum_last(x: Tensor, axes: int) -> Tensor:
    """The sum over the last axes; none of them leaves `x` as it is."""
    return ops.sum(x, axis=tuple(range(-axes, 0))) if axes > 0 else x


def _uniform(shape: Any, like: Tensor) -> Tensor:
    return randomness.rand(*shape, dtype=like.dtype)


def _open_uniform(shape: Any, like: Tensor) -> Tensor:
    """Uniform numbers above zero and below one."""
    limits = dtypes.finfo(like.dtype)
    return ops.clip(_uniform(shape, like), limits.tiny, 1 - limits.eps)


def _normal(shape: Any, like: Tensor) -> Tensor:
    return randomness.randn(*shape, dtype=like.dtype)


def _gumbel(shape: Any, like: Tensor) -> Tensor:
    return -ops.log(-ops.log(_open_uniform(shape, like)))


def _gamma(shape: Any, concentration: Tensor) -> Tensor:
    dtype, seed = dtypes.name_of(concentration.dtype), randomness.choose_seed()
    return keras.random.gamma(shape, concentration, dtype=dtype, seed=seed)


def _log_gamma(x: Tensor) -> Tensor:
    """The logarithm of the gamma function's absolute value, which Keras has not."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        return tf.math.lgamma(x)
    if backend == "jax":
        from jax.scipy.special import gammaln

        return gammaln(x)
    return x.lgamma()


def _poisson(rate: Tensor) -> Tensor:
    """Poisson numbers of these rates, which Keras has not; the seed is drawn from its generator."""
    backend = keras.backend.backend()
    seed = keras.random.randint((2,), 0, 2**31 - 1, dtype="int32", seed=randomness.choose_seed())
    if backend == "tensorflow":
        import tensorflow as tf

        return tf.random.stateless_poisson(sizes(rate), seed, rate, dtype=rate.dtype)
    if backend == "jax":
        import jax

        return ops.cast(jax.random.poisson(jax.random.key(seed[0]), rate), rate.dtype)
    return rate.poisson()
