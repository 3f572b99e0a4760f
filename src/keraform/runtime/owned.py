"""Names that Keras keeps for its own properties, and that a model may give to something else."""

from __future__ import annotations

import functools
import sys
from typing import Any

# Names that Keras keeps for itself and that modeling files assign (counted over 530 files).
OWNED_NAMES = frozenset(
    {
        "dtype",
        "evaluate",
        "input",
        "input_dtype",
        "layers",
        "loss",
        "losses",
        "metrics",
        "output",
        "path",
        "predict",
        "quantize",
        "summary",
        "variables",
        "weights",
    }
)
OWN = "own_"
# Keras wraps these methods on every instance; a model's method of the same name is not Keras's.
_WRAPPED_METHODS = ("build", "quantize")


class OwnedMethod:
    """A method of a mixin above `NameOwner`, until the model assigns something else to its name."""

    def __init__(self, function: Any) -> None:
        self.__doc__ = function.__doc__
        self.function = function

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        own = OWN + self.function.__name__
        if instance is not None and own in instance.__dict__:
            return instance.__dict__[own]
        return self.function.__get__(instance, owner)


class OwnedName:
    """A name that is Keras's until the model assigns it; Keras's own code still reads Keras's."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return getattr(super(NameOwner, owner), self.name, self)
        values = instance.__dict__
        own = OWN + self.name
        if own in values and not _is_keras(sys._getframe(1)):
            return values[own]
        if self.name in values:
            return values[self.name]
        return getattr(super(NameOwner, instance), self.name)

    def __set__(self, instance: Any, value: Any) -> None:
        # only Keras gets here: NameOwner.__setattr__ has renamed what the model assigns
        inherited = getattr(super(NameOwner, type(instance)), self.name, None)
        if hasattr(type(inherited), "__set__"):
            inherited.__set__(instance, value)
        else:
            instance.__dict__[self.name] = value

    def __delete__(self, instance: Any) -> None:
        instance.__dict__.pop(self.name, None)


def _is_keras(frame: Any) -> bool:
    return frame.f_globals.get("__name__", "").startswith("keras.")


def _who_assigns(frame: Any) -> Any:
    """The frame that assigns to an attribute, behind those of classes that pass it on."""
    while frame.f_code.co_name == "__setattr__":
        frame = frame.f_back
    return frame


class NameOwner:
    """Mixin before a Keras class: what the model assigns to a name of `OWNED_NAMES` is the model's.

    Traps: `hasattr(self, "weights")` (or any name in `OWNED_NAMES`) is true on every Keras layer;
    ask `owns(self, "weights")`. Keras's own code never sees the model's value of such a name.
    """

    dtype = OwnedName()
    evaluate = OwnedName()
    input = OwnedName()
    input_dtype = OwnedName()
    layers = OwnedName()
    loss = OwnedName()
    losses = OwnedName()
    metrics = OwnedName()
    output = OwnedName()
    path = OwnedName()
    predict = OwnedName()
    quantize = OwnedName()
    summary = OwnedName()
    variables = OwnedName()
    weights = OwnedName()

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        instance = super().__new__(cls, *args, **kwargs)
        instance.__dict__["__made_with__"] = args, kwargs  # for copies
        kind: type = cls
        for name in _own_methods(kind):
            instance.__dict__.pop(name, None)
        return instance

    def __setattr__(self, name: str, value: Any) -> None:
        if name in OWNED_NAMES and not _is_keras(_who_assigns(sys._getframe(1))):
            name = OWN + name
        super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        if OWN + name in self.__dict__:
            name = OWN + name
        super().__delattr__(name)


@functools.cache
def _own_methods(cls: type) -> tuple[str, ...]:
    """Those of `_WRAPPED_METHODS` that the model defines itself."""

    def is_own(name: str) -> bool:
        module = getattr(getattr(cls, name, None), "__module__", None) or "keras."
        return not module.startswith("keras.")

    return tuple(name for name in _WRAPPED_METHODS if is_own(name))


def owns(layer: Any, name: str) -> bool:
    """Whether the model itself has assigned or defined `name` (torch's `hasattr(self, name)`)."""
    if OWN + name in layer.__dict__:
        return True
    if name not in OWNED_NAMES:
        return hasattr(layer, name)
    for cls in type(layer).__mro__:
        if name in vars(cls):
            return not (cls is NameOwner or cls.__module__.startswith("keras."))
    return False
