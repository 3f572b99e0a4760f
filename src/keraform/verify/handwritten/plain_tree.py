"""The tree of a Keras model that somebody wrote: layers and variables by attribute paths, whatever
Keras calls them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras

from keraform.runtime.tree import _leaves, children, members
from keraform.verify.handwritten.weight_pairs import Weight

# Classes that hold layers and compute nothing of their own: what is in them is the user's.
_GRAPH = ("_operations", "_functional")  # where Keras keeps the graph of a functional model
_SHELLS = frozenset({"Layer", "Model", "Functional", "Sequential"})


def layers_of(root: Any) -> dict[str, Any]:
    """Every layer inside `root` under its path, `root` first under ""; shared ones once."""
    found: dict[str, Any] = {}
    _walk("", root, found, set())
    for layer in root._flatten_layers():  # what no attribute leads to
        if not any(layer is each for each in found.values()):
            _walk(layer.name, layer, found, {id(each) for each in found.values()})
    return found


def _walk(path: str, layer: Any, found: dict[str, Any], seen: set[int]) -> None:
    if id(layer) in seen or isinstance(layer, keras.layers.InputLayer):
        return
    seen.add(id(layer))
    found[path] = layer
    for name, child in _children(layer):
        _walk(f"{path}.{name}" if path else name, child, found, seen)


def _children(layer: Any) -> Iterator[tuple[str, Any]]:
    """By attribute; the layers of sequential and functional models by their names."""
    for name, child in children(layer):
        if not name.startswith(_GRAPH):
            yield name.lstrip("_"), child
    if isinstance(layer, keras.Sequential) or hasattr(layer, "_operations"):
        yield from ((each.name, each) for each in layer.layers)


def library_class(layer: Any) -> str:
    """The nearest class of Keras's own that computes something, "" where there is none."""
    for each in type(layer).__mro__:
        if each.__module__.partition(".")[0] == "keras":
            return "" if each.__name__ in _SHELLS else each.__name__
    return ""


def variables_of(root: Any) -> dict[str, tuple[Weight, keras.Variable]]:
    """Every variable under its attribute path, once, in the order of the layers; no seeds."""
    found: dict[str, tuple[Weight, keras.Variable]] = {}
    seen: set[int] = set()
    for path, layer in layers_of(root).items():
        own = [*layer._trainable_variables, *layer._non_trainable_variables]
        names = _attributes(layer)
        for variable in own:
            if id(variable) in seen:
                continue
            seen.add(id(variable))
            name = names.get(id(variable), variable.name)
            full = f"{path}.{name}" if path else name
            weight = Weight(
                full, tuple(variable.shape), library_class(layer), bool(variable.trainable)
            )
            found[full] = (weight, variable)
    return found


def _attributes(layer: Any) -> dict[int, str]:
    """The attribute of each variable that a layer holds itself."""
    return {
        id(variable): key.lstrip("_")
        for name, value in members(layer)
        for key, variable in _leaves(name, value, keras.Variable)
    }
