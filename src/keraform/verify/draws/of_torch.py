"""torch's side: its operators draw the numbers of both sides."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from keraform.errors import KeraformError
from keraform.verify.draws.numbers import (
    bernoulli,
    between,
    classes,
    integers,
    normal,
    ranked,
    seeded,
    uniform,
)


@contextmanager
def torch_noise() -> Iterator[None]:
    """Torch draws from here inside; an operator that does so in another way is an error."""
    with seeded(), _Fed():
        yield


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
                try_next="a row for it in keraform/verify/draws/of_torch.py",
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


def _randint(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.Tensor:
    """`torch.randint(high, size)` and `torch.randint(low, high, size)`."""
    *bounds, size = args
    values = integers(size, *(bounds if len(bounds) == 2 else (0, *bounds)))
    return torch.from_numpy(values).to(kwargs.get("dtype") or torch.int64)


def _multinomial(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.Tensor:
    weights, count, *rest = args
    values = weights.double().numpy()
    if not (rest or [kwargs.get("replacement", False)])[0]:
        return torch.from_numpy(ranked(values, count))
    drawn = classes(np.atleast_2d(values), count)
    return torch.from_numpy(drawn.reshape(*values.shape[:-1], count))


def _bernoulli(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.Tensor:
    """`torch.bernoulli(x)`, of the probabilities in x, and `torch.bernoulli(x, p)`."""
    wanted = args[-1].double().numpy() if isinstance(args[-1], torch.Tensor) else args[-1]
    return torch.from_numpy(np.asarray(bernoulli(args[0].shape, wanted))).to(args[0].dtype)


_TORCH: dict[str, Callable[..., torch.Tensor]] = {
    "uniform_": _filled(between),
    "rand_like": _filled(between),
    "normal_": _filled(lambda shape, mean=0.0, std=1.0: mean + std * normal(shape)),
    "randn_like": _filled(normal),
    "exponential_": _filled(lambda shape, rate=1.0: -np.log(uniform(shape)) / rate),
    "bernoulli_": _filled(bernoulli),
    "bernoulli": _bernoulli,
    "multinomial": _multinomial,
    "randint": _randint,
    "rand": _made(uniform),
    "randn": _made(normal),
}
