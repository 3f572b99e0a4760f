"""Isolated stages: the port run with torch's values in place of its own wherever a layer begins or
ends, so that each stage's error is that of its own code.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from keras import ops

from keraform.runtime.observe import intercept
from keraform.verify import port as ports
from keraform.verify.compare import Difference, compare_inner, compare_outputs, compare_stage
from keraform.verify.draws.of_keras import keras_noise
from keraform.verify.leaves import (
    Leaf,
    Leaves,
    Recording,
    Stage,
    leaves,
    named_arguments,
    parameters_of,
)
from keraform.verify.localising.recorder import Recorder, flatten
from keraform.verify.outcome import StageError

ROOT = ""  # the stage of the model's own code


@dataclass
class Handed:
    """What a stage's code gave to one of its children, where it is not what torch's gave.

    Args:
        child: the child's stage.
        difference: in the words of the stage that is to blame.
        file: where the child was called.
        line: the same.
        at: how many statements were on record when it was called.
        torch: what torch's gave.
        keras: what the port's gave.
    """

    child: str
    difference: Difference
    file: str
    line: int
    at: int
    torch: Leaf | None = None
    keras: Leaf | None = None


@dataclass
class Isolated:
    """What came of an isolated run.

    Args:
        own: the difference of each stage's own code, in the order in which stages ended; the
            model's own is last, under "".
        handed: wrong inputs of children, by the stage whose code gave them.
        layers: the port's layer of each stage.
        outputs: what each stage whose own code is wrong gave.
        crash: what the port raised, and the stages that were under way, the innermost last.
    """

    own: dict[str, Difference] = field(default_factory=dict)
    handed: dict[str, list[Handed]] = field(default_factory=dict)
    layers: dict[str, Any] = field(default_factory=dict)
    outputs: dict[str, Leaves] = field(default_factory=dict)
    crash: tuple[tuple[str, ...], Exception] | None = None

    def note(self, stages: dict[str, StageError]) -> None:
        """Fill the table of stages with the errors of the stages' own code."""
        for name, own in self.own.items():
            stage = stages.setdefault(name, StageError(name))
            stage.note("isolated", own.size)
            stage.layer = type(self.layers[name]).__name__


def run_isolated(
    model: Any,
    torch: Recording,
    inputs: Mapping[str, Any],
    dtype: str,
    lift: bool,
    limit: float,
    recorder: Recorder | None = None,
    **flags: Any,
) -> Isolated:
    """Run a port that was built in `dtype`, every layer fed with what torch's twin was fed.

    Args:
        model: the port.
        torch: the twin's run on the same inputs.
        inputs: NumPy arrays.
        dtype: the model's.
        lift: whether casts are lifted.
        limit: beyond it, what a child was given differs.
        recorder: told which stage runs, for statements.
        **flags: as for the twin's run.
    """
    injection = _Injection(model, torch, limit, recorder)
    with ports.keras_precision(dtype, lift), keras_noise(), intercept(injection.around):
        given = ports.keras_values(dict(inputs), dtype)
        try:
            output = model(**given, **ports.accepted(model, flags))
        except Exception as error:
            injection.found.crash = (tuple(injection.stack), error)
            return injection.found
        outputs = leaves(output, ports.read_leaf, caches=True)
    own = max(compare_outputs(torch.outputs, outputs), key=lambda d: d.error, default=None)
    injection.settle(ROOT, model, own)
    return injection.found


