"""Distributions against torch's: densities, entropies and moments of draws."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import torch

from keraform.runtime import distributions

RANDOM = np.random.default_rng(5)
X = RANDOM.normal(size=(3, 4))
CLASSES = np.array([1, 0, 3])

SAME: list[Callable[[Any, Callable[[np.ndarray], Any]], Any]] = [
    lambda d, t: d.Normal(t(X), t(np.exp(X))).log_prob(t(X[::-1].copy())),
    lambda d, t: d.Normal(t(X), t(np.exp(X))).icdf(t(np.full((3, 4), 0.3))),
    lambda d, t: d.Normal(t(X), 2.0).cdf(t(X[::-1].copy())),
    lambda d, t: d.Normal(t(X), 2.0).entropy(),
    lambda d, t: d.Normal(t(X), t(np.exp(X))).variance,
    lambda d, t: d.Gumbel(t(X), t(np.exp(X))).log_prob(t(X[::-1].copy())),
    lambda d, t: d.Beta(t(np.exp(X)), t(np.exp(-X))).mean,
    lambda d, t: d.Bernoulli(logits=t(X)).entropy(),
    lambda d, t: d.Bernoulli(probs=t(1 / (1 + np.exp(-X)))).logits,
    lambda d, t: d.Bernoulli(logits=t(X)).log_prob(t((X > 0) * 1.0)),
    lambda d, t: d.Categorical(logits=t(X)).log_prob(t(CLASSES)),
    lambda d, t: d.Categorical(probs=t(np.exp(X))).entropy(),
    lambda d, t: d.Categorical(probs=t(np.exp(X))).logits,
]


@pytest.mark.parametrize("number", range(len(SAME)))
def test_numbers_are_torchs(number: int) -> None:
    ours = SAME[number](distributions, keras.ops.convert_to_tensor)
    theirs = SAME[number](torch.distributions, torch.from_numpy).numpy()
    np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12)


DRAWS: list[Callable[[Any, Callable[[np.ndarray], Any]], Any]] = [
    lambda d, t: d.Normal(t(X), t(np.exp(X))),
    lambda d, t: d.Gumbel(t(X), t(np.exp(X))),
    lambda d, t: d.Beta(t(np.exp(X)), t(np.exp(-X))),
    lambda d, t: d.Bernoulli(logits=t(X)),
    lambda d, t: d.RelaxedBernoulli(temperature=0.7, logits=t(X)),
    lambda d, t: d.RelaxedOneHotCategorical(0.7, logits=t(X)),
    lambda d, t: d.Categorical(logits=t(X)),
]


@pytest.mark.parametrize("number", range(len(DRAWS)))
def test_draws_have_torchs_moments(number: int) -> None:
    torch.manual_seed(0)
    count = 4000
    ours = np.asarray(DRAWS[number](distributions, keras.ops.convert_to_tensor).sample((count,)))
    theirs = DRAWS[number](torch.distributions, torch.from_numpy).sample((count,)).numpy()
    assert ours.shape == theirs.shape
    assert ours.dtype == theirs.dtype
    for moment in (np.mean, np.std):
        spread = theirs.std(0) + 1e-3
        difference = np.abs(moment(ours, 0) - moment(theirs, 0)) / spread
        assert difference.max() < 0.2


def test_one_of_probs_and_logits_is_wanted() -> None:
    with pytest.raises(ValueError, match=r"pass logits=\.\.\."):
        distributions.Bernoulli()
