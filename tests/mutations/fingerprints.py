"""Fingerprints of a port: everything that can be seen of it, to the last bit.

A fault that changes none of it is none: it is left out as equivalent, whatever the detector says.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf
from keras import ops
from tests.mutations.subjects import Subject

from keraform.runtime.tree import named_variables, named_weights
from keraform.verify import port as ports
from keraform.verify.cases import Case
from keraform.verify.inputs import make_labels, scene_of
from keraform.verify.leaves import Leaves, Recording, leaves

LOW = ("bfloat16", "float16")
AT_ONCE = ("weights", "float64")
EQUIVALENT, STILLBORN, ALIVE = "equivalent", "stillborn", "alive"


class Fingerprints:
    """The parts of a clean subject's fingerprint, each taken when it is first compared.

    Args:
        subject: the good port.
    """

    def __init__(self, subject: Subject) -> None:
        self.labels = make_labels(scene_of(subject.case.torch_class, subject.config))
        self.parts: dict[str, Callable[[Case], str]] = {
            "weights": _weights,
            "float64": _double,
            "gradients": lambda case: _gradients(case, self.labels),
            **{dtype: _low(dtype) for dtype in LOW},
        }
        self._subject = subject
        self._clean: dict[str, str] = {}

    def verdict(self, case: Case) -> str:
        """Whether a case can be told from the good port, or cannot even be run."""
        for part, take in self.parts.items():
            try:
                found = take(case)
            except Exception:
                # what raises at once needs no detector; what raises in half precision only does
                return STILLBORN if part in AT_ONCE else ALIVE
            if found != self.clean(part):
                return ALIVE
        return EQUIVALENT

    def clean(self, part: str) -> str:
        """A part of the good port's fingerprint."""
        if part not in self._clean:
            self._clean[part] = self.parts[part](self._subject.case)
        return self._clean[part]


def _double(case: Case) -> str:
    """Every stage and output in float64, casts lifted; a cast that is gone shows in half
    precision.
    """
    model = case.port.build("float64", lift=True)
    runs = [ports.run_model(model, v.inputs, "float64", True, **v.flags) for v in case.variants]
    return _digest(part for run in runs for part in _recorded(run))


def _low(dtype: str) -> Callable[[Case], str]:
    def take(case: Case) -> str:
        richest = case.variants[0]
        return _digest(_recorded(case.port.run(richest.inputs, dtype, **richest.flags)))

    return take


def _weights(case: Case) -> str:
    """Keys, shapes, and which keys are one variable; whether torch's weights fit is not asked."""
    first: dict[int, str] = {}
    words = []
    for weight in named_weights(case.make_port()):
        shared = first.setdefault(id(weight.variable), weight.key)
        trainable = weight.variable.trainable
        words.append(f"{weight.key} {weight.variable.shape} {shared} {trainable}".encode())
    return _digest(words)


def _gradients(case: Case, labels: dict[str, Any]) -> str:
    """The outputs with labels, and the gradient of every parameter."""
    model = case.port.build("float64", lift=True)
    with ports.keras_precision("float64", lift=True):
        inputs = ports.keras_values({**case.variants[0].inputs, **labels}, "float64")
        with tf.GradientTape() as tape:
            given = leaves(model(**inputs), lambda x: x if ops.is_tensor(x) else None)
            target = sum(_weighed(value) for value in given.values() if value.dtype.is_floating)
        variables = {key: each for key, each in named_variables(model) if each.trainable}
        gradients = tape.gradient(target, {key: each.value for key, each in variables.items()})
    found = {f"output {name}": ports.read_leaf(value) for name, value in given.items()}
    for key, gradient in gradients.items():
        if gradient is not None:
            found[key] = ports.read_leaf(tf.convert_to_tensor(gradient))
    return _digest(_leaves(found))


def _weighed(value: Any) -> Any:
    """A sum in which every entry counts differently."""
    weights = np.cos(np.arange(int(np.prod(value.shape)))).reshape(value.shape)
    finite = ops.where(ops.isfinite(value), value, ops.zeros_like(value))
    return tf.reduce_sum(tf.cast(finite, "float64") * weights)


def _recorded(run: Recording) -> Iterator[bytes]:
    yield from _leaves(run.outputs)
    for name, stage in run.stages.items():
        yield name.encode()
        yield from _leaves(stage.outputs)


def _leaves(found: Leaves) -> Iterator[bytes]:
    for name, leaf in found.items():
        yield f"{name} {leaf.dtype} {leaf.array.shape}".encode()
        yield np.ascontiguousarray(leaf.array).tobytes()


def _digest(parts: Any) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()
