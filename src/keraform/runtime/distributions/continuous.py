"""Distributions of real numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from keras import ops

from keraform.runtime.distributions.base import Distribution, as_parameters, shape_of
from keraform.runtime.distributions.draws import gamma, gumbel, log_gamma, normal
from keraform.runtime.ops.tensors import Tensor


class Normal(Distribution):
    """The normal distribution of a mean and a standard deviation."""

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        self.loc, self.scale = as_parameters(loc, scale)

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
        return self.loc + self.scale * normal(shape_of(sample_shape, self.loc), self.loc)


class StudentT(Distribution):
    """Student's t of degrees of freedom, moved and stretched."""

    def __init__(
        self, df: Any, loc: Any = 0.0, scale: Any = 1.0, validate_args: bool | None = None
    ) -> None:
        self.df, self.loc, self.scale = as_parameters(df, loc, scale)

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
            + log_gamma(0.5 * self.df)
            - log_gamma(0.5 * (self.df + 1))
        )
        return -0.5 * (self.df + 1) * ops.log1p(ops.square(apart) / self.df) - norm

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        shape = shape_of(sample_shape, self.loc)
        squares = 2 * gamma(shape, 0.5 * self.df)
        return self.loc + self.scale * normal(shape, self.loc) * ops.rsqrt(squares / self.df)


class Gumbel(Distribution):
    """Gumbel's distribution of the largest of many values."""

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        self.loc, self.scale = as_parameters(loc, scale)

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
        return self.loc + self.scale * gumbel(shape_of(sample_shape, self.loc), self.loc)


class Beta(Distribution):
    """The beta distribution of two concentrations."""

    def __init__(
        self, concentration1: Any, concentration0: Any, validate_args: bool | None = None
    ) -> None:
        self.concentration1, self.concentration0 = as_parameters(concentration1, concentration0)

    @property
    def mean(self) -> Tensor:
        return self.concentration1 / (self.concentration1 + self.concentration0)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        shape = shape_of(sample_shape, self.concentration1)
        ones, others = (gamma(shape, each) for each in (self.concentration1, self.concentration0))
        return ones / (ones + others)
