"""Recording of Keras layers that somebody wrote: every call of each, under attribute paths."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras

from keraform.runtime.observe import observe
from keraform.runtime.tree import TorchTree
from keraform.verify.findings import Place
from keraform.verify.leaves import Leaf, Leaves, Recording, Stage, leaves
from keraform.verify.places import calling_place
from keraform.verify.plain_tree import layers_of
from keraform.verify.port import read_leaf

Around = Callable[[Callable[..., Any], Any, tuple[Any, ...], dict[str, Any]], Any]


@contextmanager
def around_calls(around: Around) -> Iterator[None]:
    """Let `around(run, layer, args, kwargs)` stand for each call of a plain Keras layer."""
    original = keras.layers.Layer.__call__

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(layer, TorchTree):  # Keraform's own report their calls themselves
            return original(layer, *args, **kwargs)
        return around(lambda *a, **k: original(layer, *a, **k), layer, args, kwargs)

    keras.layers.Layer.__call__ = call
    try:
        yield
    finally:
        keras.layers.Layer.__call__ = original


class LayerRecorder:
    """Collects the stages of one run.

    Args:
        model: whose layers are recorded.
        file: the user's file, whose lines call them.
    """

    def __init__(self, model: Any, file: str) -> None:
        self.recording = Recording()
        self.places: dict[str, Place] = {}
        self._file = file
        self._paths = {id(layer): path for path, layer in layers_of(model).items() if path}
        self._calls: Counter[str] = Counter()
        self._looping = 0  # cells inside a recurrent layer run once a step: no stages

    def run(self, model: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Calls the model."""
        with around_calls(self._around), observe(self._finished):
            output = model(*args, **kwargs)
        self.recording.outputs = leaves(output, read_value, caches=True)

    def _around(
        self, run: Callable[..., Any], layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        path = self._paths.get(id(layer))
        if not path or self._looping:
            return run(*args, **kwargs)
        place = calling_place(self._file)
        if place is not None:
            self.places.setdefault(path, place)
        given = _given(args, kwargs)
        self._looping += isinstance(layer, keras.layers.RNN)
        try:
            output = run(*args, **kwargs)
        finally:
            self._looping -= isinstance(layer, keras.layers.RNN)
        self._add(path, given, output)
        return output

    def _finished(self, layer: Any, args: Any, kwargs: Any, output: Any) -> None:
        path = self._paths.get(id(layer))
        if path:
            self._add(path, _given(args, kwargs), output)

    def _add(self, path: str, given: Leaves, output: Any) -> None:
        self._calls[path] += 1
        name = path if self._calls[path] == 1 else f"{path}#{self._calls[path]}"
        self.recording.stages[name] = Stage(name, given, leaves(output, read_value))


def _given(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Leaves:
    return {**leaves(args, read_value), **leaves(kwargs, read_value)}


def read_value(value: Any) -> Leaf | None:
    """A backend tensor as a leaf; None for symbolic ones, which have no value."""
    try:
        return read_leaf(value)
    except Exception:
        return None
