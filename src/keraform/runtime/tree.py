"""The module tree as torch sees it: attribute paths, weight keys and weights in torch's layout."""

from __future__ import annotations

import copy
import functools
from collections import UserList
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops
from keras.src.backend.common import global_state  # call context: Keras has no public reader

from keraform.runtime.owned import OWN, OWNED_NAMES, NameOwner
from keraform.runtime.owned import owns as owns  # this module is the door to both
from keraform.runtime.precision import resolve
from keraform.runtime.tracing import note_given

# Values of attributes that nothing tracks.
_PLAIN = frozenset({bool, int, float, str, type(None)})

# Variables that Keras's layers add later; no torch key belongs to them.
_KERAS_EXTRAS = ("lora_",)


@dataclass(frozen=True)
class WeightSpec:
    """How one variable of a layer class appears in torch's state dict.

    `axes` is the transposition from torch to Keras: `np.transpose(torch_weight, axes)`.
    """

    name: str
    axes: tuple[int, ...] | None = None


@dataclass(frozen=True)
class TorchWeight:
    """One entry of torch's state dict; `alias` says that the variable belongs to another key."""

    key: str
    variable: keras.Variable
    layer: Any
    attribute: str
    axes: tuple[int, ...] | None = None
    alias: bool = False


class TorchTree(NameOwner):
    """Mixin before a Keras class: torch's names for layers and weights, whatever Keras calls them.

    Children are found in attribute order; lists give indices and dicts keys. `torch_weights` maps
    a variable's attribute to its torch name; variables that it does not list keep their own.
    `main_layer` names the attribute whose prefix torch's keys do not have. Names that Keras keeps
    for itself may be the model's (`keraform.runtime.owned`).
    """

    torch_weights: ClassVar[Mapping[str, WeightSpec]] = {}
    main_layer: ClassVar[str | None] = None

    @property
    def training(self) -> bool:
        """Whether the call that is running trains; read from Keras's call context."""
        context = global_state.get_global_attribute("current_call_ctx")
        return context is not None and bool(getattr(context, "training", None))

    def add_weight(
        self, shape: Any = None, *args: Any, dtype: Any = None, **kwargs: Any
    ) -> keras.Variable:
        """Keras's `add_weight`; the shape may be one number, as in torch, and the numbers scalar
        tensors; a dtype that the model names is lifted with its casts.
        """
        if shape is not None:
            shape = shape.as_list() if hasattr(shape, "as_list") else shape  # TensorFlow's own kind
            shape = tuple(map(int, shape if isinstance(shape, (tuple, list)) else (shape,)))
        return super().add_weight(shape, *args, dtype=resolve(dtype), **kwargs)  # type: ignore[misc]

    def add_parameter(
        self, value: Any, name: str | None = None, trainable: bool = True
    ) -> keras.Variable:
        """A weight that starts as the tensor `value` and keeps its dtype class (float or int)."""
        is_float = keras.backend.is_float_dtype(getattr(value, "dtype", None) or "float32")
        return self.add_weight(
            shape=tuple(value.shape),
            initializer=_Constant(value),
            dtype=None if is_float else keras.backend.standardize_dtype(value.dtype),
            trainable=trainable and is_float,
            name=name,
        )

    def __setattr__(self, name: str, value: Any) -> None:
        known = self.__dict__.get(name)
        if type(value) in _PLAIN and type(known) in _PLAIN and name not in OWNED_NAMES:
            # past Keras's and TensorFlow's trackers, which take half the time of a constructor
            object.__setattr__(self, name, value)
            return
        if isinstance(known, keras.Variable) and not isinstance(value, keras.Variable):
            if ops.is_tensor(value) and tuple(value.shape) == tuple(known.shape):
                known.assign(value)  # what a buffer of torch is set to is in the buffer
                return
        if isinstance(known, keras.Variable) and isinstance(value, keras.Variable):
            if known is not value:  # Keras would go on to train and save it
                self._untrack_variable(known)
        note_given(self, name, value)
        super().__setattr__(name, value)

    def current_weight(self, attribute: str) -> Any:
        """What to compute with where the class says `attribute`, in Keras's layout.

        The variable itself, or what a tie or a parametrisation puts in its place.
        """
        derived = self.__dict__.get("_derived")
        if derived and attribute in derived:
            return derived[attribute].value()
        return own_variable(self, attribute)


