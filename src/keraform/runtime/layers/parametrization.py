"""Weights that are computed from others: weight and spectral normalisation, torch's keys."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras import ops

from keraform.runtime.layers.tying import drop_derived, drop_variable, own_axes, put_derived
from keraform.runtime.tree import TorchWeight, WeightSpec, find_weight, inverse_axes, read


class _Parametrized:
    """Stands in a layer for a weight that is computed from variables of the layer itself.

    `keys` maps each torch key to the instance attribute that holds its variable; number `main` is
    kept in Keras's layout (`axes`), the others in torch's.
    """

    main = 0

    def __init__(self, layer: Any, axes: tuple[int, ...] | None, keys: dict[str, str]) -> None:
        self.layer, self.axes, self.keys = layer, axes, keys

    @property
    def held(self) -> tuple[str, ...]:
        return tuple(self.keys.values())

    def _variable(self, place: int) -> keras.Variable:
        return vars(self.layer)[list(self.keys.values())[place]]

    def torch_value(self) -> Any:
        value = self.value()
        return value if self.axes is None else ops.transpose(value, inverse_axes(self.axes))

    def matmul(self, inputs: Any) -> Any:
        return ops.matmul(inputs, self.value())

    def entries(self, layer: Any, attribute: str, spec: WeightSpec) -> Iterator[TorchWeight]:
        for place, (key, held) in enumerate(self.keys.items()):
            axes = self.axes if place == self.main else None
            yield TorchWeight(key, vars(layer)[held], layer, held, axes)


class WeightNorm(_Parametrized):
    """`w = g v / |v|`, the norm over all axes but `dim` (Salimans and Kingma 2016)."""

    main = 1

    def __init__(self, layer: Any, axes: Any, keys: dict[str, str], dim: int | None) -> None:
        super().__init__(layer, axes, keys)
        self.dim = dim

    def value(self) -> Any:
        magnitude, direction = (read(self._variable(i)) for i in (0, 1))
        if self.axes is not None and self.dim is not None:
            magnitude = ops.transpose(magnitude, self.axes)
        return direction * (magnitude / norm_except(direction, self._kept(direction)))

    def _kept(self, direction: Any) -> int | None:
        """The axis of `dim` in Keras's layout."""
        if self.dim is None:
            return None
        dim = self.dim % len(direction.shape)
        return dim if self.axes is None else self.axes.index(dim)


def norm_except(value: Any, kept: int | None) -> Any:
    """The Euclidean norm over all axes but `kept` (over all when None)."""
    axes = tuple(axis for axis in range(len(value.shape)) if axis != kept)
    return ops.sqrt(ops.sum(ops.square(value), axis=axes, keepdims=kept is not None))


def weight_norm(
    layer: Any, name: str = "weight", dim: int | None = 0, *, legacy_keys: bool = False
) -> Any:
    """Torch's `parametrizations.weight_norm`: `layer`'s weight becomes magnitude times direction.

    The keys are `parametrizations.{name}.original0` (magnitude) and `original1` (direction).

    Args:
        layer: a layer with the weight `name`.
        name: the weight's torch name.
        dim: torch's axis that keeps a magnitude for each entry; None for one magnitude in all.
        legacy_keys: take the keys of `torch.nn.utils.weight_norm`, `{name}_g` and `{name}_v`.

    Returns:
        `layer` itself.
    """
    entry = _mapped(layer, name)
    attribute, axes = entry.attribute, own_axes(layer, entry.attribute)
    shape = tuple(entry.variable.shape)
    keras_shape = shape if axes is None else tuple(shape[i] for i in inverse_axes(axes))
    kept = None if dim is None else dim % len(shape)
    sizes = tuple(size if i == kept else 1 for i, size in enumerate(keras_shape))
    variable = entry.variable

    def magnitude(shape: Any, dtype: Any = None, **kwargs: Any) -> Any:
        value = read(variable)
        value = value if axes is None else ops.transpose(value, inverse_axes(axes))
        return ops.cast(norm_except(value, kept), dtype)

    drop_variable(layer, attribute)
    first, second = f"{attribute}_magnitude", f"{attribute}_direction"
    prefix = f"parametrizations.{name}.original"
    keys = (f"{name}_g", f"{name}_v") if legacy_keys else (f"{prefix}0", f"{prefix}1")
    held = dict(zip(keys, (first, second), strict=True))
    setattr(layer, second, variable)
    shape_of_magnitude = () if kept is None else sizes
    setattr(
        layer,
        first,
        layer.add_weight(name=first, shape=shape_of_magnitude, initializer=magnitude),
    )
    put_derived(layer, attribute, WeightNorm(layer, axes, held, dim))
    return layer


