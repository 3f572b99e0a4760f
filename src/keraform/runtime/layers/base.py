"""The base of every inner layer: a lean call, torch's view of weights, and what Keras needs."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import keras
from keras import ops
from keras.src import backend  # call context, autocast and name scopes have no public door
from keras.src.backend.common import global_state
from keras.src.distribution import distribution_lib

from keraform.runtime import observe, precision
from keraform.runtime.rematerialization import rematerialized
from keraform.runtime.symbols import answered
from keraform.runtime.tree import TorchTree, named_weights, read
from keraform.runtime.tree import parameter as parameter  # of the layers' public table

# AutoGraph calls a function that carries this mark as it stands
_UNCONVERTED: dict[str, Any] = {}


class _TensorType(type):
    def __instancecheck__(cls, value: Any) -> bool:
        return ops.is_tensor(value) or isinstance(value, keras.Variable | keras.KerasTensor)


if TYPE_CHECKING:
    _KerasLayer: TypeAlias = Any  # the class that TorchLayer is mixed in before
    Tensor: TypeAlias = Any  # whichever class the backend has, with all its operators
else:
    _KerasLayer = object

    class Tensor(metaclass=_TensorType):
        """Annotation for a backend tensor; `isinstance(x, Tensor)` is torch's question."""


def buffer(value: Any, dtype: str | None = None) -> Tensor:
    """A constant that torch keeps as a non-persistent buffer: a plain tensor, not a weight.

    Args:
        value: what it holds.
        dtype: the layer's own, for what torch makes in the dtype of the model; else `value`'s.
    """
    return ops.convert_to_tensor(value, dtype=dtype)


def keywords(given: Mapping[str, Any], **names: str) -> dict[str, Any]:
    """Keyword arguments under a layer's names for torch's: `keywords(kwargs, eps="epsilon")`."""
    return {names.get(name, name): value for name, value in given.items()}


def _has_symbolic(values: Any) -> bool:
    """Whether a KerasTensor is among the arguments, or in their lists and dicts."""
    for value in values:
        if isinstance(value, keras.KerasTensor):
            return True
        if isinstance(value, list | tuple):
            if _has_symbolic(value):
                return True
        elif isinstance(value, dict) and _has_symbolic(value.values()):
            return True
    return False


@functools.cache
def _executing_eagerly() -> Callable[[], bool]:
    if keras.backend.backend() != "tensorflow":
        return lambda: True  # a name scope would add nothing there
    import tensorflow as tf

    return tf.executing_eagerly


@contextmanager
def call_context(layer: Any, training: bool | None = None) -> Iterator[None]:
    """Enter Keras's call context for `layer`, or, when there is one, only set its `training`.

    For code that reaches `call` without `__call__`: Keras does that on JAX in fit, evaluate and
    predict, and dropout would be off in silence. `training=None` keeps what the context says.
    """
    entered = global_state.get_global_attribute("current_call_ctx") is None
    context = layer._get_call_context()
    outer = getattr(context, "training", None)
    if training is not None:
        context.training = training
    try:
        yield
    finally:
        context.training = outer
        if entered:
            global_state.set_global_attribute("current_call_ctx", None)


