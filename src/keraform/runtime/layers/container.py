"""Layers that hold other layers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import keras

from keraform.runtime.layers.base import Layer
from keraform.runtime.tree import retrack


class _Holder(Layer):
    """What the layers below have in common: they hold others, and are true even when empty."""

    _steps: list[Any]

    def __len__(self) -> int:
        return len(self._steps)

    def __bool__(self) -> bool:
        return True

    def __iter__(self) -> Iterator[Any]:
        return iter(list(self._steps))


class Sequential(_Holder):
    """torch's `Sequential`: each layer gets what the one before gave; keys are the indices.

    Args:
        *steps: layers, or one dict of names and layers.
    """

    def __init__(self, *steps: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if len(steps) == 1 and isinstance(steps[0], dict):
            self._names = list(steps[0])
            self._steps = list(steps[0].values())
        else:
            self._names = [str(index) for index in range(len(steps))]
            self._steps = list(steps)

    def add_module(self, name: str, layer: Any) -> None:
        """Add a layer at the end under a name of its own."""
        self._names.append(name)
        self._steps.append(layer)

    def append(self, layer: Any) -> Sequential:
        self.add_module(str(len(self._steps)), layer)
        return self

    def torch_children(self) -> Iterator[tuple[str, Any]]:
        yield from zip(self._names, self._steps, strict=True)

    def __getattr__(self, name: str) -> Any:
        names = self.__dict__.get("_names", ())
        if name in names:
            return self._steps[names.index(name)]
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return Sequential(*list(self._steps)[index])
        return self._steps[index]

    def __setitem__(self, index: int, layer: Any) -> None:
        before = self._steps[index]
        self._steps[index] = layer
        retrack(self, before, layer)

    def call(self, *inputs: Any) -> Any:
        first, *rest = self._steps or [_same]
        outputs = first(*inputs)
        for step in rest:
            outputs = step(outputs)
        return outputs

    def get_config(self) -> dict[str, Any]:
        serialize = keras.saving.serialize_keras_object
        steps = [serialize(step) for step in self._steps]
        base = keras.layers.Layer.get_config(self)
        return {**base, "names": list(self._names), "steps": steps}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Sequential:
        config = dict(config)
        steps = [keras.saving.deserialize_keras_object(step) for step in config.pop("steps")]
        names = config.pop("names")
        if isinstance(config.get("dtype"), dict):
            config["dtype"] = keras.saving.deserialize_keras_object(config["dtype"])
        return cls(dict(zip(names, steps, strict=True)), **config)


class LayerList(_Holder):
    """A list of layers that is a layer itself: the base of what torch derives from `ModuleList`.

    Args:
        steps: the first layers.
    """

    def __init__(self, steps: Iterable[Any] = (), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._steps = list(steps)

    def append(self, layer: Any) -> LayerList:
        self._steps.append(layer)
        return self

    def extend(self, steps: Iterable[Any]) -> LayerList:
        for layer in steps:
            self.append(layer)
        return self

    def torch_children(self) -> Iterator[tuple[str, Any]]:
        yield from ((str(index), layer) for index, layer in enumerate(self._steps))

    def __getitem__(self, index: int | slice) -> Any:
        return self._steps[index]


class LayerDict(_Holder):
    """A dict of layers that is a layer itself: the base of what torch derives from `ModuleDict`.

    Args:
        steps: the first layers, by name.
    """

    def __init__(self, steps: Mapping[str, Any] | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._names: list[str] = []
        self._steps: list[Any] = []
        for name, layer in (steps or {}).items():
            self[name] = layer

    def torch_children(self) -> Iterator[tuple[str, Any]]:
        yield from self.items()

    def keys(self) -> list[str]:
        return list(self._names)

    def values(self) -> list[Any]:
        return list(self._steps)

    def items(self) -> list[tuple[str, Any]]:
        return list(zip(self._names, self._steps, strict=True))

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def __getitem__(self, name: str) -> Any:
        return self._steps[self._names.index(name)]

    def __setitem__(self, name: str, layer: Any) -> None:
        if name in self._names:
            raise KeyError(
                f"expected a new name; got {name!r}, which {type(self).__name__} '{self.name}' "
                "has; use keraform.runtime.tree.replace_child to put another layer in its place."
            )
        self._names.append(name)
        self._steps.append(layer)


def _same(value: Any) -> Any:
    return value
