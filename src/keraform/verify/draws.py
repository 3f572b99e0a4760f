"""Random numbers of a run: both sides draw the same ones, and nothing is dropped.

A draw depends on its shape alone, and its uniform numbers lie in [0.5, 1). So dropout, dropped
layers and dropped paths of a probability up to a half keep everything, and what they scale by is
compared; Gumbel noise and its like is the same on both sides.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import torch
from keras import ops
from torch.utils._python_dispatch import TorchDispatchMode

from keraform.errors import KeraformError


def uniform(shape: Any) -> np.ndarray:
    """The draw of a shape, numbers in [0.5, 1)."""
    sizes = tuple(int(size) for size in shape)
    return np.random.default_rng((len(sizes), *sizes)).uniform(0.5, 1.0, sizes)


def normal(shape: Any) -> np.ndarray:
    """The draw of a shape, standard normal numbers."""
    sizes = tuple(int(size) for size in shape)
    return np.random.default_rng((len(sizes), *sizes)).normal(size=sizes)


@contextmanager
def torch_noise() -> Iterator[None]:
    """Torch draws from here inside; an operator that does so in another way is an error."""
    with _seeded(), _Fed():
        yield


@contextmanager
def keras_noise() -> Iterator[None]:
    """`keras.random`, which layers and `keraform.ops` call, draws from here inside."""
    before = {name: getattr(keras.random, name) for name in _KERAS}
    for name, draw in _KERAS.items():
        setattr(keras.random, name, draw)
    try:
        with _seeded():
            yield
    finally:
        for name, function in before.items():
            setattr(keras.random, name, function)


@contextmanager
def _seeded() -> Iterator[None]:
    """What is drawn by NumPy or by Python is drawn by the same code on both sides."""
    state, plain = np.random.get_state(), random.getstate()
    np.random.seed(0)
    random.seed(0)
    try:
        yield
    finally:
        np.random.set_state(state)
        random.setstate(plain)


class _Fed(TorchDispatchMode):
    """Below autograd, where composites (dropout in attention, Gumbel) have become single draws."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        draws = torch.Tag.nondeterministic_seeded in func.tags
        if not draws or _drops_nothing(func, args, kwargs or {}):
            return func(*args, **(kwargs or {}))
        draw = _TORCH.get(func.overloadpacket.__name__)
        if draw is None:
            raise KeraformError(
                expected="random numbers that both sides can be given: "
                f"{', '.join(sorted(_TORCH))}",
                got=f"a run that draws with {func}",
                try_next="a row for it in keraform/verify/draws.py",
            )
        return draw(func, args, kwargs or {})