def parameter(value: Any, trainable: bool = True) -> keras.Variable:
    """A weight that starts as the tensor `value`, of the layer that it will be assigned to."""
    is_float = keras.backend.is_float_dtype(getattr(value, "dtype", None) or "float32")
    own = keras.config.dtype_policy().variable_dtype
    return keras.Variable(
        _Constant(value),
        shape=tuple(value.shape),
        dtype=own if is_float else keras.backend.standardize_dtype(value.dtype),
        trainable=trainable and is_float,
    )


class _Constant:
    """An initialiser that gives one tensor, so that weights with a value can be deferred too."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __call__(self, shape: Any, dtype: Any = None, **kwargs: Any) -> Any:
        return ops.cast(ops.convert_to_tensor(self.value), dtype)


@functools.cache
def _bookkeeping() -> frozenset[str]:
    """Instance attributes that Keras sets on every layer or model."""
    plain = keras.layers.Layer(name="plain"), keras.Model(name="plain")
    return frozenset(name for layer in plain for name in vars(layer)) | {
        "_derived",
        "_tied",
        "__made_with__",
    }


def members(layer: Any) -> Iterator[tuple[str, Any]]:
    """The attributes that the model has set, in order, under the names it gave them."""
    skipped = _bookkeeping()
    for attribute, value in vars(layer).items():
        if attribute not in skipped and not attribute.startswith("_self_"):
            own = attribute.startswith(OWN) and attribute[len(OWN) :] in OWNED_NAMES
            yield (attribute[len(OWN) :] if own else attribute), value


class Unregistered(UserList[Any]):
    """A plain list of layers: the layer that holds it does not own them by its name, as torch's
    modules do not; they may be its own by another.
    """


def _leaves(name: str, value: Any, kind: type) -> Iterator[tuple[str, Any]]:
    """`value`, or what lies in its lists and dicts, where it is of `kind`."""
    if isinstance(value, kind):
        yield name, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _leaves(f"{name}.{key}", item, kind)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _leaves(f"{name}.{index}", item, kind)


def children(layer: Any) -> Iterator[tuple[str, Any]]:
    """The layers directly inside, under their attribute paths ("layer.0"), in attribute order."""
    listed = getattr(layer, "torch_children", None)
    if listed is not None:
        yield from listed()
        return
    for name, value in members(layer):
        yield from _leaves(name, value, keras.layers.Layer)


def _walk(
    path: str, layer: Any, seen: set[int] | None, above: tuple[int, ...], drop_main: bool
) -> Iterator[tuple[str, Any]]:
    if id(layer) in above or (seen is not None and id(layer) in seen):
        return
    if seen is not None:
        seen.add(id(layer))
    yield path, layer
    main = getattr(layer, "main_layer", None) if drop_main else None
    for name, child in children(layer):
        below = path if name == main else f"{path}.{name}" if path else name
        yield from _walk(below, child, seen, (*above, id(layer)), drop_main)


def named_layers(
    root: Any, *, remove_duplicate: bool = True, drop_main: bool = True
) -> Iterator[tuple[str, Any]]:
    """Every layer with its torch path, `root` first under "", as torch's `named_modules`.

    Args:
        root: a layer or model.
        remove_duplicate: give a shared layer once, under its first path.
        drop_main: leave a wrapper's `main_layer` out of the paths, as torch's keys do.
    """
    yield from _walk("", root, set() if remove_duplicate else None, (), drop_main)


def submodule(root: Any, path: str) -> Any:
    """The layer at a torch path inside `root`, as torch's `get_submodule`.

    Raises:
        AttributeError: there is no layer.
    """
    for found, layer in named_layers(root, remove_duplicate=False):
        if found == path:
            return layer
    raise AttributeError(
        f"expected the torch path of a layer inside {type(root).__name__} '{root.name}'; "
        f"got {path!r}; list them with keraform.runtime.tree.named_layers(layer)."
    )


def copied(layers: Any) -> list[Any]:
    """Copies of the layers of a list (or of lists of them), each with weights of its own."""
    return [copied(layer) if isinstance(layer, list) else copy.deepcopy(layer) for layer in layers]


def apply(root: Any, function: Callable[[Any], object]) -> Any:
    """Calls a function with every layer inside `root`, then with `root`, which it gives back.

    A layer that stands in two places gets two calls, as from torch's `Module.apply`.
    """
    for _, child in children(root):
        apply(child, function)
    function(root)
    return root


def own_variable(layer: Any, attribute: str) -> keras.Variable | None:
    """The variable behind `attribute`, past Keras's properties (`kernel` is kept as `_kernel`)."""
    values = vars(layer)
    variable = values.get("_" + attribute)
    return variable if variable is not None else values.get(attribute)


