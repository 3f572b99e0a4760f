"""One optimizer step on either side, with equal hyperparameters."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import keras
import torch
from keras import ops
from torch import nn

from keraform.verify.port import keras_precision
from keraform.verify.rungs.gradients import DTYPE, Gradients, trained
from keraform.verify.rungs.kept import weights_of
from keraform.verify.twin import State

# Sums of few powers of two: Keras rounds its hyperparameters to float32, also for float64 weights.
LEARNING_RATE = 2**-7
MOMENTUM = 0.875
WEIGHT_DECAY = 0.125
BETA_1, BETA_2 = 0.875, 1 - 2**-10
EPSILON = 1e-4

# After one step from zero moments, m = (1 - b1) g and v = (1 - b2) g^2, and
#   torch: lr m / (1 - b1) / (sqrt(v / (1 - b2)) + e)             = lr g / (|g| + e)
#   Keras: lr sqrt(1 - b2) / (1 - b1) m / (sqrt(v) + k)           = lr g / (|g| + k / sqrt(1 - b2))
# so both are equal for k = e sqrt(1 - b2). e is not the usual 1e-8: where a gradient is 0 but for
# rounding, the step magnifies that rounding by lr / e, which here is 78.
KERAS_EPSILON = EPSILON * math.sqrt(1 - BETA_2)


@dataclass(frozen=True)
class Optimizer:
    """The same optimizer twice. SGD's weight decay is a term of the gradient in torch and a factor
    on the weight in Keras; with momentum these two agree for the first step only, which this is.
    """

    torch: Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]
    keras: Callable[[], keras.optimizers.Optimizer]


OPTIMIZERS = {
    "SGD": Optimizer(
        lambda weights: torch.optim.SGD(
            weights, lr=LEARNING_RATE, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY
        ),
        lambda: keras.optimizers.SGD(LEARNING_RATE, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY),
    ),
    "AdamW": Optimizer(
        lambda weights: torch.optim.AdamW(
            weights, LEARNING_RATE, (BETA_1, BETA_2), EPSILON, weight_decay=WEIGHT_DECAY
        ),
        lambda: keras.optimizers.AdamW(
            LEARNING_RATE, WEIGHT_DECAY, beta_1=BETA_1, beta_2=BETA_2, epsilon=KERAS_EPSILON
        ),
    ),
}


def torch_step(model: nn.Module, optimizer: Optimizer) -> State:
    """The weights after a step with the gradients that the parameters hold; then they are reset."""
    before = {key: value.clone() for key, value in model.state_dict().items()}
    optimizer.torch(parameter for parameter in model.parameters()).step()
    after = {key: value.detach().numpy().copy() for key, value in model.state_dict().items()}
    model.load_state_dict(before)
    return after


def keras_step(model: Any, optimizer: Optimizer, gradients: Gradients) -> State:
    """The weights after a step with these gradients; then they are reset."""
    moved = [entry for entry in trained(model) if gradients[entry.key] is not None]
    before = [ops.copy(entry.variable.value) for entry in moved]
    with keras_precision(DTYPE, lift=True):
        slopes = [_in_keras_layout(gradients[entry.key], entry.axes) for entry in moved]
        optimizer.keras().apply(slopes, [entry.variable for entry in moved])
        after = weights_of(model)
        for entry, value in zip(moved, before, strict=True):
            entry.variable.assign(value)
    return after


def _in_keras_layout(gradient: Any, axes: tuple[int, ...] | None) -> Any:
    return ops.convert_to_tensor(gradient if axes is None else gradient.transpose(axes))
