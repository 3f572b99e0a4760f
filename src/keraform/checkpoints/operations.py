"""What a converter does to tensors: merge, split, transpose, each with its way back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

Tensors = dict[str, list[np.ndarray]]


class InexpressibleError(Exception):
    """An operation that cannot be carried out here; the keys are reported, never guessed."""


@dataclass(frozen=True)
class Context:
    """What an operation may ask for.

    Args:
        sources: The converter's source patterns.
        targets: The converter's target patterns.
        key: The full key of the first target.
        config: The model's configuration.
        shapes: The shapes that the model expects, by key.
    """

    sources: list[str]
    targets: list[str]
    key: str
    config: Any
    shapes: Mapping[str, tuple[int, ...]]


def _only(tensors: Tensors) -> np.ndarray:
    if len(tensors) != 1:
        raise InexpressibleError(f"one tensor expected, got {sorted(tensors)}")
    return next(iter(tensors.values()))[0]


def _one_target(context: Context) -> str:
    if len(context.targets) != 1:
        raise InexpressibleError(f"one target expected, got {context.targets}")
    return context.targets[0]


def _shard_count(context: Context, attribute: str) -> int:
    return getattr(context.config.get_text_config(), attribute)


@dataclass(frozen=True)
class Chunk:
    """One tensor to equal parts along `dim`."""

    dim: int = 0
    num_shards_attribute: str | None = None

    def convert(self, tensors: Tensors, context: Context) -> Tensors:
        targets = context.targets
        if self.num_shards_attribute is not None:
            count = _shard_count(context, self.num_shards_attribute)
            targets = [_one_target(context).replace("*", str(index)) for index in range(count)]
        parts = np.split(_only(tensors), len(targets), axis=self.dim)
        return {target: [part] for target, part in zip(targets, parts, strict=True)}

    def reversed(self) -> Concatenate:
        return Concatenate(self.dim, self.num_shards_attribute)


@dataclass(frozen=True)
class Split:
    """One tensor to parts as large as the model's parameters along `dim`."""

    dim: int = 0

    def convert(self, tensors: Tensors, context: Context) -> Tensors:
        first = context.targets[0]
        try:
            sizes = [
                context.shapes[context.key.replace(first, target)][self.dim]
                for target in context.targets
            ]
        except KeyError as error:
            raise InexpressibleError(f"the model has no parameter {error}") from error
        parts = np.split(_only(tensors), np.cumsum(sizes)[:-1], axis=self.dim)
        return {target: [part] for target, part in zip(context.targets, parts, strict=True)}

    def reversed(self) -> Concatenate:
        return Concatenate(self.dim)


@dataclass(frozen=True)
class Concatenate:
    """All tensors, in the order of the sources, along `dim`."""

    dim: int = 0
    num_shards_attribute: str | None = None

    def convert(self, tensors: Tensors, context: Context) -> Tensors:
        parts = [part for source in context.sources for part in tensors.get(source, ())]
        return {_one_target(context): [np.concatenate(parts, axis=self.dim)]}

    def reversed(self) -> Chunk:
        return Chunk(self.dim, self.num_shards_attribute)


@dataclass(frozen=True)
class Interleave:
    """Rows taken alternately from the two halves put side by side, or the reverse."""

    dim: int = 0
    inverse: bool = False

    def convert(self, tensors: Tensors, context: Context) -> Tensors:
        tensor = next(iter(tensors.values()))[0]
        half = tensor.shape[self.dim] // 2
        pair = (2, half) if self.inverse else (half, 2)
        shape = (*tensor.shape[: self.dim], *pair, *tensor.shape[self.dim + 1 :])
        swapped = np.swapaxes(tensor.reshape(shape), self.dim, self.dim + 1)
        return {context.targets[0]: [swapped.reshape(tensor.shape)]}

    def reversed(self) -> Interleave:
        return replace(self, inverse=not self.inverse)


@dataclass(frozen=True)
class MergeModulelist:
    """The tensors of a module list as one tensor with a new axis `dim`."""

    dim: int = 0

    def convert(self, tensors: Tensors, context: Context) -> Tensors:
        alone = len(tensors) == 1
        return {
            _one_target(context) if alone else source: [np.stack(parts, axis=self.dim)]
            for source, parts in tensors.items()
        }

    def reversed(self) -> SplitModulelist:
        return SplitModulelist(self.dim)


@dataclass(frozen=True)
class SplitModulelist:
    """One tensor to the tensors of a module list."""

    dim: int = 0

    def convert(self, tensors: Tensors, context: Context) -> Tensors:
        alone = len(tensors) == 1
        found: Tensors = {}
        for source, parts in tensors.items():
            pattern = _one_target(context) if alone else source
            for index in range(parts[0].shape[self.dim]):
                found[pattern.replace("*", str(index))] = [np.take(parts[0], index, axis=self.dim)]
        return found

    def reversed(self) -> MergeModulelist:
        return MergeModulelist(self.dim)


@dataclass(frozen=True)
class Transpose:
    """Two axes swapped; with `check_dims` only where the shape is not yet the model's."""

    dim0: int = 0
    dim1: int = 1
    check_dims: bool = False

    def convert(self, tensors: Tensors, context: Context) -> Tensors:
        target = context.targets[0] if len(context.targets) == 1 else context.sources[0]
        tensor = _only(tensors)
        if self.check_dims and tensor.shape == context.shapes.get(context.key):
            return {target: [tensor]}
        return {target: [np.swapaxes(tensor, self.dim0, self.dim1)]}

    def reversed(self) -> Transpose:
        return replace(self, dim0=self.dim1, dim1=self.dim0)


@dataclass(frozen=True)
class PermuteForRope:
    """Rows of a query or key projection from interleaved pairs to two halves."""

    subconfig_key: str | None = None
    permute_layer_names: list[str] | None = None
    inverse: bool = False

    def convert(self, tensors: Tensors, context: Context) -> Tensors:
        chained = len(context.sources) != len(context.targets)
        found: Tensors = {}
        for source, parts in tensors.items():
            wanted = self.permute_layer_names
            permuted = wanted is None or any(name in source for name in wanted)
            tensor = self._permute(parts[0], context.config) if permuted else parts[0]
            found[source if chained else _one_target(context)] = [tensor]
        return found

    def _permute(self, tensor: np.ndarray, config: Any) -> np.ndarray:
        if self.subconfig_key is not None:
            config = getattr(config, self.subconfig_key, config)
        heads = getattr(config, "num_attention_heads", 1)
        half = tensor.shape[0] // heads // 2
        pair = (2, half) if self.inverse else (half, 2)
        shape = (heads, *pair, *tensor.shape[1:])
        return np.swapaxes(tensor.reshape(shape), 1, 2).reshape(tensor.shape)

    def reversed(self) -> PermuteForRope:
        return replace(self, inverse=not self.inverse)


@dataclass(frozen=True)
class Unknown:
    """An operation of upstream's that has no counterpart here."""

    name: str
    arguments: dict[str, Any] = field(default_factory=dict)

    def convert(self, tensors: Tensors, context: Context) -> Tensors:
        raise InexpressibleError(f"Keraform has no counterpart of {self.name}")

    def reversed(self) -> Unknown:
        return self
