"""The numbers that both sides draw, as NumPy arrays."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np


def uniform(shape: Any) -> np.ndarray:
    """The draw of a shape, numbers in [0.5, 1)."""
    sizes = tuple(int(size) for size in shape)
    return np.random.default_rng((len(sizes), *sizes)).uniform(0.5, 1.0, sizes)


def normal(shape: Any) -> np.ndarray:
    """The draw of a shape, standard normal numbers."""
    sizes = tuple(int(size) for size in shape)
    return np.random.default_rng((len(sizes), *sizes)).normal(size=sizes)


@contextmanager
def seeded() -> Iterator[None]:
    """What is drawn by NumPy or by Python is drawn by the same code on both sides."""
    state, plain = np.random.get_state(), random.getstate()
    np.random.seed(0)
    random.seed(0)
    try:
        yield
    finally:
        np.random.set_state(state)
        random.setstate(plain)


def between(shape: Any, low: float = 0.0, high: float = 1.0) -> np.ndarray:
    """Uniform numbers of a range, in its upper half."""
    return low + (high - low) * uniform(shape)


def integers(shape: Any, low: Any, high: Any) -> np.ndarray:
    """Integers from `low` on, below `high`."""
    return np.floor(between(shape, float(low), float(high))).astype("int64")


def classes(weights: np.ndarray, count: int) -> np.ndarray:
    """Classes by their weights, with replacement: rows by classes give rows by draws."""
    shares = np.cumsum(weights, axis=-1) / weights.sum(axis=-1, keepdims=True)
    drawn = uniform((*weights.shape[:-1], count))
    return (shares[..., None, :] <= drawn[..., None]).sum(axis=-1)


def ranked(weights: np.ndarray, count: int) -> np.ndarray:
    """Classes by their weights, each at most once: the largest after Gumbel noise."""
    with np.errstate(divide="ignore"):
        noisy = np.log(weights) - np.log(-np.log(uniform(weights.shape)))
    return np.argsort(-noisy, axis=-1, kind="stable")[..., :count]


def bernoulli(shape: Any, probability: Any = 0.5) -> np.ndarray:
    """Bernoulli numbers: dropout asks with the probability of keeping."""
    return uniform(shape) >= 1.0 - probability
