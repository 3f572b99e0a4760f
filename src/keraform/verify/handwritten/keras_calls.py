"""How a Keras layer or model that somebody wrote takes its inputs: by name, by position, as a list
or a dict, channels last.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

CHANNELS_LAST = "channels-last"
IMAGE_RANKS = (4, 5)
NO_INPUTS = frozenset({"training", "self"})

Inputs = dict[str, Any]
Call = tuple[tuple[Any, ...], dict[str, Any]]


def _parameters(model: Any) -> list[str]:
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    found = inspect.signature(model.call).parameters.values()
    return [each.name for each in found if each.kind in kinds and each.name not in NO_INPUTS]


def _symbolic(model: Any) -> list[str]:
    """The names of the inputs of a functional or sequential model."""
    if not isinstance(model, keras.Sequential) and not hasattr(model, "_operations"):
        return []
    try:
        return [each.name for each in model.inputs]
    except (AttributeError, ValueError):  # not built
        return []


def _by_name(model: Any, inputs: Inputs) -> Call | None:
    """Names where the call has them; the rest takes the parameters that are left, in order."""
    if _symbolic(model) or isinstance(model, keras.Sequential):
        return None
    free = _parameters(model)
    given = {name: value for name, value in inputs.items() if name in free}
    free = [name for name in free if name not in given]
    rest = [name for name in inputs if name not in given]
    if len(rest) > len(free):
        return None
    given |= {place: inputs[name] for place, name in zip(free, rest, strict=False)}
    return (), {name: given[name] for name in _parameters(model) if name in given}


def _as_structure(model: Any, inputs: Inputs) -> Call | None:
    """One argument: a list in the model's order where it has names, else in the inputs'."""
    names = [name for name in _symbolic(model) if name in inputs]
    values = [inputs[name] for name in (names if len(names) == len(inputs) else inputs)]
    return (values[0] if len(values) == 1 else values,), {}


def _as_dict(model: Any, inputs: Inputs) -> Call | None:
    return (dict(inputs),), {}


FORMS: dict[str, Callable[[Any, Inputs], Call | None]] = {
    "by name": _by_name,
    "as a list": _as_structure,
    "as a dict": _as_dict,
}


def has_images(inputs: Inputs) -> bool:
    """Whether an input may be channels first."""
    return any(_is_image(value) for value in inputs.values())


def channels_last(inputs: Inputs) -> Inputs:
    """The inputs with the second axis of images moved to the end."""
    return {
        name: np.moveaxis(value, 1, -1) if _is_image(value) else value
        for name, value in inputs.items()
    }


def _is_image(value: Any) -> bool:
    array = np.asarray(value)
    return array.dtype.kind == "f" and array.ndim in IMAGE_RANKS
