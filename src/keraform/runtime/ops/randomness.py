"""Random tensors and dropout, from a SeedGenerator that is passed, current, or the process's."""

from __future__ import annotations

import contextlib
import contextvars
import functools
from collections.abc import Iterator
from typing import Any, TypeAlias

import keras
import numpy as np
from keras import ops
from keras.src.backend.common import global_state  # a StatelessScope has no public way out

from keraform.errors import explain
from keraform.runtime.ops import dtypes
from keraform.runtime.ops.tensors import (
    Tensor,
    as_tensor,
    flat_sizes,
    index_scalar,
    is_array,
    on_jax,
    sizes,
)
from keraform.runtime.tracing import is_tracing

SeedGenerator: TypeAlias = keras.random.SeedGenerator
_CURRENT: contextvars.ContextVar[SeedGenerator | None] = contextvars.ContextVar(
    "keraform_seed_generator", default=None
)


@contextlib.contextmanager
def seed_generator(generator: SeedGenerator | None) -> Iterator[None]:
    """While active, random functions that are given no seed draw from `generator`; None changes
    nothing.

    A model enters this with a generator of its own, so that JAX can trace its random numbers.
    """
    token = _CURRENT.set(generator or _CURRENT.get())
    try:
        yield
    finally:
        _CURRENT.reset(token)


def of_process() -> SeedGenerator:
    """The generator of all models of the process; under a strategy of TensorFlow, one for each.

    A replica cannot make one: ask for it in the strategy's scope first.
    """
    if keras.backend.backend() != "tensorflow":
        return _made_for(None)
    import tensorflow as tf

    return _made_for(tf.distribute.get_strategy() if tf.distribute.has_strategy() else None)


@functools.cache
def _made_for(strategy: Any) -> SeedGenerator:
    """A generator that is made outside of any model's deferred building."""
    scope = global_state.get_global_attribute("stateless_scope")
    global_state.set_global_attribute("stateless_scope", None)
    try:
        return SeedGenerator(name="keraform_seed_generator")
    finally:
        global_state.set_global_attribute("stateless_scope", scope)


def manual_seed(seed: int) -> None:
    """Restarts the process's generator (torch.manual_seed; the numbers drawn are not torch's)."""
    of_process().state.assign(np.array([seed % 2**31, 0], dtype="int64"))


def choose_seed(seed: Any = None) -> Any:
    """Returns the given seed, else the current generator, else the process's."""
    chosen = seed if seed is not None else _CURRENT.get()
    if chosen is not None:
        return chosen
    if on_jax() and is_tracing():
        raise ValueError(
            explain(
                "a SeedGenerator that belongs to the model, since JAX is tracing",
                "none",
                "with kf.seed_generator(self.seed_generator): ...",
            )
        )
    return of_process()


def _drawn_in(dtype: str) -> str:
    return "float32" if dtype in dtypes.HALVES else dtype


def _uniform(shape: Any, dtype: str, seed: Any) -> Tensor:
    drawn = keras.random.uniform(shape, dtype=_drawn_in(dtype), seed=choose_seed(seed))
    return dtypes.to(drawn, dtype)


def _normal(shape: Any, dtype: str, seed: Any) -> Tensor:
    drawn = keras.random.normal(shape, dtype=_drawn_in(dtype), seed=choose_seed(seed))
    return dtypes.to(drawn, dtype)


def _float_of(dtype: Any, like: Tensor | None = None) -> str:
    own = dtypes.name_of(like.dtype) if like is not None else dtypes.default_float()
    return dtypes.resolve(dtype) or own


def rand(*size: Any, dtype: Any = None, generator: Any = None) -> Tensor:
    """Returns uniform numbers in [0, 1)."""
    return _uniform(flat_sizes(size), _float_of(dtype), generator)


def rand_like(input: Tensor, *, dtype: Any = None) -> Tensor:
    """Returns uniform numbers in [0, 1) in the shape and dtype of `input`."""
    return _uniform(sizes(input), _float_of(dtype, input), None)


def uniform_like(input: Tensor, *, seed: Any = None) -> Tensor:
    """Returns uniform numbers like `input` from a given seed."""
    return _uniform(sizes(input), dtypes.name_of(input.dtype), seed)


def randn(*size: Any, dtype: Any = None, generator: Any = None) -> Tensor:
    """Returns standard normal numbers."""
    return _normal(flat_sizes(size), _float_of(dtype), generator)


def randn_like(input: Tensor, *, dtype: Any = None) -> Tensor:
    """Returns standard normal numbers in the shape and dtype of `input`."""
    return _normal(sizes(input), _float_of(dtype, input), None)


def randint(
    low: Any, high: Any = None, size: Any = None, *, dtype: Any = None, generator: Any = None
) -> Tensor:
    """Returns integers in `[low, high)`; `randint(high, size)` starts at 0."""
    if size is None:
        low, high, size = 0, low, high
    wanted = dtypes.resolve(dtype) or dtypes.integer()
    width = dtypes.integer() if dtypes.category(wanted) != "integer" else wanted
    drawn = keras.random.randint(
        flat_sizes((size,)), low, high, dtype=width, seed=choose_seed(generator)
    )
    return dtypes.to(drawn, wanted)


