"""The Keras side of a pair that somebody wrote: a layer or model of a file, called as it wants to
be, given torch's weights, and run on record. Needs no torch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
from keras.src.backend.common import global_state  # automatic names: Keras has no public door

from keraform.errors import KeraformError
from keraform.verify.draws.of_keras import keras_noise
from keraform.verify.given import Definition
from keraform.verify.handwritten.keras_calls import CHANNELS_LAST, FORMS, channels_last, has_images
from keraform.verify.handwritten.keras_recording import LayerRecorder, read_value
from keraform.verify.handwritten.places import files_beside
from keraform.verify.handwritten.plain_tree import layers_of, library_class, variables_of
from keraform.verify.handwritten.tensorflow_lift import lift_tensorflow
from keraform.verify.handwritten.trace import Trace, input_leaves
from keraform.verify.handwritten.weight_map import WeightMap, guess, read_map
from keraform.verify.handwritten.weight_pairs import Weight
from keraform.verify.leaves import State
from keraform.verify.localising.recorder import Recorder
from keraform.verify.port import keras_precision, keras_values


@dataclass(frozen=True)
class Plan:
    """A way to call the model: the form of its inputs, and whether images are channels last."""

    form: str
    channels_last: bool


@dataclass
class Built:
    """A model that has been called once, so that all of its weights exist."""

    model: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    weight_map: WeightMap

    @property
    def unmatched(self) -> int:
        return len(self.weight_map.keras_left) + len(self.weight_map.torch_left)


@dataclass
class KerasSide:
    """A Keras layer or model with torch's weights.

    Args:
        target: as the user named it.
        definition: its class or function.
        inputs: torch's, or its own.
        weights: torch's; None where the model keeps its own.
        weight_list: what is known of them.
        map_path: the user's weight map.
        layout: `channels-last` where the user says so.
        tried: layouts of variables to take instead of the map's.
    """

    target: str
    definition: Definition
    inputs: dict[str, Any]
    weights: State | None
    weight_list: Sequence[Weight]
    map_path: str | None = None
    layout: str | None = None
    tried: dict[str, str] = field(default_factory=dict)
    _plan: Plan | None = None

    def trace(self, dtype: str, statements: Callable[[str], bool] | None = None) -> Trace:
        """Run once in `dtype`; in float64 the casts to smaller floats are lifted.

        Args:
            dtype: float64 or float32.
            statements: of which stages the statements are recorded too; of none by default.
        """
        file = str(self.definition.path)
        recorder = None if statements is None else Recorder(read_value, statements)
        with running(dtype):
            built = self._build(dtype)
            variables = variables_of(built.model)
            if self.weights is not None:
                self._give(built.weight_map, variables, self.weights)
            layers = LayerRecorder(built.model, file, recorder)
            with nullcontext() if recorder is None else recorder.watching(files_beside(file)):
                layers.run(built.model, built.args, built.kwargs)
            weights = {name: np.array(v.numpy()) for name, (_, v) in variables.items()}
        assert self._plan is not None  # it was called
        return Trace(
            framework="keras",
            target=self.target,
            dtype=dtype,
            versions={"keras": keras.__version__, "backend": keras.backend.backend()},
            inputs=input_leaves(self.inputs),
            weights=weights,
            weight_list=[weight for weight, _ in variables.values()],
            recording=layers.recording,
            classes={path: type(each).__name__ for path, each in layers_of(built.model).items()},
            places=layers.places,
            options={path: _options(each) for path, each in layers_of(built.model).items()},
            executions=recorder.executions if recorder else [],
            weight_map=None if self.weights is None else built.weight_map,
            notes=["images were given channels last"] if self._plan.channels_last else [],
        )

    def _give(
        self,
        weight_map: WeightMap,
        variables: dict[str, tuple[Weight, keras.Variable]],
        state: State,
    ) -> None:
        """Torch's weights by the map; what torch has no value for gets noise."""
        for pair in weight_map.pairs:
            weight, variable = variables[pair.keras]
            try:
                value = pair.value(state, weight.shape, self.tried.get(pair.keras))
            except (KeyError, ValueError) as error:
                raise KeraformError(
                    expected=f"{pair.keras} {list(weight.shape)} to be made of "
                    f"{', '.join(pair.torch)}, {pair.combine}, {pair.layout}",
                    got=str(error),
                    try_next="another pair or layout for it in --map",
                ) from error
            variable.assign(value)
        _randomise([variables[name] for name in weight_map.keras_left])

    def _build(self, dtype: str) -> Built:
        """The model, called in the first way that works and leaves no weight without a partner."""
        best: tuple[Built, Plan] | None = None
        errors: list[Exception] = []
        for plan in [self._plan] if self._plan else self._plans():
            try:
                built = self._attempt(plan, dtype)
            except KeraformError:
                raise
            except Exception as error:
                errors.append(error)
                continue
            if built is not None and (best is None or built.unmatched < best[0].unmatched):
                best = built, plan
            if best is not None and not best[0].unmatched:
                break
        if best is None:
            raise self._uncallable(errors)
        self._plan = best[1]
        return best[0]

    def _plans(self) -> Iterator[Plan]:
        last = self.layout == CHANNELS_LAST
        yield from (Plan(form, last) for form in FORMS)
        if self.layout is None and has_images(self.inputs):
            yield from (Plan(form, True) for form in FORMS)

    def _attempt(self, plan: Plan, dtype: str) -> Built | None:
        with fresh_names():
            return self._built(plan, dtype)

    def _built(self, plan: Plan, dtype: str) -> Built | None:
        model = self.definition.make()
        if not isinstance(model, keras.layers.Layer):
            raise KeraformError(
                expected=f"{self.target} to give a keras.layers.Layer or keras.Model",
                got=type(model).__name__,
                try_next=f"{self.definition.path}:NAME, with the name of a layer or model",
            )
        inputs = channels_last(self.inputs) if plan.channels_last else dict(self.inputs)
        call = FORMS[plan.form](model, keras_values(inputs, dtype))
        if call is None:
            return None
        args, kwargs = call
        model(*args, **kwargs)
        ours = [weight for weight, _ in variables_of(model).values()]
        given = read_map(self.map_path, self.weight_list, ours) if self.map_path else []
        return Built(model, args, kwargs, guess(self.weight_list, ours, given))

    def _uncallable(self, errors: Sequence[Exception]) -> KeraformError:
        first = " ".join(str(errors[0]).split())[:300] if errors else "no way to call it"
        return KeraformError(
            expected=f"{self.target} to run on {', '.join(self.inputs)}",
            got=f"{type(errors[0]).__name__ if errors else ''}: {first}",
            try_next="--keras-inputs FILE.py:function, which gives them under its own names and "
            "layouts, or --keras-init name=value",
        )


