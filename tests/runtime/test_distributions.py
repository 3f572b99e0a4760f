"""Distributions against torch's in float64, and samples by their moments."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import torch
from keras import ops

from keraform.runtime import distributions

RANDOM = np.random.default_rng(4)
A, B, C = RANDOM.uniform(0.6, 3.0, (3, 2, 1, 5))
D = RANDOM.uniform(0.1, 0.9, (2, 1, 5))
VALUES = RANDOM.normal(size=(2, 4, 5))
COUNTS = RANDOM.integers(0, 6, (2, 4, 5)).astype("float64")
BITS = RANDOM.integers(0, 2, (2, 4, 5)).astype("float64")
CLASSES = RANDOM.integers(0, 5, (2, 4))


def affine(space, base, *, event_dim):
    """A distribution moved and stretched by tensors, as models of time series have it."""
    to = torch.tensor if space is torch.distributions else ops.convert_to_tensor
    transform = space.AffineTransform(loc=to(A), scale=to(B), event_dim=event_dim)
    return space.TransformedDistribution(base, [transform])


# name: the distribution made of either library's classes and tensors, and values to look at
CASES = {
    "Normal": (lambda space, to: space.Normal(to(A), to(B)), VALUES),
    "Normal of numbers": (lambda space, to: space.Normal(to(A), 2.0), VALUES),
    "StudentT": (lambda space, to: space.StudentT(to(A), to(B), to(C)), VALUES),
    "NegativeBinomial": (lambda space, to: space.NegativeBinomial(to(A), logits=to(-B)), COUNTS),
    "NegativeBinomial of probs": (lambda space, to: space.NegativeBinomial(to(A), to(D)), COUNTS),
    "Bernoulli": (lambda space, to: space.Bernoulli(logits=to(VALUES)), BITS),
    "Bernoulli of probs": (lambda space, to: space.Bernoulli(to(D)), BITS),
    "Categorical": (lambda space, to: space.Categorical(logits=to(VALUES)), CLASSES),
    "Categorical of probs": (lambda space, to: space.Categorical(to(D)), CLASSES),
    "Gumbel": (lambda space, to: space.Gumbel(to(A), to(B)), VALUES),
    "Independent": (
        lambda space, to: space.Independent(space.Normal(to(A + 0 * VALUES), to(B)), 1),
        VALUES,
    ),
    "TransformedDistribution": (
        lambda space, to: affine(space, space.StudentT(to(A + 0 * VALUES)), event_dim=0),
        VALUES,
    ),
    "TransformedDistribution of events": (
        lambda space, to: affine(
            space, space.Independent(space.Normal(to(A + 0 * VALUES), to(B)), 1), event_dim=1
        ),
        VALUES,
    ),
}


@pytest.fixture(autouse=True)
def float64():
    before = keras.config.floatx()
    keras.config.set_floatx("float64")
    yield
    keras.config.set_floatx(before)


@pytest.mark.parametrize("name", list(CASES))
def test_equals_torch(name):
    make, values = CASES[name]
    ours = make(distributions, ops.convert_to_tensor)
    theirs = make(torch.distributions, torch.tensor)
    wanted = theirs.log_prob(torch.tensor(values)).numpy()
    found = ops.convert_to_numpy(ours.log_prob(ops.convert_to_tensor(values)))
    np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-12)
    for what in ("mean", "variance", "stddev", "entropy"):
        assert_moment_is_torchs(ours, theirs, what)


def assert_moment_is_torchs(ours, theirs, what):
    """Where either library has none, there is nothing to compare."""
    try:
        wanted, found = getattr(theirs, what), getattr(ours, what)
        wanted, found = (each() if callable(each) else each for each in (wanted, found))
    except NotImplementedError:
        return
    if wanted.isnan().all():  # of classes
        return
    found = np.broadcast_to(ops.convert_to_numpy(found), wanted.shape)
    np.testing.assert_allclose(found, wanted, rtol=1e-12, err_msg=what)


def test_quantiles_of_the_normal_distribution():
    shares = np.linspace(0.01, 0.99, 9)
    theirs = torch.distributions.Normal(0, 1).icdf(torch.tensor(shares)).numpy()
    ours = distributions.Normal(0, 1)
    np.testing.assert_allclose(ours.icdf(ops.convert_to_tensor(shares)), theirs, atol=1e-14)
    np.testing.assert_allclose(ours.cdf(ops.convert_to_tensor(theirs)), shares, atol=1e-14)


@pytest.mark.parametrize(
    "name", ["Normal", "StudentT", "NegativeBinomial", "Bernoulli", "Gumbel", "Independent"]
)
def test_samples_have_the_mean(name):
    make, _ = CASES[name]
    ours = make(distributions, ops.convert_to_tensor)
    if name == "StudentT":  # whose variance is finite only above two degrees of freedom
        ours = distributions.StudentT(ops.convert_to_tensor(A + 8), ops.convert_to_tensor(B))
    drawn = ops.convert_to_numpy(ours.sample((4000,)))
    mean, spread = ops.convert_to_numpy(ours.mean), ops.convert_to_numpy(ours.stddev)
    assert drawn.shape == (4000, *mean.shape)
    assert (np.abs(drawn.mean(0) - mean) < 6 * spread / np.sqrt(4000)).all()


def test_samples_of_classes_and_their_relaxations():
    logits = ops.convert_to_tensor(VALUES)
    classes = ops.convert_to_numpy(distributions.Categorical(logits=logits).sample((3,)))
    assert classes.shape == (3, 2, 4) and classes.min() >= 0 and classes.max() < 5
    shares = distributions.RelaxedOneHotCategorical(0.5, logits=logits).sample()
    np.testing.assert_allclose(ops.sum(shares, axis=-1), 1, atol=1e-12)
    smooth = ops.convert_to_numpy(distributions.RelaxedBernoulli(0.5, logits=logits).sample())
    assert smooth.shape == VALUES.shape and (smooth > 0).all() and (smooth < 1).all()
    parts = ops.convert_to_numpy(distributions.Beta(1.5, 1.0).sample((4000,)))
    assert abs(parts.mean() - 0.6) < 0.03


def test_what_a_distribution_has_not_is_named():
    with pytest.raises(NotImplementedError, match="RelaxedBernoulli has none here"):
        distributions.RelaxedBernoulli(0.5, 0.5).entropy()