def randint_like(input: Tensor, low: Any, high: Any = None, *, dtype: Any = None) -> Tensor:
    """Returns integers in `[low, high)` in the shape and dtype of `input`."""
    if high is None:
        low, high = 0, low
    return randint(low, high, sizes(input), dtype=dtype or input.dtype)


def randperm(n: int, *, dtype: Any = None, generator: Any = None) -> Tensor:
    """Returns a random order of 0 ... n - 1."""
    order = ops.argsort(_uniform((n,), "float32", generator))
    return dtypes.to(order, dtypes.resolve(dtype) or dtypes.integer())


def normal(
    mean: Any, std: Any = 1.0, size: Any = None, *, dtype: Any = None, generator: Any = None
) -> Tensor:
    """Returns normal numbers of a mean and a deviation (numbers with `size`, or tensors)."""
    if size is not None:
        return _normal(flat_sizes((size,)), _float_of(dtype), generator) * std + mean
    like = mean + ops.zeros_like(std) if is_array(std) else ops.zeros_like(mean)
    return _normal(sizes(like), dtypes.name_of(like.dtype), generator) * std + mean


def exponential(input: Tensor, lambd: float = 1.0) -> Tensor:
    """Returns numbers of the exponential distribution of rate `lambd`, in the shape of `input`."""
    return -ops.log1p(-rand_like(input)) / lambd


def bernoulli(input: Tensor, p: float | None = None, *, generator: Any = None) -> Tensor:
    """Returns ones with the probability that `input` (or `p`) says, in the dtype of `input`."""
    input = as_tensor(input)
    dtype = dtypes.name_of(input.dtype)
    drawn_in = _drawn_in(dtype) if dtypes.is_floating(input) else dtypes.default_float()
    drawn = _uniform(sizes(input), drawn_in, generator)
    probability = p if p is not None else dtypes.to(input, drawn_in)
    return dtypes.to(drawn >= 1 - probability, dtype)


def multinomial(
    input: Tensor, num_samples: Any, replacement: bool = False, *, generator: Any = None
) -> Tensor:
    """Draws class indices [..., num_samples] (int64) by unnormalised weights [..., classes]."""
    input, num_samples = as_tensor(input), index_scalar(num_samples)
    weights = dtypes.to(input, dtypes.computing_dtype(input))
    logits = ops.log(weights)
    if not replacement:  # the largest of Gumbel-perturbed logits are a draw without replacement
        noise = _uniform(sizes(logits), dtypes.name_of(logits.dtype), generator)
        noise = ops.maximum(noise, dtypes.finfo(logits.dtype).tiny)
        _, indices = ops.top_k(logits - ops.log(-ops.log(noise)), num_samples)
        return dtypes.to(indices, dtypes.integer())
    batched = logits if len(logits.shape) == 2 else ops.expand_dims(logits, 0)
    drawn = keras.random.categorical(
        batched, num_samples, dtype="int32", seed=choose_seed(generator)
    )
    drawn = drawn if len(logits.shape) == 2 else ops.squeeze(drawn, 0)
    return dtypes.to(drawn, dtypes.integer())


def dropout(
    input: Tensor,
    p: float = 0.5,
    training: bool | None = True,
    inplace: bool = False,
    *,
    seed: Any = None,
) -> Tensor:
    """Zeroes a share `p` of the elements and scales the others by `1 / (1 - p)`.

    Args:
        input: Any floating tensor.
        p: Probability of zeroing.
        training: Falsy (None too) returns `input` as it is.
        inplace: Not used: nothing is done in place.
        seed: A `keras.random.SeedGenerator`; the current one when left out.
    """
    if not training or p == 0:
        return input
    if not 0 <= p <= 1:
        raise ValueError(explain("p in [0, 1]", f"p={p!r}", "kf.dropout(x, p=0.1)"))
    return _dropped(input, sizes(input), p, seed)


def dropout_channels(
    input: Tensor,
    p: float = 0.5,
    training: bool | None = True,
    inplace: bool = False,
    *,
    seed: Any = None,
) -> Tensor:
    """Zeroes whole channels of [b, c, ...] (torch's dropout1d, dropout2d, dropout3d)."""
    if not training or p == 0:
        return input
    shape = sizes(input)
    return _dropped(input, (*shape[:2], *(1 for _ in shape[2:])), p, seed)


def _dropped(input: Tensor, shape: Any, p: float, seed: Any) -> Tensor:
    if p == 1:
        return ops.zeros_like(input)
    keep = _uniform(shape, "float32", seed) >= p
    return ops.where(keep, input * (1.0 / (1.0 - p)), ops.zeros_like(input))
