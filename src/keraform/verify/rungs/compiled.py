"""Rung 7: the port as a graph with unknown batch and length, and under XLA, gives what it gives
eagerly.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from keraform.verify.cases import Case
from keraform.verify.compare import Difference, compare_outputs
from keraform.verify.leaves import Leaves, leaves
from keraform.verify.outcome import PASS, ClassReport, failed, not_applicable
from keraform.verify.port import keras_precision, keras_values, outputs_of, read_leaf

DTYPE = "float32"


def compiled(case: Case, report: ClassReport) -> str:
    """One trace for two shapes, then XLA at the first."""
    if keras.backend.backend() != "tensorflow":
        return not_applicable("graphs of TensorFlow")
    model = case.port.build(DTYPE)
    with keras_precision(DTYPE, lift=False):
        first = keras_values(case.variants[0].inputs, DTYPE)
        other = case.resized()
        shapes = [first] if other is None else [first, keras_values(other, DTYPE)]
        outcome = _graph(case, model, shapes)
        return outcome if outcome != PASS else _xla(case, model, first)


def _graph(case: Case, model: Any, shapes: list[dict[str, Any]]) -> str:
    import tensorflow as tf

    signature = {
        name: tf.TensorSpec(_open_shape(name, shapes), value.dtype)
        for name, value in shapes[0].items()
    }
    call = tf.function(_plain_call(model), input_signature=[signature], autograph=False)
    for inputs in shapes:
        outcome = _equal(case, model, inputs, call(inputs), "tf.function")
        if outcome != PASS:
            return outcome
    return PASS


def _xla(case: Case, model: Any, inputs: dict[str, Any]) -> str:
    import tensorflow as tf

    call = tf.function(_plain_call(model), jit_compile=True, autograph=False)
    return _equal(case, model, inputs, call(inputs), "jit_compile=True")


def _open_shape(name: str, shapes: list[dict[str, Any]]) -> list[int | None]:
    """The shape that covers all given ones: None where they differ."""
    sizes = zip(*(inputs[name].shape for inputs in shapes), strict=True)
    return [axis[0] if len(set(axis)) == 1 and len(axis) > 1 else None for axis in sizes]


def _plain_call(model: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Outputs as one plain dict without None: what a graph can return."""

    def call(inputs: dict[str, Any]) -> dict[str, Any]:
        return leaves(
            model(**inputs), lambda value: value if ops.is_tensor(value) else None, caches=True
        )

    return call


def _equal(case: Case, model: Any, inputs: dict[str, Any], got: dict[str, Any], how: str) -> str:
    eager: Leaves = outputs_of(model, inputs)
    graph = leaves(got, read_leaf)
    noise = case.noise(case.variants[0]) if case.reads_itself else {}
    for difference in compare_outputs(eager, graph):
        if not difference.within(case.limit(difference.stage, DTYPE, noise)):
            return failed(f"{how} at {_sizes(inputs)}: {_named(difference)}")
    return PASS


def _sizes(inputs: dict[str, Any]) -> str:
    return ", ".join(
        f"{name} {'x'.join(map(str, np.shape(value)))}" for name, value in inputs.items()
    )


def _named(difference: Difference) -> str:
    far = f"is off by {difference.error:.1e} from the eager call"
    return f"{difference.stage} {difference.problem or far}"