@contextmanager
def running(dtype: str) -> Iterator[None]:
    """Everything eager and in `dtype`."""
    lift = dtype == "float64"
    with ExitStack() as stack:
        stack.enter_context(keras_precision(dtype, lift))
        stack.enter_context(keras_noise())
        if lift:
            stack.enter_context(lift_tensorflow())
        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            stack.callback(tf.config.run_functions_eagerly, tf.config.functions_run_eagerly())
            tf.config.run_functions_eagerly(True)
        yield


@contextmanager
def fresh_names() -> Iterator[None]:
    """Automatic names count from the start, so that a model has the same in each run."""
    before = global_state.get_global_attribute("object_name_uids")
    global_state.set_global_attribute("object_name_uids", None)
    try:
        yield
    finally:
        global_state.set_global_attribute("object_name_uids", before)


def _options(layer: Any) -> dict[str, Any]:
    """The simple options of one of Keras's own layers."""
    try:
        config = layer.get_config() if library_class(layer) else {}
    except Exception:  # a user's subclass need not have one
        return {}
    return {name: each for name, each in config.items() if isinstance(each, int | float | str)}


def _randomise(variables: list[tuple[Weight, keras.Variable]]) -> None:
    """What torch has no value for gets noise: at 0 or 1 it could not be seen."""
    for weight, variable in variables:
        if weight.trained:
            digest = hashlib.sha256(weight.name.encode()).digest()
            rng = np.random.default_rng(int.from_bytes(digest[:8], "little"))
            variable.assign(np.asarray(variable.numpy()) + 0.2 * rng.normal(size=weight.shape))
