"""The Keras model around a main layer or with a head: called, trained, saved and exported."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator
from typing import Any

import keras

from keraform.errors import explain
from keraform.hub.card import batch_size
from keraform.modeling import labels, signature
from keraform.modeling.batching import Batching
from keraform.modeling.inputs import Arguments, plain, unpack_inputs
from keraform.modeling.wrapping import adopt, is_foundation
from keraform.runtime.layers.base import TorchLayer
from keraform.runtime.outputs import ModelOutput
from keraform.training.distribution import Replicated

_OWN_LOSS = "auto"
_flat: contextvars.ContextVar[bool] = contextvars.ContextVar("flat_outputs", default=False)


@contextlib.contextmanager
def _flat_outputs(are_flat: bool) -> Iterator[None]:
    """Whether the next model that is called returns a flat dict, as signatures of exports need."""
    token = _flat.set(are_flat)
    try:
        yield
    finally:
        _flat.reset(token)


def as_plain(outputs: Any) -> Any:
    """A model output as a dict of tensors (and tuples of tensors), without None and caches.

    Args:
        outputs: What a model returned.
    """
    if isinstance(outputs, ModelOutput):
        found = {name: as_plain(value) for name, value in outputs.items()}
        return {name: value for name, value in found.items() if value is not None}
    if isinstance(outputs, (tuple, list)):
        kept = [as_plain(value) for value in outputs]
        return type(outputs)(value for value in kept if value is not None)
    return outputs if keras.ops.is_tensor(outputs) or hasattr(outputs, "dtype") else None


def _by_dotted_names(outputs: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """The tensors of a plain output; those of tuples and inner outputs as `hidden_states.0`."""
    if isinstance(outputs, dict | tuple | list):
        inner = outputs if isinstance(outputs, dict) else dict(enumerate(outputs))
        for key, value in inner.items():
            yield from _by_dotted_names(value, f"{name}.{key}" if name else str(key))
    else:
        yield name or "output", outputs


class Model(Batching, TorchLayer, Replicated, keras.Model):
    """Base of all public models: a `keras.Model` that takes what tokenizers return.

    `main_layer` names the attribute that holds the base model in plain wrappers; weight keys leave
    it out, and attributes that the wrapper has not are looked up there.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        own = cls.__dict__.get("call")
        if own is not None and not hasattr(own, "__arguments__"):
            cls.call = unpack_inputs(own)
        if cls.__dict__.get("main_layer") is not None:
            adopt(cls)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not _flat.get():
            return super().__call__(*args, **kwargs)
        with _flat_outputs(False):  # models inside return what their callers expect
            outputs = super().__call__(*args, **kwargs)
        return dict(_by_dotted_names(as_plain(outputs)))

    __call__.autograph_info__ = {}  # noqa: RUF012

    def __getattr__(self, name: str) -> Any:
        inner = self.__dict__.get(type(self).main_layer or "")
        if inner is not None and name != "base_model" and _is_delegated(inner, name):
            try:
                return getattr(inner, name)
            except AttributeError:
                pass  # the message shall name this class
        parent = getattr(super(), "__getattr__", None)
        if parent is not None:
            return parent(name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def build(self, *args: Any, **kwargs: Any) -> None:
        """Does nothing: weights exist since the constructor."""

    def build_from_config(self, config: dict[str, Any]) -> None:
        """Does nothing: weights exist since the constructor."""

    def get_build_config(self) -> dict[str, Any]:
        """Nothing to record: weights exist since the constructor."""
        return {}

    @property
    def input_signature(self) -> dict[str, keras.InputSpec]:
        """The inputs that `export` uses when it is given none."""
        return signature.input_signature(self)

    @property
    def dummy_inputs(self) -> dict[str, Any]:
        """Small inputs to try the model with; nothing needs them to be called first."""
        return signature.dummy_inputs(self)

    def export(self, filepath: Any, format: str = "tf_saved_model", **kwargs: Any) -> Any:
        """Exports with `input_signature`, unless one is given (`keras.Model.export`).

        The artifact returns a flat dict of tensors; those of tuples and of inner outputs have
        dotted names: `hidden_states.0`, `text_model_output.pooler_output`.

        Args:
            filepath: Where to write.
            format: One of Keras's formats.
            **kwargs: Of `keras.Model.export`.
        """
        if kwargs.get("input_signature") is None:
            kwargs["input_signature"] = [self.input_signature]
        with _flat_outputs(True):
            return super().export(filepath, format=format, **kwargs)

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = _OWN_LOSS,
        *,
        jit_compile: bool | str = "auto",
        **kwargs: Any,
    ) -> None:
        """Prepares training.

        Args:
            optimizer: As in Keras.
            loss: "auto" for the loss that fits model and head (from labels in the second argument
                of fit or among the inputs); None for none; or a Keras loss on the logits.
            jit_compile: As in Keras; "auto" means no XLA on TensorFlow, where every new length
                would be compiled again.
            **kwargs: As in Keras.
        """
        if jit_compile == "auto" and keras.backend.backend() == "tensorflow":
            jit_compile = False
        own = isinstance(loss, str) and loss == _OWN_LOSS
        self._has_own_loss = own
        super().compile(
            optimizer=optimizer, loss=None if own else loss, jit_compile=jit_compile, **kwargs
        )

    def get_compile_config(self) -> dict[str, Any]:
        """The arguments of `compile`, for saving."""
        config = super().get_compile_config()
        if config and self._has_own_loss:
            config["loss"] = _OWN_LOSS
        return config

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compiles as a saved model was.

        Args:
            config: What `get_compile_config` gave.
        """
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.optimizer is not None:
            self.optimizer.build(self.trainable_variables)

    @property
    def _uses_own_loss(self) -> bool:
        return self.__dict__.get("_has_own_loss", False)

    def _labelled(self, data: Any) -> Any:
        x, y, weight = keras.utils.unpack_x_y_sample_weight(data)
        if not self._uses_own_loss or y is None:
            return data
        x = labels.with_labels(Arguments.of(type(self)), type(self).__name__, x, y)
        return keras.utils.pack_x_y_sample_weight(x, y, weight)

    def train_step(self, *args: Any) -> Any:
        """One training step; labels from the second argument of fit are put among the inputs."""
        return super().train_step(*args[:-1], self._labelled(args[-1]))

    def test_step(self, *args: Any) -> Any:
        """One evaluation step; see `train_step`."""
        return super().test_step(*args[:-1], self._labelled(args[-1]))

    def predict_step(self, *args: Any) -> Any:
        """One prediction step; outputs are dicts of tensors."""
        result = super().predict_step(*args)
        if keras.backend.backend() == "jax":
            outputs, state = result
            return as_plain(outputs), state
        return as_plain(result)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """The model's own loss, or the compiled one on the logits.

        Args:
            x: Inputs.
            y: Labels, if they came apart from the inputs.
            y_pred: What the model returned.
            sample_weight: For a compiled loss only.
            training: Whether this is a training step.
        """
        if not self._uses_own_loss:
            known = labels.labels_in(Arguments.of(type(self)), x) if y is None else y
            return super().compute_loss(
                x, known, labels.predictions(y_pred), sample_weight, training=training
            )
        self._check_own_loss(y_pred, sample_weight)
        total = self._distributed(keras.ops.mean(y_pred["loss"]), x)
        for extra in self.losses:
            total = keras.ops.add(total, self._aggregate_additional_loss(extra))
        return total

    def _check_own_loss(self, y_pred: Any, sample_weight: Any) -> None:
        name = type(self).__name__
        if sample_weight is not None:
            raise ValueError(
                explain(
                    f"no sample_weight with {name}'s own loss, which knows none",
                    "a sample_weight",
                    "compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))",
                )
            )
        if not (isinstance(y_pred, dict) and "loss" in y_pred):
            names = labels.label_names(Arguments.of(type(self)))
            wanted = ", ".join(names) or "none: this class has no loss of its own"
            raise ValueError(
                explain(
                    f"labels for {name}'s own loss ({wanted}), as y or among the inputs",
                    "inputs without labels",
                    "fit({**inputs, 'labels': labels}), or compile(loss=...) with a Keras loss",
                )
            )

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Updates metrics on labels (from wherever they came) and logits.

        Args:
            x: Inputs.
            y: Labels, if they came apart from the inputs.
            y_pred: What the model returned.
            sample_weight: Weights for weighted metrics.
        """
        if y is None:
            y = labels.labels_in(Arguments.of(type(self)), x)
        return super().compute_metrics(x, y, labels.predictions(y_pred), sample_weight)

    def fit(self, x: Any = None, y: Any = None, **kwargs: Any) -> Any:
        """Trains; inputs may be what a tokenizer or processor returned (`keras.Model.fit`)."""
        if kwargs.get("validation_data") is not None:
            kwargs["validation_data"] = plain(kwargs["validation_data"])
        self.__dict__["_batch_size"] = batch_size(x, kwargs.get("batch_size"))
        if hasattr(x, "element_spec"):  # Keras warns that it does not shuffle a tf.data.Dataset
            kwargs.setdefault("shuffle", False)
        return super().fit(plain(x), plain(y), **kwargs)

    def evaluate(self, x: Any = None, y: Any = None, **kwargs: Any) -> Any:
        """Evaluates; inputs as in `fit` (`keras.Model.evaluate`)."""
        return super().evaluate(plain(x), plain(y), **kwargs)

    def predict(self, x: Any, **kwargs: Any) -> Any:
        """Predicts in batches; inputs as in `fit`, outputs by name (`keras.Model.predict`)."""
        outputs = super().predict(plain(x), **kwargs)
        return ModelOutput(outputs) if isinstance(outputs, dict) else outputs

    def train_on_batch(self, x: Any, y: Any = None, **kwargs: Any) -> Any:
        """Trains on one batch; inputs as in `fit` (`keras.Model.train_on_batch`)."""
        return super().train_on_batch(plain(x), plain(y), **kwargs)

    def test_on_batch(self, x: Any, y: Any = None, **kwargs: Any) -> Any:
        """Evaluates one batch; inputs as in `fit` (`keras.Model.test_on_batch`)."""
        return super().test_on_batch(plain(x), plain(y), **kwargs)

    def predict_on_batch(self, x: Any) -> Any:
        """Predicts one batch; inputs as in `fit` (`keras.Model.predict_on_batch`)."""
        outputs = super().predict_on_batch(plain(x))
        return ModelOutput(outputs) if isinstance(outputs, dict) else outputs


def _is_delegated(inner: Any, name: str) -> bool:
    """Whether a wrapper takes an attribute from its main layer."""
    if name.startswith("__"):
        return False
    if not name.startswith("_"):
        return True
    # private names only where the model itself has them: Keras asks for many that may be absent
    if name in inner.__dict__ and isinstance(inner.__dict__[name], keras.layers.Layer):
        return True
    return any(name in vars(cls) and not is_foundation(cls) for cls in type(inner).__mro__)
