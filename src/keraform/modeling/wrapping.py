"""What a short wrapper class takes over from the class of its main layer."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from types import FunctionType
from typing import Any

_FOUNDATIONS = ("keras.", "keraform.runtime.", "keraform.modeling.", "tensorflow.")
_DECLARATIONS = (
    "config_class",
    "main_input_name",
    "input_modalities",
    "_can_record_outputs",
    "_is_stateful",
    "_keys_to_ignore_on_load_missing",
    "_keys_to_ignore_on_load_unexpected",
    "_keys_to_ignore_on_save",
)


def is_foundation(cls: type) -> bool:
    """Whether a class is Keras's or Keraform's, and not a model's own.

    Args:
        cls: A class.
    """
    return cls is object or f"{cls.__module__}.".startswith(_FOUNDATIONS)


def adopt(wrapper: type) -> None:
    """Completes a wrapper class from the class of its main layer, which stands before it.

    Declarations are copied. A method of the model that a base class has as well (such as
    `get_input_embeddings`) would be hidden by the base's, so the wrapper gets one that forwards;
    all other attributes are found by `Model.__getattr__`.

    Args:
        wrapper: A class that has just been defined, with `main_layer` in its body.
    """
    inner = main_layer_class(wrapper)
    if inner is wrapper:
        return
    for name in _DECLARATIONS:
        if name not in vars(wrapper) and hasattr(inner, name):
            setattr(wrapper, name, getattr(inner, name))
    for name, value in vars(inner).items():
        hidden = getattr(wrapper, name, None)
        if (
            isinstance(value, FunctionType)
            and name not in vars(wrapper)
            and not name.startswith("__")
            and name != "call"
            and hidden is not None
        ):
            setattr(wrapper, name, _forward(wrapper.main_layer, name, value))


def main_layer_class(model_class: type) -> type:
    """The main layer's class of a wrapper, and every other class itself.

    Args:
        model_class: A ported class.
    """
    if getattr(model_class, "main_layer", None) is None:
        return model_class
    name = model_class.__name__.removesuffix("Model") + "MainLayer"
    return getattr(sys.modules.get(model_class.__module__), name, model_class)


def _forward(attribute: str, name: str, function: FunctionType) -> Callable[..., Any]:
    @functools.wraps(function)
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        return getattr(self.__dict__[attribute], name)(*args, **kwargs)

    return method