def own_weights(layer: Any) -> Iterator[TorchWeight]:
    """The state dict entries of one layer itself, keys relative to it."""
    derived = vars(layer).get("_derived") or {}
    parametrized = []  # torch keeps these in a module of their own, after the layer's weights
    tied = vars(layer).get("_tied") or frozenset()
    table: Mapping[str, WeightSpec] = getattr(layer, "torch_weights", {})
    for attribute, spec in table.items():
        if attribute in derived:
            entries = list(derived[attribute].entries(layer, attribute, spec))
            if getattr(derived[attribute], "held", ()):
                parametrized += entries
            else:
                yield from entries
            continue
        variable = own_variable(layer, attribute)
        if isinstance(variable, keras.Variable):
            alias = attribute in tied
            yield TorchWeight(spec.name, variable, layer, attribute, spec.axes, alias)
    held = {name for source in derived.values() for name in getattr(source, "held", ())}
    for name, value in members(layer):
        known = name in held or name in table or name.lstrip("_") in table
        if known or name.startswith(_KERAS_EXTRAS):
            continue
        if name in derived:
            yield from derived[name].entries(layer, name, WeightSpec(name))
            continue
        for key, variable in _leaves(name, value, keras.Variable):
            yield TorchWeight(key, variable, layer, name, None, name in tied)
    yield from parametrized


def named_weights(root: Any, aliases: bool = True) -> Iterator[TorchWeight]:
    """Every entry of torch's state dict, with its full key.

    Args:
        root: a layer or model.
        aliases: also give the keys under which torch lists a shared weight again (`alias` is set).
    """
    seen: set[int] = set()
    for path, layer in named_layers(root, remove_duplicate=False):
        for weight in own_weights(layer):
            alias = weight.alias or id(weight.variable) in seen
            if not weight.alias:
                seen.add(id(weight.variable))
            if aliases or not alias:
                key = f"{path}.{weight.key}" if path else weight.key
                yield TorchWeight(
                    key, weight.variable, weight.layer, weight.attribute, weight.axes, alias
                )


def inverse_axes(axes: tuple[int, ...]) -> tuple[int, ...]:
    """The transposition that undoes `axes`."""
    return tuple(int(axis) for axis in np.argsort(axes))


def read(variable: keras.Variable) -> Any:
    """The variable's value as a tensor; `ops.convert_to_tensor` gives TensorFlow's variable."""
    value = variable.value
    return value.read_value() if hasattr(value, "read_value") else value


def find_weight(layer: Any, name: str) -> TorchWeight:
    """The entry of `layer` itself that torch calls `name`.

    Raises:
        AttributeError: torch's module has no such weight.
    """
    entries = list(own_weights(layer))
    for entry in entries:
        if entry.key == name:
            return entry
    known = ", ".join(entry.key for entry in entries) or "none"
    raise AttributeError(
        f"expected the torch name of a weight of {type(layer).__name__} '{layer.name}'; "
        f"got {name!r}, but it has: {known}; list them with "
        "keraform.runtime.tree.own_weights(layer)."
    )


