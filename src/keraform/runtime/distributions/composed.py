"""Distributions made of others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras import ops

from keraform.runtime.distributions.base import Distribution, as_parameters, sum_last
from keraform.runtime.ops.tensors import Tensor


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
        return sum_last(self.base_dist.log_prob(value), self.reinterpreted_batch_ndims)

    def entropy(self) -> Tensor:
        return sum_last(self.base_dist.entropy(), self.reinterpreted_batch_ndims)

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
        (scale,) = as_parameters(self.scale)
        growth = ops.log(ops.abs(scale)) + ops.zeros_like(x)
        return sum_last(growth, self.event_dim)


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
            growth = growth + sum_last(step, self.event_dim - transform.event_dim)
            value = before
        density = self.base_dist.log_prob(value)
        return sum_last(density, self.event_dim - self.base_dist.event_dim) - growth

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        return self._transformed(self.base_dist.sample(sample_shape))

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        return self._transformed(self.base_dist.rsample(sample_shape))

    def _transformed(self, value: Tensor) -> Tensor:
        for transform in self.transforms:
            value = transform(value)
        return value