class _Injection:
    """Stands around each layer call of a port."""

    def __init__(
        self, model: Any, torch: Recording, limit: float, recorder: Recorder | None
    ) -> None:
        self.found = Isolated()
        self.stack = [ROOT]
        self._paths = ports.layer_paths(model)
        self._torch = torch
        self._limit = limit
        self._recorder = recorder
        self._calls = Recording()

    def around(self, run: Any, layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        path = self._paths.get(id(layer))
        name = self._calls.begin(path) if path else ROOT
        stage = self._torch.stages.get(name)
        if stage is None:  # the model itself, its main layer, or a layer that torch has not
            return run(*args, **kwargs)
        args, kwargs, wrong = self._give(layer, stage, args, kwargs)
        if wrong is not None:
            self._blame(wrong, name)
        with self._inside(name):
            output = run(*args, **kwargs)
        given = leaves(output, ports.read_leaf)
        own = compare_stage(name, stage.outputs, given)
        if wrong is not None and wrong.starves:
            own = None
        if own is not None and not own.within(self._limit):
            self.found.outputs[name] = given
        self.settle(name, layer, own)
        return replaced(output, stage.outputs, given)

    def settle(self, name: str, layer: Any, own: Difference | None) -> None:
        """A stage has ended: its own difference, or the worst of what it gave to its children."""
        handed = [each.difference for each in self.found.handed.get(name, ())]
        if own is not None or handed:
            worst = max([*([own] if own else []), *handed], key=lambda d: d.error)
            self.found.own[name] = Difference(name, worst.error, worst.problem)
        self.found.layers[name] = layer

    @contextmanager
    def _inside(self, name: str) -> Iterator[None]:
        self.stack.append(name)
        if self._recorder is not None:
            self._recorder.enter(name)
        yield  # after an exception the innermost stage stays on top: it is the one to name
        self.stack.pop()
        if self._recorder is not None:
            self._recorder.leave()

    def _give(
        self, layer: Any, stage: Stage, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any], _Wrong | None]:
        """The arguments with torch's values, and the worst of what differed before."""
        named = named_arguments(type(layer).call, args, kwargs)
        given = flatten(named, ports.read_leaf)
        pairs = aligned(stage.inputs, given)
        names = parameters_of(type(layer).call)
        missing = [
            key
            for key, leaf in stage.inputs.items()
            if key in names and key not in given and not _is_number(leaf)
        ]
        wrong = self._wrong(stage.inputs, given, pairs, missing)
        wanted = {mine: stage.inputs[its] for mine, its in pairs.items()}
        values = replaced(named, wanted, given)
        order = list(named)
        placed = {key: ports.tensor_of(stage.inputs[key]) for key in missing}
        values.update(placed)
        extra = {key: value for key, value in placed.items() if key not in named}
        return (
            tuple(values[order[i]] for i in range(len(args))),
            {**{name: values[name] for name in kwargs}, **extra},
            wrong,
        )

    def _wrong(
        self, torch: Leaves, keras: Leaves, pairs: Mapping[str, str], missing: list[str]
    ) -> _Wrong | None:
        found = []
        for mine, its in pairs.items():
            each = compare_inner(mine, torch[its], keras[mine])
            if not each.within(self._limit) and not _mixed(torch[its], keras[mine]):
                starves = torch[its].array.shape != keras[mine].array.shape
                found.append(_Wrong(each, starves, torch[its], keras[mine]))
        for name in missing:
            words = "is not given, torch gives it"
            each = Difference(name, float("inf"), words)
            found.append(_Wrong(each, False, torch[name], None))
        return max(found, key=lambda each: each.difference.error, default=None)

    def _blame(self, wrong: _Wrong, child: str) -> None:
        file, line = _caller()
        found = wrong.difference
        words = f"{found.stage} of {child}: {found.problem or f'off by {found.error:.1e}'}"
        difference = Difference(self.stack[-1], found.error, words)
        at = len(self._recorder.executions) if self._recorder is not None else 0
        handed = Handed(child, difference, file, line, at, wrong.torch, wrong.keras)
        self.found.handed.setdefault(self.stack[-1], []).append(handed)


@dataclass(frozen=True)
class _Wrong:
    """An argument that differs; `starves` says that the layer could not be given torch's value, so
    that its output says nothing about itself.
    """

    difference: Difference
    starves: bool
    torch: Leaf | None
    keras: Leaf | None


def _mixed(torch: Leaf, keras: Leaf) -> bool:
    """Whether one side is a mask of truth values and the other one of numbers."""
    return (torch.array.dtype.kind == "b") != (keras.array.dtype.kind == "b")


def _caller() -> tuple[str, int]:
    """Where the layer that begins was called: the innermost frame outside of Keraform and Keras."""
    frame = sys._getframe(1)
    while frame.f_back is not None:
        frame = frame.f_back
        name = frame.f_globals.get("__name__", "")
        if not name.startswith(_MACHINERY):
            return frame.f_code.co_filename, frame.f_lineno
    return "", 0


_MACHINERY = ("keraform.runtime", "keraform.modeling", "keraform.verify", "keras.", "tensorflow.")


def _is_number(leaf: Leaf) -> bool:
    return leaf.dtype.startswith("python")


def aligned(torch: Leaves, keras: Leaves) -> dict[str, str]:
    """Keras's names with torch's: equal names first, then the others in order (`input` of torch's
    own modules is Keras's `inputs`), where there are as many on both sides or the shapes agree.
    """
    pairs = {name: name for name in keras if name in torch}
    rest = [name for name in torch if name not in pairs]
    others = [name for name in keras if name not in pairs]
    if len(rest) == len(others):
        return {**pairs, **dict(zip(others, rest, strict=True))}
    for name in others:
        if rest and torch[rest[0]].array.shape == keras[name].array.shape:
            pairs[name] = rest.pop(0)
    return pairs


def replaced(value: Any, wanted: Leaves, given: Leaves, name: str = "") -> Any:
    """`value` with torch's arrays in the places of its own tensors of the same name, kind and
    shape.
    """
    if ops.is_tensor(value):
        return _replacement(value, wanted.get(name or "output"), given.get(name or "output"))
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return value
    if isinstance(value, tuple | list):
        return type(value)(
            replaced(each, wanted, given, f"{name}.{i}" if name else str(i))
            for i, each in enumerate(value)
        )
    if isinstance(value, dict):
        changed = copy.copy(value)
        for key, each in value.items():
            changed[key] = replaced(each, wanted, given, f"{name}.{key}" if name else str(key))
        return changed
    return value


def _replacement(value: Any, wanted: Leaf | None, given: Leaf | None) -> Any:
    if wanted is None or given is None or _is_number(wanted):
        return value
    same = wanted.array.shape == given.array.shape
    if not same or wanted.array.dtype.kind != given.array.dtype.kind:
        return value
    return ops.convert_to_tensor(wanted.array, dtype=given.dtype)
