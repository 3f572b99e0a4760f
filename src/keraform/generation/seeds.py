"""Random numbers from a seed that is an ordinary tensor, so that loops and graphs can carry it."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from keraform.errors import explain
from keraform.generation.choosing import highest
from keraform.runtime.layers import Tensor
from keraform.runtime.tracing import is_tracing


class _At(keras.random.SeedGenerator):
    """Gives one seed to whoever asks for the next."""

    def __init__(self, seed: Tensor) -> None:
        self.seed = seed

    def next(self, ordered: bool = True) -> Tensor:
        return self.seed


def seed_of(seed: Any) -> Tensor:
    """A seed [2] (uint32) from an int, two ints, a tensor of two, or None for a new one.

    A new seed is drawn from Keras's own source, which `keras.utils.set_random_seed` sets.

    Raises:
        ValueError: another seed, or none in a graph, which would draw the same tokens every time.
    """
    if seed is None:
        if is_tracing():
            raise ValueError(
                explain("a seed for sampling in a graph", "none", "generate(..., seed=seed_tensor)")
            )
        seed = keras.random.SeedGenerator().next()
    if isinstance(seed, int):
        seed = (seed, 0)
    found = seed if ops.is_tensor(seed) else np.asarray(seed)
    if tuple(found.shape) != (2,):
        raise ValueError(
            explain("a seed of one or two integers", repr(seed)[:80], "generate(..., seed=[7, 0])")
        )
    return ops.cast(ops.convert_to_tensor(found), "uint32")


def other_seed(seed: Tensor, number: int) -> Tensor:
    """A seed [2] for draws that have nothing to do with those of `seed`; each `number` another."""
    return ops.bitwise_xor(seed, ops.cast(ops.convert_to_tensor([0, number << 24]), seed.dtype))


def uniform(shape: tuple[Any, ...], seed: Tensor, step: Any) -> Tensor:
    """Numbers from above 0 to 1, float32; each `step` of a seed has its own."""
    at = ops.stack([seed[0], seed[1] + ops.cast(step, "uint32")])
    tiny = float(np.finfo("float32").tiny)
    return keras.random.uniform(shape, tiny, 1.0, dtype="float32", seed=_At(at))


def noise(shape: tuple[Any, ...], seed: Tensor, step: Any) -> Tensor:
    """Gumbel noise of this shape, float32; each `step` of a seed has its own."""
    return -ops.log(-ops.log(uniform(shape, seed, step)))


def drawn(scores: Tensor, seed: Tensor, step: Any) -> Tensor:
    """[b], a token of each row of [b, v], by the probabilities softmax(scores)."""
    return highest(scores + noise(ops.shape(scores), seed, step))