def _drops_nothing(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether an operator draws for dropout alone (fused attention) and drops nothing."""
    for place, argument in enumerate(func._schema.arguments):
        if argument.name == "dropout_p":
            given = kwargs.get("dropout_p", argument.default_value)
            return (args[place] if place < len(args) else given) == 0
    return False


def _filled(numbers: Callable[..., np.ndarray]) -> Callable[..., torch.Tensor]:
    """An operator that fills a tensor (`x.uniform_(0, 1)`), or makes one like its first."""

    def draw(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.Tensor:
        first, *rest = args
        values = torch.from_numpy(np.asarray(numbers(tuple(first.shape), *rest)))
        in_place = func.overloadpacket.__name__.endswith("_")
        target = first if in_place else torch.empty_like(first, dtype=kwargs.get("dtype"))
        return target.copy_(values)

    return draw


def _made(numbers: Callable[..., np.ndarray]) -> Callable[..., torch.Tensor]:
    """An operator that makes a tensor from sizes (`torch.rand(2, 3)`)."""

    def draw(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.Tensor:
        values = torch.from_numpy(np.asarray(numbers(args[-1], *args[:-1])))
        return values.to(kwargs.get("dtype") or torch.get_default_dtype())

    return draw


def _between(shape: Any, low: float = 0.0, high: float = 1.0) -> np.ndarray:
    return low + (high - low) * uniform(shape)


def _integers(shape: Any, low: Any, high: Any) -> np.ndarray:
    return np.floor(_between(shape, float(low), float(high))).astype("int64")


def _classes(weights: np.ndarray, count: int) -> np.ndarray:
    """Classes by their weights, with replacement: rows by classes give rows by draws."""
    shares = np.cumsum(weights, axis=-1) / weights.sum(axis=-1, keepdims=True)
    drawn = uniform((*weights.shape[:-1], count))
    return (shares[..., None, :] <= drawn[..., None]).sum(axis=-1)


def _ranked(weights: np.ndarray, count: int) -> np.ndarray:
    """Classes by their weights, each at most once: the largest after Gumbel noise."""
    with np.errstate(divide="ignore"):
        noisy = np.log(weights) - np.log(-np.log(uniform(weights.shape)))
    return np.argsort(-noisy, axis=-1, kind="stable")[..., :count]


def _kept(shape: Any, probability: Any = 0.5) -> np.ndarray:
    """Bernoulli numbers: dropout asks with the probability of keeping."""
    wanted = probability.double().numpy() if isinstance(probability, torch.Tensor) else probability
    return uniform(shape) >= 1.0 - wanted


def _randint(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.Tensor:
    """`torch.randint(high, size)` and `torch.randint(low, high, size)`."""
    *bounds, size = args
    values = _integers(size, *(bounds if len(bounds) == 2 else (0, *bounds)))
    return torch.from_numpy(values).to(kwargs.get("dtype") or torch.int64)


def _multinomial(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.Tensor:
    weights, count, *rest = args
    values = weights.double().numpy()
    if not (rest or [kwargs.get("replacement", False)])[0]:
        return torch.from_numpy(_ranked(values, count))
    drawn = _classes(np.atleast_2d(values), count)
    return torch.from_numpy(drawn.reshape(*values.shape[:-1], count))


def _bernoulli(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.Tensor:
    """`torch.bernoulli(x)`, of the probabilities in x, and `torch.bernoulli(x, p)`."""
    return torch.from_numpy(np.asarray(_kept(args[0].shape, args[-1]))).to(args[0].dtype)


_TORCH: dict[str, Callable[..., torch.Tensor]] = {
    "uniform_": _filled(_between),
    "rand_like": _filled(_between),
    "normal_": _filled(lambda shape, mean=0.0, std=1.0: mean + std * normal(shape)),
    "randn_like": _filled(normal),
    "exponential_": _filled(lambda shape, rate=1.0: -np.log(uniform(shape)) / rate),
    "bernoulli_": _filled(_kept),
    "bernoulli": _bernoulli,
    "multinomial": _multinomial,
    "randint": _randint,
    "rand": _made(uniform),
    "randn": _made(normal),
}


def _keras_uniform(
    shape: Any, minval: float = 0.0, maxval: float = 1.0, dtype: Any = None, seed: Any = None
) -> Any:
    return ops.convert_to_tensor(_between(shape, minval, maxval), dtype or keras.config.floatx())


def _keras_normal(
    shape: Any, mean: float = 0.0, stddev: float = 1.0, dtype: Any = None, seed: Any = None
) -> Any:
    return ops.convert_to_tensor(mean + stddev * normal(shape), dtype or keras.config.floatx())


def _keras_dropout(inputs: Any, rate: float, noise_shape: Any = None, seed: Any = None) -> Any:
    kept = _kept(ops.shape(inputs) if noise_shape is None else noise_shape, 1.0 - rate)
    return inputs * ops.cast(ops.convert_to_tensor(kept / (1.0 - rate)), inputs.dtype)


def _keras_randint(
    shape: Any, minval: Any, maxval: Any, dtype: Any = "int32", seed: Any = None
) -> Any:
    return ops.convert_to_tensor(_integers(shape, minval, maxval), dtype)


def _keras_categorical(
    logits: Any, num_samples: int, dtype: Any = "int32", seed: Any = None
) -> Any:
    weights = np.exp(ops.convert_to_numpy(logits).astype("float64"))
    return ops.convert_to_tensor(_classes(weights, num_samples), dtype)


_KERAS: dict[str, Callable[..., Any]] = {
    "uniform": _keras_uniform,
    "normal": _keras_normal,
    "randint": _keras_randint,
    "categorical": _keras_categorical,
    "dropout": _keras_dropout,
}
