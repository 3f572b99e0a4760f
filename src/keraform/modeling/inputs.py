"""What a user may hand to a model, and how it becomes the named arguments of `call`."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from transformers.utils.generic import TransformersKwargs

from keraform.errors import explain
from keraform.runtime.given import as_dict, as_tensor, is_mapping
from keraform.runtime.layers.base import call_context
from keraform.runtime.renamed import older_names

_KINDS = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def plain(data: Any) -> Any:
    """The data of fit, evaluate and predict with plain dicts of arrays in place of BatchEncodings.

    Args:
        data: A mapping, a tuple or list that may hold some, or anything else, which stays.
    """
    if is_mapping(data):
        return {name: _as_array(value) for name, value in as_dict(data).items()}
    if type(data) is tuple:
        return tuple(plain(part) for part in data)
    return data


def _as_array(value: Any) -> Any:
    if not isinstance(value, (list, tuple)):
        return value
    if value and all(is_mapping(each) for each in value):
        return tuple(plain(each) for each in value)  # a detector's labels: a dict for each image
    return np.asarray(value)


class Arguments:
    """The parameters of one `call`, and the rules by which inputs become arguments.

    Args:
        function: The undecorated `call`.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        parameters = list(inspect.signature(function).parameters.values())[1:]
        self.names = [p.name for p in parameters if p.kind in _KINDS]
        self.keywords = {p.name for p in parameters if p.kind is p.KEYWORD_ONLY}
        self.older = older_names(function)
        self.open = any(p.kind is p.VAR_KEYWORD for p in parameters)
        self.takes_training = "training" in self.names or "training" in self.keywords
        self.inputs = [name for name in self.names if name != "training"]

    @classmethod
    def of(cls, owner: type) -> Arguments:
        """Those of a class's `call`, worked out once.

        Args:
            owner: A layer or model class.
        """
        function = owner.call
        known = getattr(function, "__arguments__", None)
        if known is None:
            known = function.__arguments__ = cls(function)
        return known

    def is_unpackable(self, value: Any) -> bool:
        """Whether a mapping names inputs (and is not itself an input, such as model outputs).

        Args:
            value: A mapping.
        """
        return all(isinstance(name, str) for name in value.keys()) and any(
            name in self.names for name in value.keys()
        )

    def ignored(self, given: Any) -> list[str]:
        """Names of a mapping that an open `call` takes and no model reads.

        Args:
            given: A mapping of inputs.
        """
        if not self.open:
            return []  # `gather` refuses them
        known = {*self.names, *self.keywords, *self.older, *TransformersKwargs.__annotations__}
        return sorted(name for name in given.keys() if name not in known)

    def gather(self, owner: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """All arguments by name.

        Args:
            owner: The class's name, for messages.
            args: Positional arguments; the first may be a mapping, or a list in parameter order.
            kwargs: Keyword arguments.
        """
        kwargs = dict(kwargs)
        first = self.names[0] if self.names else None
        if not args and first in kwargs and self._is_several(kwargs[first]):
            args = (kwargs.pop(first),)
        if args and is_mapping(args[0]):
            return self._merged(owner, as_dict(args[0]), args[1:], kwargs)
        if len(args) == 1 and _is_group(args[0]):
            args = tuple(args[0])
        if len(args) > len(self.names):
            raise TypeError(
                explain(
                    f"at most {len(self.names)} inputs of {owner}: {', '.join(self.names)}",
                    f"{len(args)} positional inputs",
                    f"{owner}({self.inputs[0]}=..., ...) by name",
                )
            )
        return self._merged(owner, dict(zip(self.names, args, strict=False)), (), kwargs)

    def _is_several(self, value: Any) -> bool:
        """Whether what stands under the first parameter's name is several arguments; a mapping none
        of whose names is a parameter's is one input itself, of several modalities.
        """
        return _is_group(value) and (not is_mapping(value) or self.is_unpackable(value))

    def _merged(
        self, owner: str, given: dict[str, Any], rest: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> dict[str, Any]:
        given.update(zip(self.names[1:], rest, strict=False))
        twice = sorted(set(given) & {name for name, value in kwargs.items() if value is not None})
        if twice:
            raise TypeError(
                explain(
                    f"each input of {owner} once",
                    f"{', '.join(twice)} both inside the inputs and as a keyword",
                    f"{owner}(inputs) without the keyword {twice[0]}",
                )
            )
        given = {**kwargs, **given}
        known = {*self.names, *self.keywords}
        unknown = sorted(set(given) - known - self.older)
        if unknown and not self.open:
            raise TypeError(
                explain(
                    f"inputs of {owner}: {', '.join(sorted(known))}",
                    f"unknown input {', '.join(unknown)}",
                    f"leave {unknown[0]} out",
                )
            )
        return given


def _is_group(value: Any) -> bool:
    """True for a mapping and for a list of tensors, which stand for several arguments."""
    if is_mapping(value):
        return True
    if not isinstance(value, (list, tuple)) or hasattr(value, "_fields") or not value:
        return False
    return all(item is None or hasattr(item, "shape") for item in value) and any(
        getattr(item, "ndim", len(item.shape)) > 0 for item in value if item is not None
    )


def unpack_inputs(function: Callable[..., Any]) -> Callable[..., Any]:
    """Lets a model's `call` take what users have: a dict, a BatchEncoding, a list, NumPy, keywords.

    Arrays become tensors, None is left out, and the call context carries the training flag to
    every inner layer, whether Keras came through `__call__` or (on JAX) not.

    Args:
        function: The model's `call`, whose parameters name the inputs.
    """
    arguments = Arguments(function)

    @functools.wraps(function)
    def call(self: keras.layers.Layer, *args: Any, **kwargs: Any) -> Any:
        given = arguments.gather(type(self).__name__, args, kwargs)
        training = given.pop("training", None)
        float_dtype = self.compute_dtype
        given = {
            name: as_tensor(value, float_dtype)
            for name, value in given.items()
            if value is not None or name not in arguments.names
        }
        with call_context(self, training):
            if arguments.takes_training:
                given["training"] = self.training
            return function(self, **given)

    call.__arguments__ = arguments
    return call
