"""Gradients: one training pass on either side, its outputs and the gradient of every parameter.

What is differentiated is a weighted sum of outputs. With the weight 1 on the class's own losses
that is what users train; with fixed random weights on every float output it reaches what a loss may
not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import torch
from keras import ops
from torch import nn

from keraform.runtime.tree import TorchWeight, inverse_axes, named_weights
from keraform.verify.cases import Variant
from keraform.verify.compare import FILLER
from keraform.verify.draws.of_keras import keras_noise
from keraform.verify.draws.of_torch import torch_noise
from keraform.verify.drives import torch_values
from keraform.verify.leaves import Leaves, leaves
from keraform.verify.lift import torch_precision
from keraform.verify.port import keras_precision, keras_values
from keraform.verify.port import read_leaf as read_keras
from keraform.verify.twin import read_leaf as read_torch

DTYPE = "float64"

# Weights of the outputs in the sum, by the output's name.
Weights = dict[str, np.ndarray]
WeightsOf = Callable[[Leaves], Weights]

# By torch's key; None where the sum does not depend on the parameter.
Gradients = dict[str, np.ndarray | None]


@dataclass(frozen=True)
class Pass:
    """One training pass."""

    outputs: Leaves
    gradients: Gradients


def own_losses(outputs: Leaves) -> Weights:
    """1 for every loss that the class computes itself (`loss`, GPT-2's `mc_loss`)."""
    named = (name for name in outputs if name.rpartition(".")[2].endswith("loss"))
    return {name: np.ones(outputs[name].array.shape) for name in named}


def surrogate(outputs: Leaves) -> Weights:
    """Normal numbers for every float output, fixed by its name; 0 at infinities and fillers."""
    found = {}
    for name, leaf in outputs.items():
        if leaf.array.dtype.kind == "f":
            digest = hashlib.sha256(name.encode()).digest()
            rng = np.random.default_rng(int.from_bytes(digest[:8], "little"))
            plain = np.abs(leaf.array) < FILLER  # False for NaN too
            found[name] = np.where(plain, rng.normal(size=leaf.array.shape), 0.0)
    return found


def torch_pass(model: nn.Module, variant: Variant, weights_of: WeightsOf) -> tuple[Pass, Weights]:
    """A training pass of a twin that was built in float64 with casts lifted."""
    model.zero_grad(set_to_none=True)
    model.train()
    try:
        with torch_precision(DTYPE, lift=True), torch_noise():
            inputs = torch_values(dict(variant.inputs), torch.float64)
            values = leaves(model(**inputs), lambda value: _if(torch.is_tensor(value), value))
            outputs = leaves(values, read_torch)
            weights = weights_of(outputs)
            total = sum(
                (torch.where(w != 0, values[name], 0) * w).sum()
                for name, w in ((n, torch.from_numpy(np.asarray(w))) for n, w in weights.items())
            )
        if torch.is_tensor(total) and total.requires_grad:
            total.backward()
    finally:
        model.eval()
    return Pass(outputs, {key: _torch_gradient(p) for key, p in parameters(model).items()}), weights


def parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """Every parameter under each of its keys: a shared one stands under several."""
    return dict(model.named_parameters(remove_duplicate=False))


def _torch_gradient(parameter: nn.Parameter) -> np.ndarray | None:
    return None if parameter.grad is None else parameter.grad.detach().numpy().copy()


def keras_pass(model: Any, variant: Variant, weights: Weights) -> Pass:
    """A training pass of a port that was built in float64 with casts lifted."""
    entries = trained(model)
    variables = [entry.variable for entry in entries]
    with keras_precision(DTYPE, lift=True), keras_noise():
        inputs = keras_values(dict(variant.inputs), DTYPE)

        def forward() -> tuple[Any, dict[str, Any]]:
            output = model(**inputs, training=True)
            values = leaves(output, lambda value: _if(ops.is_tensor(value), value))
            return _total(values, weights), values

        values, gradients = _DIFFERENTIATE[keras.backend.backend()](model, forward, variables)
        outputs = leaves(values, read_keras)
        by_key = {
            entry.key: None if gradient is None else _in_torch_layout(entry, gradient)
            for entry, gradient in zip(entries, gradients, strict=True)
        }
    return Pass(outputs, by_key)


def trained(model: Any) -> list[TorchWeight]:
    """The weights that `fit` would train, each variable once, with torch's keys."""
    wanted = {id(variable) for variable in model.trainable_variables}
    return [each for each in named_weights(model, aliases=False) if id(each.variable) in wanted]


def _total(values: Mapping[str, Any], weights: Weights) -> Any:
    total = ops.zeros((), DTYPE)
    for name, weight in weights.items():
        value = values.get(name)
        if value is not None and tuple(value.shape) == weight.shape:  # else its own difference
            kept = ops.where(weight != 0, value, ops.zeros_like(value))
            total = total + ops.sum(kept * ops.convert_to_tensor(weight, value.dtype))
    return total


def _if(condition: bool, value: Any) -> Any:
    return value if condition else None


def _in_torch_layout(entry: TorchWeight, gradient: Any) -> np.ndarray:
    array = np.array(ops.convert_to_numpy(gradient))
    return array if entry.axes is None else array.transpose(inverse_axes(entry.axes))


Forward = Callable[[], tuple[Any, dict[str, Any]]]
Found = tuple[dict[str, Any], list[Any]]


def _by_tape(model: Any, forward: Forward, variables: list[keras.Variable]) -> Found:
    import tensorflow as tf

    with tf.GradientTape() as tape:
        total, values = forward()
    found = tape.gradient(total, [variable.value for variable in variables])
    return values, [None if each is None else tf.convert_to_tensor(each) for each in found]


def _by_value_and_grad(model: Any, forward: Forward, variables: list[keras.Variable]) -> Found:
    """JAX gives zeros where nothing depends on a variable; statistics move as in `fit`."""
    import jax

    moving = model.non_trainable_variables

    def stateless(numbers: list[Any]) -> tuple[Any, Any]:
        mapping = list(zip(variables, numbers, strict=True))
        with keras.StatelessScope(state_mapping=mapping) as scope:
            total, values = forward()
        return total, (values, [scope.get_current_value(variable) for variable in moving])

    numbers = [variable.value for variable in variables]
    (_, (values, moved)), gradients = jax.value_and_grad(stateless, has_aux=True)(numbers)
    for variable, number in zip(moving, moved, strict=True):
        if number is not None:
            variable.assign(number)
    return values, gradients


_DIFFERENTIATE: dict[str, Callable[[Any, Forward, list[keras.Variable]], Found]] = {
    "tensorflow": _by_tape,
    "jax": _by_value_and_grad,
}
