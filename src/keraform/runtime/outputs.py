"""What a model returns: named fields that also read as a tuple, and that tree libraries open."""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from typing import Any, cast

import keras
import numpy as np

from keraform.runtime.renamed import newer_name, with_newer_names

_registered: set[type] = set()


def _is_tensor(value: Any) -> bool:
    return isinstance(value, np.ndarray) or keras.ops.is_tensor(value) or hasattr(value, "dtype")


def _is_cache(value: Any) -> bool:
    return getattr(value, "is_keraform_cache", False)


def _fields(cls: type) -> dict[str, Any]:
    return getattr(cls, "__dataclass_fields__", {})


class _TakesOlderNames(type):
    """Lets the constructors of outputs take the older names of fields."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        return super().__call__(*args, **with_newer_names(kwargs, _fields(cls)))


class ModelOutput(OrderedDict, metaclass=_TakesOlderNames):
    """Base class of all model outputs, which are dataclasses whose fields default to `None`.

    Fields that are `None` are not there when the output is iterated, indexed by number or turned
    into a tuple. An output reads as `out.logits`, `out["logits"]` and `out[0]`. The constructor
    also takes one iterable of (name, value) pairs, as `tf.nest` and `keras.tree` hand back.

    A field that upstream has renamed is found by its older name too.

    In `keras.tree` and `jax.tree_util` an output is its tensors: `None` and caches are left out.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        _register(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if type(self) is not ModelOutput and not is_dataclass(self):
            raise TypeError(
                f"A subclass of ModelOutput has to be a dataclass; "
                f"{type(self).__module__}.{type(self).__name__} is none. "
                f"Put @dataclass above its definition."
            )
        super().__init__(*args, **kwargs)

    def __post_init__(self) -> None:
        names = [field.name for field in fields(cast("Any", self))]  # subclasses are dataclasses
        if not names:
            raise ValueError(
                f"A model output needs at least one field; {type(self).__name__} has none. "
                f"Add a field, for instance `logits: Tensor | None = None`."
            )
        first = getattr(self, names[0])
        alone = all(getattr(self, name) is None for name in names[1:])
        pairs = _pairs(first) if alone and first is not None else None
        if pairs is not None:
            OrderedDict.clear(self)
            object.__setattr__(self, names[0], None)
            for name, value in pairs:
                setattr(self, name, value)
            return
        # field order, not the order in which they were set
        OrderedDict.clear(self)
        for name in names:
            value = getattr(self, name)
            if value is not None:
                OrderedDict.__setitem__(self, name, value)

    def _field(self, name: str) -> str:
        """The field that has, or had, this name."""
        return newer_name(name, _fields(type(self)))

    def __contains__(self, key: object) -> bool:
        return super().__contains__(self._field(key) if isinstance(key, str) else key)

    def __getitem__(self, key: str | int | slice) -> Any:
        if isinstance(key, str):
            return OrderedDict.__getitem__(self, self._field(key))
        return self.to_tuple()[key]

    def get(self, key: str, default: Any = None) -> Any:
        return super().get(self._field(key), default)

    def __getattr__(self, name: str) -> Any:  # asked for what is not there
        newer = self._field(name)
        if newer == name:
            raise AttributeError(f"{type(self).__name__!r} has no field {name!r}")
        return getattr(self, newer)

    def __setitem__(self, key: str, value: Any) -> None:
        key = self._field(key)
        super().__setitem__(key, value)
        object.__setattr__(self, key, value)

    def __setattr__(self, name: str, value: Any) -> None:
        name = self._field(name)
        if value is not None and name in _fields(type(self)):
            OrderedDict.__setitem__(self, name, value)
        object.__setattr__(self, name, value)

    def __delitem__(self, *args: Any, **kwargs: Any) -> None:
        raise _fixed(self, "__delitem__")

    def setdefault(self, *args: Any, **kwargs: Any) -> None:
        raise _fixed(self, "setdefault")

    def pop(self, *args: Any, **kwargs: Any) -> None:
        raise _fixed(self, "pop")

    def update(self, *args: Any, **kwargs: Any) -> None:
        if type(self) is ModelOutput:  # OrderedDict's own constructor uses it
            return OrderedDict.update(self, *args, **kwargs)
        raise _fixed(self, "update")

    def __reduce__(self) -> str | tuple[Any, ...]:
        if not is_dataclass(self):
            return super().__reduce__()
        return _rebuild, (type(self), tuple(self.keys()), tuple(self.values()))

    def __copy__(self) -> ModelOutput:
        return _rebuild(type(self), tuple(self.keys()), tuple(self.values()))

    copy = __copy__

    def to_tuple(self) -> tuple:
        """The values of all fields that are not `None`."""
        return tuple(OrderedDict.values(self))


def _pairs(value: Any) -> list[tuple[str, Any]] | None:
    """The (name, value) pairs in `value`, or None when it is an ordinary first field."""
    if _is_tensor(value) or isinstance(value, (str, bytes)):
        return None
    if isinstance(value, dict):
        return list(value.items())
    if not isinstance(value, Iterable) or _is_cache(value):
        return None
    if iter(value) is value:  # a generator: it can be read once, and no tensor is one
        value = list(value)
    found = []
    for index, element in enumerate(value):
        is_pair = isinstance(element, (list, tuple)) and len(element) == 2
        if not is_pair or not isinstance(element[0], str):
            if index == 0:
                return None
            raise ValueError(
                f"Expected (name, value) pairs all through; got {type(element).__name__} at "
                f"position {index}. Pass the fields by name instead."
            )
        found.append((element[0], element[1]))
    return found or None


def _fixed(output: ModelOutput, method: str) -> TypeError:
    name = type(output).__name__
    return TypeError(
        f"The fields of a model output are fixed; `{method}` was called on {name}. "
        f"Set a field instead, `output.field = value`, or work on `dict(output)`."
    )


def _rebuild(cls: type[ModelOutput], names: Iterable[str], values: Iterable[Any]) -> ModelOutput:
    """An output of class `cls` with these fields, whatever the values are."""
    output = cls.__new__(cls)
    for name in _fields(cls):
        object.__setattr__(output, name, None)
    for name, value in zip(names, values, strict=True):
        output[name] = value
    return output


def _leaves(output: ModelOutput) -> tuple[tuple[str, ...], tuple[Any, ...]]:
    kept = [(k, v) for k, v in output.items() if v is not None and not _is_cache(v)]
    return tuple(k for k, _ in kept), tuple(v for _, v in kept)


def _register(cls: type[ModelOutput]) -> None:
    """Make `cls` known to the tree libraries of Keras and, where it is the backend, of JAX."""
    if cls in _registered:
        return
    _registered.add(cls)

    def unflatten(names: Any, values: Iterable[Any]) -> ModelOutput:
        return _rebuild(cls, names, values)

    try:
        import optree
    except ImportError:  # Keras then uses dm-tree, which reads mappings by itself
        pass
    else:

        def flatten(output: Any) -> tuple[tuple, tuple[str, ...], tuple[str, ...]]:
            names, values = _leaves(output)
            return values, names, names

        optree.register_pytree_node(cls, flatten, unflatten, namespace="keras")

    if keras.backend.backend() == "jax" or "jax" in sys.modules:
        import jax

        def flatten_with_keys(output: ModelOutput) -> tuple[list[tuple], tuple[str, ...]]:
            names, values = _leaves(output)
            keys = [jax.tree_util.DictKey(name) for name in names]
            return list(zip(keys, values, strict=True)), names

        jax.tree_util.register_pytree_with_keys(cls, flatten_with_keys, unflatten)
