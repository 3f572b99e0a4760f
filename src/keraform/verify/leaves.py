"""Leaves: nested outputs of either framework as one flat table of named arrays with their
dtypes.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

# The tensors inside a cache's layer, by attribute.
CACHE_PARTS = ("keys", "values", "conv_states", "recurrent_states")


@dataclass(frozen=True)
class Leaf:
    """One array and the dtype it had in its framework (bfloat16 has none in NumPy, and is held as
    float32).
    """

    dtype: str
    array: np.ndarray

    @classmethod
    def without_values(cls, dtype: str) -> Leaf:
        """A leaf that tells of a dtype alone."""
        return cls(dtype, NOTHING)


NOTHING = np.zeros(0)
Leaves = dict[str, Leaf]
State = dict[str, np.ndarray]  # weights, under the keys of torch's state dict
ReadLeaf = Callable[[Any], Any]


@dataclass(frozen=True)
class Stage:
    """What one call of one module gave; `name` is its path, with `#2` for a second call of the same
    module.
    """

    name: str
    inputs: Leaves
    outputs: Leaves


@dataclass
class Recording:
    """One run: the outputs of the whole, and its stages in the order in which they ended;
    `written_over` names outputs that the model changed in place after a stage had given them, and
    which are here as they were given.
    """

    outputs: Leaves = field(default_factory=dict)
    stages: dict[str, Stage] = field(default_factory=dict)
    written_over: frozenset[str] = frozenset()
    _begun: dict[str, int] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """How many numbers its stages give."""
        given = (each.outputs.values() for each in self.stages.values())
        return sum(leaf.array.size for leaves in given for leaf in leaves)

    def begin(self, path: str) -> str:
        """A call of a module begins: the name of its stage."""
        count = self._begun[path] = self._begun.get(path, 0) + 1
        return path if count == 1 else f"{path}#{count}"

    def add(self, path: str, inputs: Leaves, outputs: Leaves) -> None:
        """Record one finished call that was not announced."""
        self.end(self.begin(path), inputs, outputs)

    def end(self, name: str, inputs: Leaves, outputs: Leaves) -> None:
        """Record the end of a call that `begin` has named."""
        self.stages[name] = Stage(name, inputs, outputs)


@functools.lru_cache(maxsize=4096)
def parameters_of(function: Any) -> tuple[str, ...]:
    """The names of a function's positional parameters, `self` left out."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    found = inspect.signature(function).parameters.values()
    return tuple(each.name for each in found if each.kind in kinds and each.name != "self")


def named_arguments(function: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """The arguments of a call by their parameters' names; numbers for what has none."""
    names = parameters_of(function)
    given = {names[i] if i < len(names) else i: value for i, value in enumerate(args)}
    return {**given, **kwargs}


def leaves(value: Any, read: ReadLeaf, caches: bool = False) -> dict[str, Any]:
    """Flatten `value`; names join attribute names and indices with dots, `output` stands for a bare
    tensor.

    Args:
        value: tensors in tuples, lists, dicts and model outputs; None and everything else is left
            out.
        read: gives the leaf of a tensor, None for anything that is not one.
        caches: also look into caches.
    """
    return {name or "output": leaf for name, leaf in _walk(value, "", read, caches)}


def _walk(value: Any, name: str, read: ReadLeaf, caches: bool) -> Iterator[tuple[str, Any]]:
    if value is None or isinstance(value, (bool, int, float, str)):
        return
    leaf = read(value)
    if leaf is not None:
        yield name, leaf
        return
    for key, entry in _entries(value, caches):
        yield from _walk(entry, f"{name}.{key}" if name else str(key), read, caches)


def _entries(value: Any, caches: bool) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, Mapping):
        yield from value.items()
    elif isinstance(value, (tuple, list)):
        yield from enumerate(value)
    elif caches and hasattr(value, "self_attention_cache"):
        yield "self", value.self_attention_cache
        yield "cross", value.cross_attention_cache
    elif caches and hasattr(value, "get_seq_length") and hasattr(value, "layers"):
        for index, layer in enumerate(value.layers):
            yield index, {part: getattr(layer, part, None) for part in CACHE_PARTS}
