"""Rung 7: the port as a graph with unknown batch and length, and under XLA, gives what it gives
eagerly.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from keraform.runtime.observe import observe
from keraform.verify.cases import Case
from keraform.verify.compare import Difference, compare_outputs
from keraform.verify.inputs import Inputs
from keraform.verify.leaves import Leaves, leaves
from keraform.verify.outcome import PASS, ClassReport, failed, not_applicable
from keraform.verify.port import keras_precision, keras_values, outputs_of, read_leaf

DTYPE = "float32"


# Inputs of integers that may decide how large something is: grids of patches, sizes of images,
# lengths of clips.
DECIDING = re.compile(r"grid|sizes|shapes|lens|lengths|durations")


def compiled(case: Case, report: ClassReport) -> str:
    """One trace for two shapes, then XLA at the first.

    Where that fails for want of numbers, inputs that decide sizes are constants of the graph, of
    which each set of values has its own; where it still does, positions that the model computes of
    its tokens are computed before. A remark says so.
    """
    if keras.backend.backend() != "tensorflow":
        return not_applicable("graphs of TensorFlow")
    model = case.port.build(DTYPE)
    with keras_precision(DTYPE, lift=False):
        first = keras_values(case.variants[0].inputs, DTYPE)
        other = case.resized()
        shapes = [first] if other is None else [first, keras_values(other, DTYPE)]
        try:
            return _compiled(case, model, shapes)
        except Exception as error:
            deciding = deciding_inputs(first)
            if not deciding or isinstance(error, MemoryError):
                raise
        remark = f"rung 7: the values of {' and '.join(deciding)} are constants of the graph"
        try:
            outcome = _compiled(case, model, shapes, deciding)
        except Exception:
            found = [_positions(model, inputs) for inputs in shapes]
            if not all(found):
                raise
            placed = [inputs | each for inputs, each in zip(shapes, found, strict=True)]
            outcome = _compiled(case, model, placed, deciding)
            remark += ", position_ids are computed before"
    report.remarks.append(remark)
    return outcome


def _positions(model: Any, inputs: Inputs) -> Inputs:
    """The positions that a model computes itself and hands on to the part that reads texts."""
    found: Inputs = {}

    def note(layer: Any, args: Any, kwargs: Inputs, output: Any) -> None:
        if kwargs.get("position_ids") is not None:
            found["position_ids"] = kwargs["position_ids"]  # the outermost layer ends last

    if "position_ids" in inspect.signature(model.call).parameters and "position_ids" not in inputs:
        with observe(note):
            model(**inputs)
    return found


def deciding_inputs(inputs: Inputs) -> tuple[str, ...]:
    """The inputs whose values, not only their shapes, may decide how large something is."""
    return tuple(
        name
        for name, value in inputs.items()
        if DECIDING.search(name) and keras.backend.is_int_dtype(value.dtype)
    )


def _compiled(case: Case, model: Any, shapes: list[Inputs], constant: tuple[str, ...] = ()) -> str:
    outcome = _graph(case, model, shapes, constant)
    return outcome if outcome != PASS else _xla(case, model, shapes[0], constant)


def _graph(case: Case, model: Any, shapes: list[Inputs], constant: tuple[str, ...]) -> str:
    import tensorflow as tf

    signature = {
        name: tf.TensorSpec(open_shape(name, shapes), value.dtype)
        for name, value in shapes[0].items()
        if name not in constant
    }
    calls: dict[tuple[bytes, ...], Callable[[Inputs], Inputs]] = {}
    for inputs in shapes:
        traced, held = _divided(inputs, constant)
        values = tuple(np.asarray(each).tobytes() for each in held.values())
        if values not in calls:
            calls[values] = tf.function(
                _plain_call(model, held), input_signature=[signature], autograph=False
            )
        outcome = _equal(case, model, inputs, calls[values](traced), "tf.function")
        if outcome != PASS:
            return outcome
    return PASS


def _xla(case: Case, model: Any, inputs: Inputs, constant: tuple[str, ...]) -> str:
    import tensorflow as tf

    traced, held = _divided(inputs, constant)
    call = tf.function(_plain_call(model, held), jit_compile=True, autograph=False)
    return _equal(case, model, inputs, call(traced), "jit_compile=True")


def _divided(inputs: Inputs, constant: tuple[str, ...]) -> tuple[Inputs, Inputs]:
    """The inputs of a graph, and those that are its constants, as arrays."""
    traced = {name: value for name, value in inputs.items() if name not in constant}
    return traced, {name: ops.convert_to_numpy(inputs[name]) for name in constant}


def open_shape(name: str, shapes: list[Inputs]) -> list[int | None]:
    """The shape that covers all given ones: None where they differ."""
    sizes = zip(*(inputs[name].shape for inputs in shapes), strict=True)
    return [axis[0] if len(set(axis)) == 1 and len(axis) > 1 else None for axis in sizes]


def _plain_call(model: Any, held: Inputs) -> Callable[[Inputs], Inputs]:
    """Outputs as one plain dict without None: what a graph can return."""

    def call(inputs: Inputs) -> Inputs:
        constants = {name: ops.convert_to_tensor(value) for name, value in held.items()}
        return leaves(
            model(**inputs, **constants),
            lambda value: value if ops.is_tensor(value) else None,
            caches=True,
        )

    return call


def _equal(case: Case, model: Any, inputs: Inputs, got: Inputs, how: str) -> str:
    eager: Leaves = outputs_of(model, inputs)
    graph = leaves(got, read_leaf)
    noise = case.noise(case.variants[0]) if case.reads_itself else {}
    for difference in compare_outputs(eager, graph):
        if not difference.within(case.limit(difference.stage, DTYPE, noise)):
            return failed(f"{how} at {_sizes(inputs)}: {_named(difference)}")
    return PASS


def _sizes(inputs: Inputs) -> str:
    return ", ".join(
        f"{name} {'x'.join(map(str, np.shape(value)))}" for name, value in inputs.items()
    )


def _named(difference: Difference) -> str:
    far = f"is off by {difference.error:.1e} from the eager call"
    return f"{difference.stage} {difference.problem or far}"
