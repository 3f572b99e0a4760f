"""Random numbers of the plain kinds, and the function of them that Keras has not."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keraform.runtime.ops import dtypes, randomness
from keraform.runtime.ops.tensors import Tensor, sizes


def uniform(shape: Any, like: Tensor) -> Tensor:
    """Numbers from zero to one, in the dtype of `like`."""
    return randomness.rand(*shape, dtype=like.dtype)


def open_uniform(shape: Any, like: Tensor) -> Tensor:
    """Uniform numbers above zero and below one."""
    limits = dtypes.finfo(like.dtype)
    return ops.clip(uniform(shape, like), limits.tiny, 1 - limits.eps)


def normal(shape: Any, like: Tensor) -> Tensor:
    """Standard normal numbers, in the dtype of `like`."""
    return randomness.randn(*shape, dtype=like.dtype)


def gumbel(shape: Any, like: Tensor) -> Tensor:
    """Numbers of the standard Gumbel distribution."""
    return -ops.log(-ops.log(open_uniform(shape, like)))


def gamma(shape: Any, concentration: Tensor) -> Tensor:
    """Gamma numbers of rate 1."""
    dtype, seed = dtypes.name_of(concentration.dtype), randomness.choose_seed()
    return keras.random.gamma(shape, concentration, dtype=dtype, seed=seed)


def poisson(rate: Tensor) -> Tensor:
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


def log_gamma(x: Tensor) -> Tensor:
    """The logarithm of the gamma function's absolute value, which Keras has not."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        return tf.math.lgamma(x)
    if backend == "jax":
        from jax.scipy.special import gammaln

        return gammaln(x)
    return x.lgamma()
