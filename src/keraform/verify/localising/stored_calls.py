"""Calls as text and arrays: what a module was called with, as source that a script can repeat."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn

from keraform.verify import twin
from keraform.verify.cases import Variant
from keraform.verify.drives import torch_values
from keraform.verify.leaves import parameters_of


@dataclass
class StoredCall:
    """One call of a torch module.

    Args:
        args: source of each positional argument.
        named: source of each named one.
        arrays: the tensors by the names that the source mentions, floats in float64.
        left_out: arguments that cannot be stored (caches, modules); None stands in their place.
    """

    args: list[str] = field(default_factory=list)
    named: dict[str, str] = field(default_factory=dict)
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> StoredCall:
        """The call `module(*args, **kwargs)`."""
        call = cls()
        names = parameters_of(type(module).forward)
        for index, value in enumerate(args):
            name = names[index] if index < len(names) else str(index)
            call.args.append(call._source(name, value))
        call.named = {name: call._source(name, value) for name, value in kwargs.items()}
        return call

    def text(self) -> str:
        """The body of a function that gives the arguments, made with its parameter `tensor`."""
        lines = [f"    # left out, for it cannot be stored: {name}" for name in self.left_out]
        lines += ["    args = (", *(f"        {each}," for each in self.args), "    )"]
        named = [f"        {name!r}: {each}," for name, each in self.named.items()]
        lines += ["    named = {", *named, "    }", "    return args, named"]
        return "\n".join(lines)

    def _source(self, name: str, value: Any) -> str:
        if isinstance(value, torch.Tensor):
            self.arrays[name] = stored(value)
            return f"tensor({name!r}, {str(value.dtype).removeprefix('torch.')!r})"
        if isinstance(value, float):
            return repr(value) if np.isfinite(value) else f"float({str(value)!r})"
        if value is None or isinstance(value, bool | int | str):
            return repr(value)
        if type(value) in (tuple, list, torch.Size):
            inner = [self._source(f"{name}.{i}", each) for i, each in enumerate(value)]
            return f"[{', '.join(inner)}]" if type(value) is list else f"({', '.join(inner)},)"
        if type(value) is dict:
            entries = (f"{k!r}: {self._source(f'{name}.{k}', v)}" for k, v in value.items())
            return f"{{{', '.join(entries)}}}"
        self.left_out.append(f"{name}, a {type(value).__name__}")
        return "None"


def stored(tensor: torch.Tensor) -> np.ndarray:
    """A tensor as it is kept: floats in float64, which holds every smaller one exactly."""
    tensor = tensor.detach()
    return (tensor.double() if tensor.is_floating_point() else tensor).numpy().copy()


def call_of_stage(
    model: nn.Module, stage: str, variant: Variant, dtype: str, lift: bool
) -> StoredCall | None:
    """What the module of a stage is called with in a run of the whole; None where it does not run.

    Args:
        model: torch's model, built in `dtype`.
        stage: a module's path, with `#2` for its second call.
        variant: the model's inputs.
        dtype: the model's.
        lift: whether casts are lifted.
    """
    path, _, number = stage.partition("#")
    calls: list[StoredCall] = []

    def begin(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        calls.append(StoredCall.of(module, args, kwargs))

    handle = model.get_submodule(path).register_forward_pre_hook(begin, with_kwargs=True)
    try:
        twin.run_model(model, variant.inputs, dtype, lift, **variant.flags)
    finally:
        handle.remove()
    index = int(number or 1) - 1
    return calls[index] if index < len(calls) else None


def call_of_model(
    model: nn.Module, variant: Variant, dtype: str, flags: Mapping[str, Any]
) -> StoredCall:
    """The call of the whole model with a variant's inputs.

    Args:
        model: torch's model.
        variant: the inputs.
        dtype: the model's.
        flags: those of the variant's that both sides take.
    """
    inputs = torch_values(dict(variant.inputs), getattr(torch, dtype))
    return StoredCall.of(model, (), {**inputs, **flags})
