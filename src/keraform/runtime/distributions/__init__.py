"""Probability distributions by torch's names (`torch.distributions`): densities, moments, samples.

Parameters broadcast against each other and against values. `event_dim` is the number of axes, from
the last, that make one event: densities are summed over them. Nothing checks that arguments are in
their domain, which in a graph would cost; `validate_args` is taken and means nothing.
"""

from __future__ import annotations

from keraform.runtime.distributions.base import Distribution
from keraform.runtime.distributions.composed import (
    AffineTransform,
    Independent,
    TransformedDistribution,
)
from keraform.runtime.distributions.continuous import Beta, Gumbel, Normal, StudentT
from keraform.runtime.distributions.discrete import (
    Bernoulli,
    Categorical,
    NegativeBinomial,
    RelaxedBernoulli,
    RelaxedOneHotCategorical,
)

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
