"""The loss of models that learn to follow a flow in one step: Lagrangian self-distillation.

The flow head gives a velocity v(x, s, t); the jump X(x) = x + (t - s) v(x, s, t) shall be where the
flow that starts in x at time s is at time t. One term compares v(x, t, t) with the line from noise
to data, the other the jump's derivative by t with the velocity v(X, t, t) at its end.

Reference: Boffi, Albergo and Vanden-Eijnden, How to build a consistency model: Learning flow maps
via self-distillation, 2025.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keraform.errors import explain
from keraform.runtime import ops as kf
from keraform.runtime.layers import Tensor

Velocity = Callable[[Tensor, Tensor, Tensor], Tensor]


def PocketTTSForConditionalGenerationLoss(
    flow_head: Callable[..., Tensor],
    conditions: Tensor,
    targets: Tensor,
    eos_logits: Tensor,
    eos_labels: Tensor,
    config: Any,
    loss_weighting: Callable[..., Tensor],
    distill_generator: Any = None,
    training: bool = False,
    **kwargs: Any,
) -> Tensor:
    """The flow's loss of target latents [n, d] under conditions [n, m], with learnt weights, and
    the end-of-speech loss of logits and labels [positions].

    In training the second term is computed with the probability `config.lsd_distill_probability`.
    """
    conditions = ops.tile(conditions, (config.flow_loss_num_samples, 1))
    targets = ops.tile(targets, (config.flow_loss_num_samples, 1))

    def velocity(latents: Tensor, start: Tensor, end: Tensor) -> Tensor:
        return flow_head(latents, conditions, times=[start, end])

    def time_logits(count: int) -> Tensor:
        noise = kf.randn_like(targets[..., :count])
        return noise * config.lsd_time_logit_std + config.lsd_time_logit_mean

    def weighted(loss: Tensor, start: Tensor, end: Tensor) -> Tensor:
        log_variance = ops.squeeze(loss_weighting(start, end), -1)
        return loss * ops.exp(log_variance) / targets.shape[-1] - log_variance

    noise = kf.randn_like(targets)
    times = ops.sigmoid(time_logits(1))
    straight = weighted(_straight(velocity, targets, noise, times), times, times)
    loss = config.lsd_diagonal_weight * straight

    probability = config.lsd_distill_probability if training else 1.0
    drawn = kf.rand(()) if probability < 1.0 else None
    logits = time_logits(2)
    start = ops.sigmoid(ops.min(logits, axis=-1, keepdims=True))
    end = ops.sigmoid(ops.max(logits, axis=-1, keepdims=True))
    jump = weighted(_jump(velocity, targets, noise, start, end), start, end)
    jump = (1 - config.lsd_diagonal_weight) / probability * jump
    if drawn is not None:
        # both ways have to be in the graph
        jump = ops.where(drawn < probability, jump, ops.zeros_like(jump))
    return ops.mean(loss + jump) + config.eos_loss_weight * _end_of_speech(eos_logits, eos_labels)


def _straight(velocity: Velocity, data: Tensor, noise: Tensor, times: Tensor) -> Tensor:
    """How far the velocity is from the line's, for each row [n]."""
    points = times * data + (1 - times) * noise
    return ops.sum(ops.square(velocity(points, times, times) - (data - noise)), axis=-1)


def _jump(velocity: Velocity, data: Tensor, noise: Tensor, start: Tensor, end: Tensor) -> Tensor:
    """How far the jump's derivative is from the velocity at its end, for each row [n].

    The velocity at the end passes its gradient to where the jump ended, but to no weight: it is the
    velocity there, without a gradient, plus its derivative in the direction 0.
    """
    points = start * data + (1 - start) * noise
    speed, change = _derivative(lambda time: velocity(points, start, time), end, ops.ones_like(end))
    there = points + (end - start) * speed
    fixed = ops.stop_gradient(there)
    target, along = _derivative(lambda x: velocity(x, end, end), fixed, there - fixed)
    target = ops.stop_gradient(target) + along
    return ops.sum(ops.square(speed + (end - start) * change - target), axis=-1)


def _derivative(
    function: Callable[[Tensor], Tensor], point: Tensor, direction: Tensor
) -> tuple[Tensor, Tensor]:
    """A function's value, and its derivative at a point in a direction."""
    if keras.backend.backend() == "jax":
        import jax

        return jax.jvp(function, (point,), (direction,))
    if keras.backend.backend() != "tensorflow":
        raise NotImplementedError(
            explain(
                "the backend TensorFlow or JAX for this loss",
                keras.backend.backend(),
                "KERAS_BACKEND=tensorflow",
            )
        )
    import tensorflow as tf

    with tf.autodiff.ForwardAccumulator(point, direction) as forward:
        value = function(point)
    return value, forward.jvp(value)


def _end_of_speech(logits: Tensor, labels: Tensor) -> Tensor:
    logits = ops.cast(logits, "float32")
    return ops.mean(ops.softplus(ops.where(ops.cast(labels, "bool"), -logits, logits)))