class TorchLayer(TorchTree, _KerasLayer):
    """Mixin before a Keras layer class: weights in the constructor, torch's tree, a lean call.

    `__call__` sets the call context, the autocast scope and (in a graph) the name scope, runs
    `call`, and reports to observers. Arguments are not cast, converted, checked or given masks,
    and may be anything. With a KerasTensor among them Keras's own `__call__` runs instead.
    """

    # AutoGraph leaves alone what carries this mark; nothing here depends on it
    autograph_info__: ClassVar = _UNCONVERTED

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        name = kwargs.get("name")
        if name:
            # TensorFlow's graph scopes refuse a leading underscore
            kwargs["name"] = name.lstrip("_") or type(self).__name__
        dtype = kwargs.get("dtype")
        if isinstance(dtype, str) and dtype in precision.LIFTED:  # not "mixed_bfloat16"
            kwargs["dtype"] = precision.resolve(dtype)
        super().__init__(*args, **kwargs)
        self._allow_non_tensor_positional_args = True
        self.input_spec = None
        self.built = True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        around = observe._AROUND.get()
        if around is None:
            output = self._plain_call(*args, **kwargs)
        else:
            output = around(self._plain_call, self, args, kwargs)
        if observe._CALLBACKS.get():
            observe.report(self, args, kwargs, output)
        return output

    def _plain_call(self, *args: Any, **kwargs: Any) -> Any:
        """Keras's own call where it is needed, else the lean one."""
        if (
            _has_symbolic(args)
            or (kwargs and _has_symbolic(kwargs.values()))
            or self.activity_regularizer is not None
        ):
            return super().__call__(*args, **kwargs)
        return self._lean_call(args, kwargs)

    _plain_call.autograph_info__ = _UNCONVERTED

    __call__.autograph_info__ = _UNCONVERTED

    def _lean_call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        context = global_state.get_global_attribute("current_call_ctx")
        if context is not None and "training" not in kwargs and not self._call_has_training_arg:
            return self._scoped_call(args, kwargs)
        entered = context is None
        if entered:
            context = self._get_call_context()
        outer = getattr(context, "training", None)
        training = kwargs.pop("training", None)
        if training is None:
            training = outer
        context.training = training
        if self._call_has_training_arg and training is not None:
            kwargs["training"] = training
        try:
            return self._scoped_call(args, kwargs)
        finally:
            context.training = outer
            if entered:
                global_state.set_global_attribute("current_call_ctx", None)

    def _scoped_call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run `call` under the scopes that the dtype policy and the graph ask for."""
        scope = self._autocast_scope()
        if scope is not None:
            with scope:
                return self._named_call(args, kwargs)
        return self._named_call(args, kwargs)

    def _autocast_scope(self) -> Any:
        policy = self._dtype_policy
        if self._remat_mode is not None:
            self._refuse_mode()
        current = global_state.get_global_attribute("autocast_scope")
        if current is None:
            mixed = policy.compute_dtype != policy.variable_dtype
            return backend.AutocastScope(self.compute_dtype) if mixed else None
        if not self.autocast or not backend.is_float_dtype(self.compute_dtype):
            return backend.AutocastScope(None)
        if current.dtype != self.compute_dtype:
            return backend.AutocastScope(self.compute_dtype)
        return None

    def _named_call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        call = self.call
        if self._dtype_policy.quantization_mode is not None:
            if not getattr(self, "_is_quantized", False):
                self._refuse_mode()
            call = functools.partial(self.quantized_call, training=self.training)
        if _executing_eagerly()():
            output = call(*args, **kwargs)
        else:
            with backend.name_scope(self.name, caller=self), answered():
                output = call(*args, **kwargs)
        if distribution_lib.distribution() is not None:
            output = self._distribute(output)
        return output

    def _distribute(self, output: Any) -> Any:
        place = f"{self._path or self.name}/output"
        layout = distribution_lib.distribution().get_tensor_layout(place)
        return distribution_lib.distribute_tensor(output, layout) if layout else output

    def _refuse_mode(self) -> None:
        if self._remat_mode is not None:
            mode = f"rematerialisation mode {self._remat_mode.mode!r}"
            remedy = "build it outside keras.RematScope; model.gradient_checkpointing_enable()"
        else:
            mode = f"quantization mode {self._dtype_policy.quantization_mode!r}"
            remedy = "make it with a float policy, and call model.quantize()"
        raise NotImplementedError(
            f"expected a layer made for the mode it runs in; got {mode} on {type(self).__name__} "
            f"'{self.name}', which was made without; {remedy}."
        )

    def stateless_call(self, *args: Any, **kwargs: Any) -> Any:
        training = kwargs.get("training")
        if not self._call_has_training_arg:
            kwargs.pop("training", None)
        with call_context(self, training):
            return super().stateless_call(*args, **kwargs)

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        """Shapes come from running `call`, never from Keras's formulas for its own layouts."""
        return keras.Operation.compute_output_spec(self, *args, **kwargs)

    def cast_input(self, value: Any) -> Any:
        """`value` in the compute dtype under a mixed policy, where torch's autocast casts too."""
        policy = self._dtype_policy
        if policy.compute_dtype == policy.variable_dtype:
            return value
        dtype = keras.backend.standardize_dtype(value.dtype)
        if dtype == policy.compute_dtype or not keras.backend.is_float_dtype(dtype):
            return value
        return ops.cast(value, policy.compute_dtype)

    def save_own_variables(self, store: Any) -> None:
        variables = [*self._trainable_variables, *self._non_trainable_variables]
        for index, variable in enumerate(variables):
            store[str(index)] = ops.convert_to_numpy(read(variable))

    def load_own_variables(self, store: Any) -> None:
        keras.layers.Layer.load_own_variables(self, store)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        """A layer of its own, made as this one was and with its values, like torch's copies.

        What it was made with is shared, but for layers.
        """
        args, kwargs = keras.tree.map_structure(
            lambda made: copy.deepcopy(made, memo) if isinstance(made, TorchLayer) else made,
            vars(self)["__made_with__"],
        )
        made = memo[id(self)] = type(self)(*args, **kwargs)
        for new, old in zip(named_weights(made), named_weights(self), strict=True):
            if old.variable._value is not None:  # no value is given while a model waits for a file
                new.variable.assign(read(old.variable))
        return made

    def get_config(self) -> dict[str, Any]:
        """The constructor's own arguments, whatever the Keras class above lists."""
        if self._auto_config is None:
            raise NotImplementedError(
                f"expected constructor arguments that are numbers, strings, None or tuples; "
                f"{type(self).__name__} '{self.name}' was made with others; define get_config() "
                "and from_config() on it, or save the model that holds it by its configuration."
            )
        return {**keras.layers.Layer.get_config(self), **self._auto_config.config}


class Layer(TorchLayer, keras.layers.Layer):
    """The base of every layer in generated code; see `TorchLayer` for what its call does.

    Weights are made in the constructor (`add_weight`, `add_parameter`), so a layer is built as
    soon as it exists. `self.training` reads the call context.
    """


# what a block calls its cache, and whether it is to fill it
_CACHES = ("past_key_values", "layer_past")


class GradientCheckpointingLayer(Layer):
    """A block whose activations may be computed again in the backward pass, and not be kept.

    `model.gradient_checkpointing_enable()` sets `gradient_checkpointing`, which counts in training
    only. A cache would be filled a second time, so that there is none then, as upstream.
    """

    gradient_checkpointing = False
    _can_checkpoint_with_cache = False

    def _named_call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if not (self.gradient_checkpointing and self.training):
            return super()._named_call(args, kwargs)
        scope = functools.partial(call_context, self, True)
        kwargs = {name: self._without_cache(name, value) for name, value in kwargs.items()}
        return rematerialized(
            self, lambda *args, **kwargs: Layer._named_call(self, args, kwargs), args, kwargs, scope
        )

    def _without_cache(self, name: str, value: Any) -> Any:
        if name == "use_cache":
            return value and False
        return None if name in _CACHES and not self._can_checkpoint_with_cache else value
