"""Ports under proof: the Keras model built in a given dtype, loaded with the twin's weights, run on
record.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from keraform.modeling import PreTrainedModel
from keraform.modeling.building import deferred_values, initialize
from keraform.modeling.precision import keep_in_float32
from keraform.runtime import precision
from keraform.runtime.observe import intercept
from keraform.runtime.tree import named_layers, named_weights
from keraform.verify.draws.of_keras import keras_noise
from keraform.verify.leaves import Leaf, Leaves, Recording, State, leaves, named_arguments
from keraform.verify.load_report import LoadReport
from keraform.verify.localising.recorder import Recorder, flatten

# Called with a port and the twin's state; gives what was missing, left over or wrong.
Load = Callable[[Any, State], LoadReport]


@contextmanager
def keras_precision(dtype: str, lift: bool) -> Iterator[None]:
    """Dtype policy `dtype` inside; in float64 also the default for floats, with casts lifted where
    asked.
    """
    policy, floatx = keras.config.dtype_policy(), keras.config.floatx()
    keras.config.set_dtype_policy(dtype)
    keras.config.set_floatx("float64" if dtype == "float64" else "float32")
    wide = precision.keep_float64() if dtype == "float64" else nullcontext()
    try:
        with wide, precision.lift_casts() if lift else nullcontext():
            yield
    finally:
        keras.config.set_dtype_policy(policy)
        keras.config.set_floatx(floatx)


@dataclass
class Port:
    """A Keras model or layer in any dtype, always with the same weights.

    Args:
        construct: builds the model.
        load: gives it the weights, or checks them.
        state: the weights, in torch's keys and layout.
        reads_itself: whether `construct` reads the weights from a directory.
    """

    construct: Callable[[], Any]
    load: Load
    state: State
    reads_itself: bool = False

    def build(self, dtype: str = "float32", lift: bool = False) -> Any:
        """The model in `dtype`, loaded; no random weights are made first, as for users.

        Raises:
            ValueError: weights are missing or left over.
        """
        model, report = self.build_anyway(dtype, lift)
        report.check()
        return model

    def build_anyway(self, dtype: str = "float32", lift: bool = False) -> tuple[Any, LoadReport]:
        """The model in `dtype` with the weights that fit, and what loading said."""
        with keras_precision(dtype, lift):
            if self.reads_itself:
                model = self.construct()
                report = self.load(model, self.state)
            else:
                with deferred_values() as made:
                    model = self.construct()
                if isinstance(model, PreTrainedModel):
                    keep_in_float32(model)
                report = self.load(model, self.state)
                initialize(made)
        return model, report

    def run(
        self, inputs: Mapping[str, Any], dtype: str = "float32", lift: bool = False, **flags: Any
    ) -> Recording:
        """Build in `dtype`, run once, and give what was recorded."""
        return run_model(self.build(dtype, lift), inputs, dtype, lift, **flags)


def run_model(
    model: Any,
    inputs: Mapping[str, Any],
    dtype: str,
    lift: bool,
    recorder: Recorder | None = None,
    **flags: Any,
) -> Recording:
    """Run a port that was built in `dtype`; what it draws at random, the twin draws too."""
    with keras_precision(dtype, lift), keras_noise():
        return record(model, keras_values(dict(inputs), dtype), recorder, **flags)


def load_state(model: Any, state: State) -> LoadReport:
    """Load torch's weights through the room that does so for users; here nothing may be ignored."""
    from keraform.checkpoints import load_torch_state

    report = load_torch_state(model, state, convert_keys=False)
    known = {weight.key for weight in named_weights(model)}
    return LoadReport(
        missing=tuple(sorted(report.all_missing)),
        unexpected=tuple(key for key in state if key not in known),
        mismatched=tuple(key for key, _, _ in report.mismatched_keys),
    )


def keras_values(value: Any, dtype: str) -> Any:
    """NumPy inputs as backend tensors, floats in `dtype`."""
    if isinstance(value, np.ndarray):
        return ops.convert_to_tensor(value, dtype=dtype if value.dtype.kind == "f" else None)
    if isinstance(value, dict):
        return {key: keras_values(entry, dtype) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(keras_values(entry, dtype) for entry in value)
    return value


def tensor_of(leaf: Leaf) -> Any:
    """A leaf of torch's as a tensor, floats in the dtype of the policy that is set."""
    dtype = keras.config.dtype_policy().compute_dtype if leaf.array.dtype.kind == "f" else None
    return ops.convert_to_tensor(leaf.array, dtype=dtype)


def layer_paths(model: Any) -> dict[int, str]:
    """The torch path of each layer, by the layer's id; shared ones under their first."""
    paths: dict[int, str] = {}
    for path, layer in named_layers(model):
        paths.setdefault(id(layer), path)
    return paths


def record(
    model: Any, inputs: Mapping[str, Any], recorder: Recorder | None = None, **flags: Any
) -> Recording:
    """Call the port with all of its layers on record, under torch's paths.

    Args:
        model: the port.
        inputs: of the call.
        recorder: told which stage runs, for statements; what it reads of tensors, is read of all.
        **flags: such as `output_attentions`, for a call that takes them.
    """
    recording = Recording()
    read = read_leaf if recorder is None else recorder.read
    paths = layer_paths(model)

    def around(run: Any, layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        path = paths.get(id(layer))
        if not path:
            return run(*args, **kwargs)
        name = recording.begin(path)
        given = flatten(named_arguments(type(layer).call, args, kwargs), read)
        with recorder.stage(name) if recorder is not None else nullcontext():
            output = run(*args, **kwargs)
        recording.end(name, given, leaves(output, read))
        return output

    with intercept(around):
        output = model(**inputs, **accepted(model, flags))
    recording.outputs = leaves(output, read, caches=True)
    return recording


def accepted(model: Any, flags: Mapping[str, Any]) -> dict[str, Any]:
    """Those of `output_hidden_states` and its like that the call takes; a wrapper hands all on."""
    main = getattr(model, "main_layer", None)
    called = model if main is None else getattr(model, main)
    parameters = inspect.signature(called.call).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return dict(flags)
    return {name: value for name, value in flags.items() if name in parameters}


def outputs_of(model: Any, inputs: Mapping[str, Any], **flags: Any) -> Leaves:
    """The outputs alone."""
    return leaves(model(**inputs, **accepted(model, flags)), read_leaf, caches=True)


def read_leaf(value: Any) -> Leaf | None:
    """A backend tensor as a leaf."""
    if isinstance(value, keras.Variable):
        value = value.value
    if not ops.is_tensor(value):
        return None
    dtype = keras.backend.standardize_dtype(value.dtype)
    if dtype == "bfloat16":
        value = ops.cast(value, "float32")
    return Leaf(dtype, np.array(ops.convert_to_numpy(value)))


def read_dtype(value: Any) -> Leaf | None:
    """The dtype of a backend tensor as a leaf, also of one that has no values yet."""
    if isinstance(value, keras.Variable):
        value = value.value
    if not ops.is_tensor(value):
        return None
    return Leaf.without_values(keras.backend.standardize_dtype(value.dtype))
