"""Recording of Keras layers that somebody wrote: every call of each, under attribute paths."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import keras

from keraform.runtime.observe import intercept
from keraform.runtime.tree import TorchTree
from keraform.verify.findings import Place
from keraform.verify.handwritten.places import calling_place
from keraform.verify.handwritten.plain_tree import layers_of
from keraform.verify.leaves import Leaf, Recording, leaves
from keraform.verify.localising.recorder import Recorder
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
        recorder: told which stage runs, for statements.
    """

    def __init__(self, model: Any, file: str, recorder: Recorder | None = None) -> None:
        self._recorder = recorder
        self.recording = Recording()
        self.places: dict[str, Place] = {}
        self._file = file
        self._paths = {id(layer): path for path, layer in layers_of(model).items() if path}
        self._looping = 0  # cells inside a recurrent layer run once a step: no stages

    def run(self, model: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Calls the model."""
        with around_calls(self._around), intercept(self._around):
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
        name = self.recording.begin(path)
        given = {**leaves(args, read_value), **leaves(kwargs, read_value)}
        with self._inside(name, layer):
            output = run(*args, **kwargs)
        self.recording.end(name, given, leaves(output, read_value))
        return output

    @contextmanager
    def _inside(self, name: str, layer: Any) -> Iterator[None]:
        loops = isinstance(layer, keras.layers.RNN)
        self._looping += loops
        with nullcontext() if self._recorder is None else self._recorder.stage(name):
            try:
                yield
            finally:
                self._looping -= loops


def read_value(value: Any) -> Leaf | None:
    """A backend tensor as a leaf; None for symbolic ones, which have no value."""
    try:
        return read_leaf(value)
    except Exception:
        return None
