"""Tied weights: one variable that two layers compute with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from keras import ops

from keraform.runtime import init
from keraform.runtime.one_row import is_one_row, times_table
from keraform.runtime.tree import (
    TorchWeight,
    WeightSpec,
    find_weight,
    inverse_axes,
    own_variable,
    read,
)


class Tie:
    """Stands in a layer for a weight that another layer keeps in another layout.

    Args:
        owner: the weight as its owner has it.
        axes: from torch's layout to the layout of the layer that is tied.
    """

    def __init__(self, owner: TorchWeight, axes: tuple[int, ...] | None) -> None:
        self.variable, self.owner_axes, self.axes = owner.variable, owner.axes, axes

    def torch_value(self) -> Any:
        value = read(self.variable)
        if self.owner_axes is None:
            return value
        return ops.transpose(value, inverse_axes(self.owner_axes))

    def value(self) -> Any:
        value = self.torch_value()
        return value if self.axes is None else ops.transpose(value, self.axes)

    def matmul(self, inputs: Any) -> Any:
        """`inputs @ kernel`, without a transposed copy of a table `[out, in]`."""
        if self.axes == (1, 0) and self.owner_axes is None:
            return matmul_transposed(inputs, self.variable)
        return ops.matmul(inputs, self.value())

    def entries(self, layer: Any, attribute: str, spec: WeightSpec) -> Iterator[TorchWeight]:
        yield TorchWeight(spec.name, self.variable, layer, attribute, self.owner_axes, alias=True)


def matmul_transposed(inputs: Any, table: Any) -> Any:
    """`inputs @ table^T` for a table `[out, in]`."""
    if is_one_row(inputs):
        return times_table(inputs, table)
    return ops.einsum("...i,oi->...o", inputs, table)


def tie(layer: Any, name: str, source: Any, source_name: str) -> None:
    """Let `layer`'s weight `name` be `source`'s weight `source_name` (torch names, torch layout).

    The source keeps the variable; the layer's own leaves its weights. With the same layout the
    variable itself stands in the layer; otherwise the layer computes from it at each call. Tie
    before training starts: an optimizer that was built keeps the old variables. As with torch, a
    table may have other rows than the layer's own.

    Raises:
        ValueError: the shapes differ, but for rows of a layer without a bias.
    """
    owner = find_weight(source, source_name)
    mine = find_weight(layer, name)
    if mine.variable is owner.variable:
        return
    ours, theirs = (_torch_shape(entry) for entry in (mine, owner))
    if ours[1:] != theirs[1:] or (ours != theirs and getattr(layer, "use_bias", False)):
        raise ValueError(
            f"expected equal shapes to tie {type(layer).__name__} '{layer.name}'.{name} to "
            f"{type(source).__name__} '{source.name}'.{source_name}; got {ours} and {theirs}; "
            "set tie_word_embeddings=False, or resize one of them."
        )
    attribute = mine.attribute
    if attribute in (vars(layer).get("_derived") or {}):
        drop_derived(layer, attribute)
    else:
        place = drop_variable(layer, attribute)
        if mine.axes == owner.axes:
            object.__setattr__(layer, place, owner.variable)
    if mine.axes == owner.axes:
        object.__setattr__(layer, "_tied", (vars(layer).get("_tied") or frozenset()) | {attribute})
    else:
        put_derived(layer, attribute, Tie(owner, own_axes(layer, attribute)))


def remove_weight(layer: Any, name: str) -> None:
    """Let `layer` have no weight `name` (torch's name) from now on: torch's `layer.bias = None`."""
    for attribute, spec in layer.torch_weights.items():
        if spec.name == name and own_variable(layer, attribute) is not None:
            drop_variable(layer, attribute)


def set_weight(layer: Any, name: str, value: Any) -> None:
    """Let `layer`'s weight `name` start as `value` (torch's name, torch's layout): torch's
    `layer.bias = nn.Parameter(value)`. A layer that has no such weight gets it.

    Raises:
        AttributeError: layers of this class have no weight of that name.
    """
    for attribute, spec in getattr(layer, "torch_weights", {}).items():
        if spec.name == name and layer.current_weight(attribute) is None:
            start = value if spec.axes is None else ops.transpose(value, spec.axes)
            setattr(layer, attribute, layer.add_parameter(start, name=attribute))
            return
    init.copy_(layer, name, value)


def own_axes(layer: Any, attribute: str) -> tuple[int, ...] | None:
    """The axes that the layer's class states for `attribute`."""
    return layer.torch_weights.get(attribute, WeightSpec(attribute)).axes


def _torch_shape(entry: TorchWeight) -> tuple[int, ...]:
    shape = tuple(entry.variable.shape)
    return shape if entry.axes is None else tuple(shape[axis] for axis in inverse_axes(entry.axes))


def drop_variable(layer: Any, attribute: str) -> str:
    """Take the variable behind `attribute` out of the layer and of Keras's tracking.

    Returns:
        The instance attribute that held it, which is None now.
    """
    variable = own_variable(layer, attribute)
    place = "_" + attribute if vars(layer).get("_" + attribute) is variable else attribute
    layer._untrack_variable(variable)
    untrack = getattr(layer, "_delete_tracking", None)  # TensorFlow's, for checkpoints
    if untrack is not None:
        untrack(place)
    object.__setattr__(layer, place, None)
    return place


def put_derived(layer: Any, attribute: str, source: Any) -> None:
    """Let `layer.current_weight(attribute)` come from `source` from now on."""
    derived = vars(layer).get("_derived") or {}
    object.__setattr__(layer, "_derived", {**derived, attribute: source})


def drop_derived(layer: Any, attribute: str) -> None:
    """Let `layer.current_weight(attribute)` be the layer's own again."""
    derived = vars(layer).get("_derived") or {}
    object.__setattr__(layer, "_derived", {k: v for k, v in derived.items() if k != attribute})
