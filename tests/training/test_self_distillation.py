"""Pocket TTS's loss against upstream's in float64, with the gradients of inputs and weights."""

from __future__ import annotations

from types import SimpleNamespace

import keras
import numpy as np
import pytest
import torch
from keras import ops
from transformers.loss import loss_lsd

from keraform.runtime.precision import lift_casts
from keraform.training.losses import LOSS_MAPPING
from keraform.verify.draws.of_keras import keras_noise
from keraform.verify.draws.of_torch import torch_noise
from keraform.verify.lift import torch_precision

RNG = np.random.default_rng(0)
FRAMES, M, D = 4, 5, 3
WEIGHTS = {"latents": (D, D), "conditions": (M, D), "times": (2, D), "variance": (2, 1)}

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="gradients are taken by a tape"
)


def heads(weights, library, cat):
    """A flow head and a weighting, of the same weights on both sides."""

    def flow_head(latents, conditions, times):
        total = latents @ weights["latents"] + conditions @ weights["conditions"]
        return library.tanh(total + library.sin(cat(times) @ weights["times"]))

    def weighting(start, end):
        return library.tanh(cat([start, end]) @ weights["variance"])

    return {"flow_head": flow_head, "loss_weighting": weighting}


@pytest.mark.parametrize("probability", [1.0, 0.9, 0.4])
def test_values_and_gradients(probability):
    import tensorflow as tf

    config = SimpleNamespace(
        flow_loss_num_samples=2,
        lsd_time_logit_mean=0.1,
        lsd_time_logit_std=0.9,
        lsd_diagonal_weight=0.7,
        lsd_distill_probability=probability,
        eos_loss_weight=0.3,
    )
    inputs = {
        "conditions": RNG.normal(size=(FRAMES, M)),
        "targets": RNG.normal(size=(FRAMES, D)),
        "eos_logits": RNG.normal(size=(FRAMES + 1,)),
    }
    weights = {name: RNG.normal(size=shape) for name, shape in WEIGHTS.items()}
    labels = np.array([0, 0, 1, 0, 1])
    settings = {"config": config, "distill_generator": None, "training": True}

    theirs, their_weights = (
        {name: torch.tensor(value, requires_grad=True) for name, value in each.items()}
        for each in (inputs, weights)
    )
    with torch_precision("float64", lift=True), torch_noise():
        wanted = loss_lsd.PocketTTSForConditionalGenerationLoss(
            **theirs,
            **heads(their_weights, torch, lambda parts: torch.cat(parts, dim=-1)),
            eos_labels=torch.tensor(labels),
            **settings,
        )
    wanted.backward()

    ours, our_weights = (
        {name: tf.Variable(value) for name, value in each.items()} for each in (inputs, weights)
    )
    with lift_casts(), keras_noise(), tf.GradientTape() as tape:
        found = LOSS_MAPPING["PocketTTSForConditionalGeneration"](
            **{name: tf.convert_to_tensor(value) for name, value in ours.items()},
            **heads(our_weights, ops, lambda parts: ops.concatenate(parts, axis=-1)),
            eos_labels=ops.convert_to_tensor(labels),
            **settings,
        )
    np.testing.assert_allclose(found.numpy(), wanted.detach().numpy(), rtol=1e-12)
    variables = {**ours, **{f"{name} weight": v for name, v in our_weights.items()}}
    expected = {**theirs, **{f"{name} weight": v for name, v in their_weights.items()}}
    for name, gradient in zip(
        variables, tape.gradient(found, list(variables.values())), strict=True
    ):
        wanted = expected[name].grad.numpy()
        np.testing.assert_allclose(gradient.numpy(), wanted, rtol=0, atol=1e-12, err_msg=name)
