"""The float64 lift on torch's side: explicit casts to smaller floats become casts to float64.

376 modeling files cast to float32 inside (softmax, norms, rotary tables), which moves float64
results by 1e-7. The runtime's `precision.lift_casts` does the same on the Keras side.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from types import FunctionType
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from keraform.verify.ties import TiesInOrder

LOW = frozenset({torch.float16, torch.bfloat16, torch.float32})
SHORTHANDS = frozenset({torch.Tensor.float, torch.Tensor.half, torch.Tensor.bfloat16})
KEPT = frozenset({torch.Tensor.view})  # `x.view(dtype)` reads the same bits anew: no cast


def _lifted(value: Any) -> Any:
    return torch.float64 if isinstance(value, torch.dtype) and value in LOW else value


class LiftCasts(TorchFunctionMode):
    """While active, every dtype that code names and that is a smaller float means float64."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if func in SHORTHANDS:
            return args[0].double()
        if func in KEPT:
            return func(*args, **(kwargs or {}))
        named = {name: _lifted(value) for name, value in (kwargs or {}).items()}
        return func(*(_lifted(arg) for arg in args), **named)


def _forget_kept() -> None:
    """Empties the caches of upstream's functions: what they keep is of the precision it was made in
    (transformers.pytorch_utils.compile_compatible_method_lru_cache).
    """
    for name, module in list(sys.modules.items()):
        if name.startswith("transformers.models.") and ".modeling_" in name:
            values = list(vars(module).values())
            methods = (each for owner in values for each in _methods(owner))
            for function in (*values, *methods):
                if isinstance(function, FunctionType) and hasattr(function, "__wrapped__"):
                    _empty_cache(function)


def _methods(owner: Any) -> Iterator[Any]:
    yield from vars(owner).values() if isinstance(owner, type) else ()


def _empty_cache(function: FunctionType) -> None:
    for cell in function.__closure__ or ():
        with suppress(ValueError):  # an empty cell
            getattr(cell.cell_contents, "cache_clear", lambda: None)()


@contextmanager
def torch_precision(dtype: str, lift: bool) -> Iterator[None]:
    """Default dtype `dtype` inside, with casts lifted where asked, and equal values in order."""
    before = torch.get_default_dtype()
    changes = lift or getattr(torch, dtype) != before
    if changes:
        _forget_kept()
    torch.set_default_dtype(getattr(torch, dtype))
    try:
        with TiesInOrder(), LiftCasts() if lift else nullcontext():
            yield
    finally:
        torch.set_default_dtype(before)
        if changes:
            _forget_kept()
