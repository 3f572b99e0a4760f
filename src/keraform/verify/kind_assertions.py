"""Kind assertions: what the translator took each expression of a source for, held against what runs
of torch show. It decides by kinds what it writes, so that a wrong one is a wrong decision.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
import transformers
from torch import nn

from keraform.translate.kinds import UNAVAILABLE, Kind
from keraform.verify.drives import torch_values
from keraform.verify.instrument import HOOK, instrument
from keraform.verify.kinds import kind_of
from keraform.verify.lift import torch_precision
from keraform.verify.live_code import codes_of, live_functions, swapped
from keraform.verify.twin import Twin, outputs_of

Runs = Collection[tuple[Mapping[str, Any], Mapping[str, Any]]]
SEQUENCES = (tuple, list)


@dataclass(frozen=True)
class Contradiction:
    """An expression that is not what the translator took it for."""

    file: str
    line: int
    text: str
    taken: str
    seen: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}"
        return f"{place}: `{self.text}` was taken for {self.taken}, and is {self.seen}"


class KindAssertions:
    """The kinds of one source file.

    Args:
        name: the file, as messages name it.
        module: what was imported from it; its functions are watched.
        kinds: what its expressions were taken for, by `line:col:end_line:end_col`.
    """

    def __init__(self, name: str, module: ModuleType, kinds: Mapping[str, Kind]) -> None:
        path = str(module.__file__)
        self.name = name
        self.text = Path(path).read_text(encoding="utf-8")
        self._wanted = kinds
        self._positions: list[str] = []
        self._kinds: list[Kind] = []
        self._found: dict[int, str] = {}
        self._codes = {path: codes_of(instrument(self.text, path, self))}
        # copies of the file that report already are left alone
        self._functions = [each for each in live_functions({path}) if HOOK not in each.__globals__]

    def site(self, position: str) -> int | None:
        """The number of an expression whose kind was known."""
        kind = self._wanted.get(position)
        if kind is None:
            return None
        self._positions.append(position)
        self._kinds.append(kind)
        return len(self._kinds) - 1

    def report(self, site: int, value: Any) -> Any:
        """Holds one value against its expression's kind."""
        if site not in self._found and not agrees(self._kinds[site], value):
            self._found[site] = describe(value)
        return value

    def contradictions(self, twin: Twin, runs: Runs) -> list[Contradiction]:
        """What building and calling a twin shows, in the order of the runs, so that a wrong kind
        stands before what follows from it.

        Args:
            twin: the torch side; it runs in float32, where the model's own dtype and float32 are
                the same (rung 5 tells them apart).
            runs: inputs and flags of each call.
        """
        self._found = {}
        with self._watching(), torch_precision("float32", lift=False):
            model = twin.build("float32")
            for inputs, flags in runs:
                outputs_of(model, torch_values(dict(inputs), torch.float32), **flags)
        return [self._contradiction(site) for site in self._found]

    @contextmanager
    def _watching(self) -> Iterator[None]:
        with swapped(self._functions, self._codes, HOOK, self.report):
            yield

    def _contradiction(self, site: int) -> Contradiction:
        line, column, end_line, end_column = map(int, self._positions[site].split(":"))
        lines = self.text.split("\n")[line - 1 : end_line]
        lines[-1] = lines[-1][:end_column]
        lines[0] = lines[0][column:]
        text = " ".join(" ".join(lines).split())
        return Contradiction(self.name, line, text, words(self._kinds[site]), self._found[site])


@lru_cache(maxsize=4)
def kinds_of_module(module: str) -> KindAssertions:
    """The kinds of an upstream module."""
    from keraform.translate import map_module

    upstream = importlib.import_module(module)
    name = Path(str(upstream.__file__)).relative_to(Path(transformers.__file__).parents[1])
    return KindAssertions(name.as_posix(), upstream, map_module(module).kinds)


def agrees(kind: Kind, value: Any) -> bool:
    """Whether a value is of a kind; None always may be, since every kind can be optional."""
    if value is None or kind == UNAVAILABLE:
        return True
    check = CHECKS.get(kind.tag)
    return check is None or check(kind, value)