def _mapped(layer: Any, name: str) -> TorchWeight:
    """The weight, in a layer that computes with `current_weight`."""
    entry = find_weight(layer, name)
    if entry.attribute not in layer.torch_weights:
        raise NotImplementedError(
            f"expected a Keraform layer with weight {name!r}, such as Dense or Conv1D; got "
            f"{type(layer).__name__} '{layer.name}'; compute the normalised weight in its call."
        )
    return entry


class SpectralNorm(_Parametrized):
    """`w = v / sigma`, sigma the largest singular value, by power iteration (Miyato 2018)."""

    def __init__(
        self, layer: Any, axes: Any, keys: dict[str, str], dim: int, steps: int, epsilon: float
    ) -> None:
        super().__init__(layer, axes, keys)
        self.dim, self.steps, self.epsilon = dim, steps, epsilon

    def value(self) -> Any:
        original = read(self._variable(0))
        matrix = self._matrix(original)
        left, right = self._variable(1), self._variable(2)
        if self.layer.training:
            frozen = ops.stop_gradient(matrix)
            u, v = read(left), read(right)
            for _ in range(self.steps):
                u = _unit(ops.matmul(frozen, v), self.epsilon)
                v = _unit(ops.matmul(ops.transpose(frozen), u), self.epsilon)
            left.assign(u)
            right.assign(v)
        u, v = (ops.stop_gradient(read(side)) for side in (left, right))
        return original / ops.sum(u * ops.matmul(matrix, v))

    def _matrix(self, value: Any) -> Any:
        if self.axes is not None:
            value = ops.transpose(value, inverse_axes(self.axes))
        value = ops.moveaxis(value, self.dim, 0)
        return ops.reshape(value, (value.shape[0], -1))


def _unit(vector: Any, epsilon: float) -> Any:
    return vector / ops.maximum(ops.sqrt(ops.sum(ops.square(vector))), epsilon)


def spectral_norm(
    layer: Any,
    name: str = "weight",
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    dim: int | None = None,
) -> Any:
    """Torch's `parametrizations.spectral_norm` for weights with two axes or more.

    The keys are `parametrizations.{name}.original`, `.0._u` and `.0._v`.

    Args:
        layer: a layer with the weight `name`.
        name: the weight's torch name.
        n_power_iterations: steps in each training call.
        eps: lower bound of norms.
        dim: torch's axis that is the matrix's rows; 0, or 1 for transposed convolutions.

    Returns:
        `layer` itself.
    """
    entry = _mapped(layer, name)
    attribute, axes = entry.attribute, own_axes(layer, entry.attribute)
    if dim is None:
        dim = 1 if type(layer).__name__.startswith("ConvTranspose") else 0
    shape = tuple(entry.variable.shape)
    if axes is not None:
        shape = tuple(shape[i] for i in inverse_axes(axes))
    variable = entry.variable
    drop_variable(layer, attribute)
    held = {
        f"parametrizations.{name}.original": f"{attribute}_original",
        f"parametrizations.{name}.0._u": f"{attribute}_left",
        f"parametrizations.{name}.0._v": f"{attribute}_right",
    }
    original, left, right = held.values()
    setattr(layer, original, variable)
    for place, size in ((left, shape[dim]), (right, int(np.prod(shape)) // shape[dim])):
        vector = layer.add_weight(
            name=place, shape=(size,), initializer=_random_unit, trainable=False
        )
        setattr(layer, place, vector)
    put_derived(layer, attribute, SpectralNorm(layer, axes, held, dim, n_power_iterations, eps))
    return layer


def _random_unit(shape: Any, dtype: Any = None, **kwargs: Any) -> Any:
    return _unit(keras.random.normal(shape, dtype=dtype), 1e-12)


def remove_parametrization(layer: Any, name: str = "weight") -> Any:
    """Torch's `remove_weight_norm`, `remove_parametrizations`: the weight that was computed becomes
    a variable again.

    Args:
        layer: a layer whose weight `name` is parametrised.
        name: the weight's torch name.

    Returns:
        `layer` itself.

    Raises:
        ValueError: the weight is not parametrised.
    """
    found = {
        layer.torch_weights.get(attribute, WeightSpec(attribute)).name: (attribute, source)
        for attribute, source in (vars(layer).get("_derived") or {}).items()
        if isinstance(source, _Parametrized)
    }
    if name not in found:
        raise ValueError(
            f"expected a parametrised weight {name!r} in {type(layer).__name__} '{layer.name}'; "
            f"got {sorted(found)}; call weight_norm(layer) first."
        )
    attribute, source = found[name]
    value = source.value()
    for held in source.held:
        drop_variable(layer, held)
    drop_derived(layer, attribute)
    place = "_" + attribute if "_" + attribute in vars(layer) else attribute
    setattr(layer, place, layer.add_parameter(value, name=attribute))
    return layer
