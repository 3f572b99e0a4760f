"""The Keras model around a main layer or with a head: called, trained, saved and exported."""

from __future__ import annotations

import contextlib
import contextvars
import logging
from collections.abc import Callable, Iterator
from typing import Any

import keras

from keraform.hub.card import batch_size
from keraform.modeling import labels, signature
from keraform.modeling.batching import Batching
from keraform.modeling.inputs import Arguments, plain, unpack_inputs
from keraform.modeling.wrapping import adopt, is_foundation
from keraform.runtime.given import is_mapping
from keraform.runtime.layers.base import TorchLayer
from keraform.runtime.outputs import ModelOutput
from keraform.runtime.step import labels_are_shifted, training_step
from keraform.training.distribution import Replicated
from keraform.training.optimizers import add_up_repeated_rows

logger = logging.getLogger(__name__)

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
        metrics: Any = None,
        weighted_metrics: Any = None,
        jit_compile: bool | str = "auto",
        **kwargs: Any,
    ) -> None:
        """Prepares training.

        Args:
            optimizer: As in Keras.
            loss: "auto" for the loss that fits model and head (from labels in the second argument
                of fit or among the inputs); None for none but those that layers add; or a Keras
                loss on the logits, or a dict of them by output.
            metrics: As in Keras; a flat list goes to each output of a head with several.
            weighted_metrics: As `metrics`, with the sample weights.
            jit_compile: As in Keras; "auto" means no XLA on TensorFlow, where every new length
                would be compiled again.
            **kwargs: As in Keras.
        """
        if jit_compile == "auto" and keras.backend.backend() == "tensorflow":
            jit_compile = False
        own = isinstance(loss, str) and loss == _OWN_LOSS
        self._has_own_loss = own
        heads = list(labels.heads(self._arguments))
        metrics, weighted_metrics = (
            labels.for_each_head(each, heads) for each in (metrics, weighted_metrics)
        )
        by_output = [each for each in (metrics, weighted_metrics) if isinstance(each, dict)]
        self._metric_outputs = tuple(dict.fromkeys(name for each in by_output for name in each))
        self._compile_loss = self._compile_metrics = None  # Keras keeps those of an earlier compile
        super().compile(
            optimizer=optimizer,
            loss=None if own else loss,
            metrics=metrics,
            weighted_metrics=weighted_metrics,
            jit_compile=jit_compile,
            **kwargs,
        )
        if self.optimizer is not None:
            add_up_repeated_rows(self.optimizer)

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

    @property
    def _arguments(self) -> Arguments:
        return Arguments.of(type(self))

    def _with_labels_in_place(self, data: Any) -> tuple[Any, Any, Any]:
        """Labels among the inputs where the model needs them: for its own loss, or to make a
        decoder's inputs of them; else apart, for a Keras loss.
        """
        x, y, weight = keras.utils.unpack_x_y_sample_weight(data)
        y = self._labels_of(x, y)
        if self._uses_own_loss or self._decodes_labels(x):
            x = labels.with_labels(self._arguments, type(self).__name__, x, y)
        elif self._compile_loss is not None:
            x = labels.without_labels(self._arguments, x)
        return x, y, weight

    def _labels_of(self, x: Any, y: Any) -> Any:
        return labels.labels_in(self._arguments, x) if y is None else y

    def _warn_of_unknown(self, x: Any) -> None:
        unknown = self._arguments.ignored(x) if is_mapping(x) else []
        if unknown:
            logger.warning(
                "%s takes no %s, and ignores it. Leave it out of the data, or correct its name: "
                "%s.",
                type(self).__name__,
                ", ".join(unknown),
                ", ".join(self._arguments.inputs),
            )

    def _decodes_labels(self, x: Any) -> bool:
        """Whether a decoder's inputs are to be made of the labels."""
        if not (getattr(self.config, "is_encoder_decoder", False) and is_mapping(x)):
            return False
        classifies = (self.loss_type or "").endswith(("Classification", "QuestionAnswering"))
        given = any(name in x for name in ("decoder_input_ids", "decoder_inputs_embeds"))
        return not classifies and not given

    def make_train_function(self, force: bool = False) -> Any:
        """Keras's; with the optimizer's variables made before, TensorFlow traces a step once less.

        Args:
            force: Make it anew.
        """
        alone = getattr(self, "_distribute_strategy", None) is None
        waits = self.optimizer is not None and not self.optimizer.built
        if waits and alone and keras.backend.backend() == "tensorflow":
            self.optimizer.build(self.trainable_variables)
        return super().make_train_function(force)

    def train_step(self, *args: Any) -> Any:
        """One training step; labels may be the second argument of fit or among the inputs."""
        return self._step(super().train_step, *args)

    def test_step(self, *args: Any) -> Any:
        """One evaluation step; see `train_step`."""
        return self._step(super().test_step, *args)

    def _step(self, run: Callable[..., Any], *args: Any) -> Any:
        *state, data = args
        x, y, weight = self._with_labels_in_place(data)
        self._warn_of_unknown(x)
        own = weight if self._uses_own_loss else None
        if is_mapping(own):  # Keras repeats one array for each label
            own = next(iter(own.values()))
        if own is not None and not labels.rows_can_be_weighted(self._arguments):
            raise labels.no_weights(type(self).__name__)
        with training_step(own) as step:
            done = run(*state, keras.utils.pack_x_y_sample_weight(x, y, weight))
        if own is not None and not step.weighted:
            raise labels.no_weights(type(self).__name__)
        return done

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
            sample_weight: Weights of rows; the model's own loss has used them already.
            training: Whether this is a training step.
        """
        if not self._uses_own_loss:
            if self._compile_loss is None and not self.losses:
                raise labels.no_loss(type(self).__name__)
            if self._compile_loss is not None:
                y = self._labels_of(x, y)
                if y is None:
                    raise labels.no_labels(self._arguments, "the compiled loss")
                y, y_pred, sample_weight = labels.compared(
                    self._arguments, self.loss, y, y_pred, sample_weight
                )
            return super().compute_loss(x, y, y_pred, sample_weight, training=training)
        if not (isinstance(y_pred, dict) and "loss" in y_pred):
            raise labels.no_labels(self._arguments, f"{type(self).__name__}'s own loss")
        total = self._distributed(keras.ops.mean(y_pred["loss"]), x)
        for extra in self.losses:
            total = keras.ops.add(total, self._aggregate_additional_loss(extra))
        return total

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Updates metrics on labels (from wherever they came) and logits.

        Labels of -100 do not count. Where the model's own loss compares each position with the
        next label, so do metrics.

        Args:
            x: Inputs.
            y: Labels, if they came apart from the inputs.
            y_pred: What the model returned.
            sample_weight: Weights for weighted metrics.
        """
        if self._compile_metrics is None:
            return super().compute_metrics(x, y, y_pred, sample_weight)
        y = self._labels_of(x, y)
        if y is None:
            raise labels.no_labels(self._arguments, "metrics")
        asked = dict.fromkeys(self._metric_outputs) if self._metric_outputs else None
        y, y_pred, sample_weight = labels.compared(self._arguments, asked, y, y_pred, sample_weight)
        if labels_are_shifted():
            y = labels.shifted(y, y_pred)
            sample_weight = labels.shifted(sample_weight, y_pred, fill=0)
        labels.leave_out_ignored(y, y_pred)
        return super().compute_metrics(x, y, y_pred, sample_weight)

    def fit(self, x: Any = None, y: Any = None, **kwargs: Any) -> Any:
        """Trains; inputs may be what a tokenizer or processor returned (`keras.Model.fit`)."""
        if kwargs.get("validation_data") is not None:
            kwargs["validation_data"] = plain(kwargs["validation_data"])
        self.__dict__["_batch_size"] = batch_size(x, kwargs.get("batch_size"))
        if hasattr(x, "element_spec"):  # Keras warns that it does not shuffle a tf.data.Dataset
            kwargs.setdefault("shuffle", False)
        return super().fit(plain(x), self._plain_labels(x, y, kwargs), **kwargs)

    def _plain_labels(self, x: Any, y: Any, kwargs: dict[str, Any]) -> Any:
        """Labels for Keras, which drops weights of labels that are among the inputs."""
        return plain(y if kwargs.get("sample_weight") is None else self._labels_of(x, y))

    def evaluate(self, x: Any = None, y: Any = None, **kwargs: Any) -> Any:
        """Evaluates; inputs as in `fit` (`keras.Model.evaluate`)."""
        return super().evaluate(plain(x), self._plain_labels(x, y, kwargs), **kwargs)

    def predict(self, x: Any, **kwargs: Any) -> Any:
        """Predicts in batches; inputs as in `fit`, outputs by name (`keras.Model.predict`)."""
        outputs = super().predict(plain(x), **kwargs)
        return ModelOutput(outputs) if isinstance(outputs, dict) else outputs

    def train_on_batch(self, x: Any, y: Any = None, **kwargs: Any) -> Any:
        """Trains on one batch; inputs as in `fit` (`keras.Model.train_on_batch`)."""
        return super().train_on_batch(plain(x), self._plain_labels(x, y, kwargs), **kwargs)

    def test_on_batch(self, x: Any, y: Any = None, **kwargs: Any) -> Any:
        """Evaluates one batch; inputs as in `fit` (`keras.Model.test_on_batch`)."""
        return super().test_on_batch(plain(x), self._plain_labels(x, y, kwargs), **kwargs)

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