def get_torch_weight(layer: Any, name: str) -> Any:
    """The current value of the weight that torch calls `name`, in torch's layout."""
    derived = vars(layer).get("_derived")
    if derived:
        for attribute, source in derived.items():
            spec = layer.torch_weights.get(attribute, WeightSpec(attribute))
            if spec.name == name:
                return source.torch_value()
    entry = find_weight(layer, name)
    if layer.dtype_policy.quantization_mode is not None:
        raise NotImplementedError(
            f"expected a call of {type(layer).__name__} '{layer.name}', whose weights are "
            f"quantized; got code that computes with its {name!r} itself; leave the layer out: "
            "model.quantize(mode, filters=...)."
        )
    value = read(entry.variable)
    return value if entry.axes is None else ops.transpose(value, inverse_axes(entry.axes))


def torch_property(name: str) -> property:
    """A read-only property of a layer class that gives its weight in torch's layout, or None."""

    def read(self: Any) -> Any:
        return get_torch_weight(self, name) if _has_weight(self, name) else None

    return property(read, doc=f"torch's `{name}`, in torch's layout, as a tensor.")


def _has_weight(layer: Any, name: str) -> bool:
    for attribute, spec in layer.torch_weights.items():
        if spec.name == name:
            derived = vars(layer).get("_derived") or {}
            return attribute in derived or own_variable(layer, attribute) is not None
    return False


def name_weights(root: Any, prefix: str | None = None) -> None:
    """Give variables and layers paths that follow the attributes.

    `bert.encoder.layer[0].attention.self.query.kernel` becomes
    `{prefix}/encoder/layer/0/attention/self/query/kernel` for root `bert`. Optimizers, sharding
    layouts and saved optimizer states go by these paths: call it once all layers exist, before
    weights get their values, and again after weights were added (LoRA).

    Args:
        root: a layer or model.
        prefix: what paths start with; the root's `name` when None, nothing when "".
    """
    start = root.name if prefix is None else prefix
    named: set[int] = set()
    for path, layer in named_layers(root, drop_main=False):
        place = "/".join(part for part in (start, path.replace(".", "/")) if part)
        layer._path = place
        layer._parent_path = place.rpartition("/")[0]
        seeds = [seed.state for seed in layer._seed_generators]
        for variable in (*layer._trainable_variables, *layer._non_trainable_variables, *seeds):
            if id(variable) not in named:
                named.add(id(variable))
                variable._path = f"{place}/{variable.name}" if place else variable.name


def replace_child(layer: Any, name: str, child: Any) -> None:
    """Puts another layer in the place that `children` calls `name` (`conv`, `norms.stage1`).

    Args:
        layer: the layer that holds the child.
        name: the child's path below `layer`.
        child: the layer to hold instead.
    """
    before = dict(children(layer)).get(name)
    attribute, *keys = name.split(".")
    if hasattr(layer, "torch_children"):
        layer[[listed for listed, _ in children(layer)].index(name)] = child
    elif not keys:
        setattr(layer, attribute, child)
    else:
        holder = dict(members(layer))[attribute]
        for key in keys[:-1]:
            holder = holder[int(key)] if isinstance(holder, list | tuple) else holder[key]
        holder[int(keys[-1]) if isinstance(holder, list) else keys[-1]] = child
    retrack(layer, before, child)


def retrack(layer: Any, before: Any, after: Any) -> None:
    """Tells Keras, which does not see an item of a list replaced, whose weights are `layer`'s."""
    layer._tracker.track(after)
    if all(child is not before for _, child in children(layer)):
        layer._tracker.untrack(before)


def named_variables(root: Any) -> Iterator[tuple[str, keras.Variable]]:
    """Torch keys and variables, each variable once, as torch's `named_parameters`."""
    for weight in named_weights(root, aliases=False):
        yield weight.key, weight.variable