def words(kind: Kind) -> str:
    """A kind in words."""
    if kind.is_tensor:
        dtype = "" if kind.dtype is None else f" of {kind.dtype}"
        rank = "" if kind.rank is None else f" with {kind.rank} axes"
        return f"a tensor{dtype}{rank}"
    inner = ", ".join(map(words, kind.items))
    name = f" {kind.name}" if kind.name else ""
    return f"{kind.tag}{name}" + (f" of ({inner})" if inner else "")


def describe(value: Any) -> str:
    """What a value is, in the same words."""
    if isinstance(value, torch.Tensor):
        dtype = str(value.dtype).removeprefix("torch.")
        return f"a tensor of {dtype} with {value.dim()} axes"
    if isinstance(value, SEQUENCES) and not isinstance(value, torch.Size):
        inner = ", ".join(dict.fromkeys(map(describe, value)))
        return f"{kind_of(value)} of ({inner})"
    kind = kind_of(value) or "module"
    return f"layer {type(value).__name__}" if isinstance(value, nn.Module) else kind


# One check for each tag


def _tensor(kind: Kind, value: Any) -> bool:
    if not isinstance(value, torch.Tensor):
        return False
    if kind.rank is not None and kind.rank != value.dim():
        return False
    return _dtype(kind, value.dtype)


def _dtype(kind: Kind, dtype: torch.dtype) -> bool:
    """Whether a dtype is the kind's: `float` follows the model, `int` is any of them."""
    if kind.dtype in (None, "mixed", "mask"):
        return True
    if kind.dtype == "float":
        return dtype == torch.float32
    if kind.dtype == "int":
        return not (dtype.is_floating_point or dtype.is_complex or dtype == torch.bool)
    return dtype == getattr(torch, kind.dtype)


def _dim(kind: Kind, value: Any) -> bool:
    """Ports take dims for integers or for scalar tensors of them, as in graphs they are."""
    if isinstance(value, torch.Tensor):
        return value.dim() == 0 and _dtype(Kind("tensor", "int"), value.dtype)
    return isinstance(value, (int, float) if kind.dtype else int)


def _layer(kind: Kind, value: Any) -> bool:
    if not isinstance(value, nn.Module):
        return False
    if kind.name is None:
        return True
    names = {name.removeprefix("nn.") for name in kind.name.split("|")}
    return any(base.__name__ in names for base in type(value).__mro__)


def _layers(kind: Kind, value: Any) -> bool:
    """Layers in a row; a walk over them is a generator in torch, which can be read only once."""
    if isinstance(value, Iterator):
        return True
    one = Kind("layer", name=kind.name)
    return isinstance(value, (nn.ModuleList, *SEQUENCES)) and all(agrees(one, v) for v in value)


def _of(*types: type) -> Callable[[Kind, Any], bool]:
    return lambda kind, value: isinstance(value, types)


def _no_tensor(kind: Kind, value: Any) -> bool:
    return not isinstance(value, torch.Tensor)


# What is not here (`unknown`, names of torch) says nothing about a value.
CHECKS: dict[str, Callable[[Kind, Any], bool]] = {
    "tensor": _tensor,
    "dim": _dim,
    "int": _of(int),
    "float": lambda kind, value: isinstance(value, (int, float) if kind.name else float),
    "bool": _of(bool, np.bool_),
    "str": _of(str),
    "none": lambda kind, value: False,
    "size": _of(*SEQUENCES),
    "tuple": _of(*SEQUENCES),  # Keras's operations give lists where torch's give tuples
    "list": _of(
        *SEQUENCES, nn.ModuleList, nn.ParameterList, Iterator
    ),  # and what walks over layers
    "dict": _of(Mapping, nn.ModuleDict, nn.ParameterDict),
    "layer": _layer,
    "layers": _layers,
    "class": _of(type),
    "dtype": _of(torch.dtype),
    "function": lambda kind, value: callable(value),
    **dict.fromkeys(("py", "object", "numpy", "config", "device"), _no_tensor),
}
