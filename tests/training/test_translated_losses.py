"""Losses that are translated when they are asked for, against upstream's in float64."""

from __future__ import annotations

from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch
from keras import ops
from transformers.loss import loss_utils

from keraform.runtime.precision import lift_casts
from keraform.training import losses
from keraform.verify.draws.of_keras import keras_noise
from keraform.verify.draws.of_torch import torch_noise
from keraform.verify.lift import torch_precision

RNG = np.random.default_rng(0)

pytestmark = pytest.mark.skipif(
    keras.backend.result_type("float64", float) != "float64", reason="Keras computes in float32"
)


@pytest.fixture(autouse=True)
def float64():
    before = keras.config.dtype_policy(), keras.config.floatx()
    keras.config.set_dtype_policy("float64")
    keras.config.set_floatx("float64")
    yield
    keras.config.set_dtype_policy(before[0])
    keras.config.set_floatx(before[1])


def converted(value, to):
    """Arrays in dicts and lists as tensors."""
    if isinstance(value, dict):
        return {key: converted(each, to) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(converted(each, to) for each in value)
    return to(value) if isinstance(value, np.ndarray) else value


def compare(name, **arguments):
    """The loss of a class's name on both sides, all losses by name, and the gradients of what a
    model computes.
    """
    leaves = [
        name
        for name, value in arguments.items()
        if isinstance(value, np.ndarray) and value.dtype == "float64"
    ]
    theirs = converted(arguments, torch.tensor)
    for leaf in leaves:
        theirs[leaf].requires_grad_()
    with torch_precision("float64", lift=True), torch_noise():
        wanted = loss_utils.LOSS_MAPPING[name](**theirs)
    (wanted if isinstance(wanted, torch.Tensor) else wanted[0]).backward()

    arguments.pop("device", None)  # which ports do not pass
    ours = converted(arguments, ops.convert_to_tensor)
    with lift_casts(), keras_noise(), tf.GradientTape() as tape:
        tape.watch([ours[leaf] for leaf in leaves])
        found = losses.LOSS_MAPPING[name](**ours)
    total = found if tf.is_tensor(found) else found[0]
    gradients = tape.gradient(total, [ours[leaf] for leaf in leaves], unconnected_gradients="zero")
    for leaf, gradient in zip(leaves, gradients, strict=True):
        expected = theirs[leaf].grad
        expected = np.zeros(gradient.shape) if expected is None else expected.numpy()
        np.testing.assert_allclose(gradient.numpy(), expected, rtol=0, atol=1e-9, err_msg=leaf)

    if isinstance(wanted, torch.Tensor):
        wanted, found = (wanted, {}), (found, {})
    assert set(found[1]) == set(wanted[1])
    pairs = {"loss": (found[0], wanted[0])} | {k: (found[1][k], v) for k, v in wanted[1].items()}
    for key, (ours, theirs) in pairs.items():
        np.testing.assert_allclose(
            ops.convert_to_numpy(ours), theirs.detach().numpy(), rtol=1e-9, atol=1e-9, err_msg=key
        )


def test_every_loss_of_upstream_is_here():
    assert list(losses.LOSS_MAPPING) == list(loss_utils.LOSS_MAPPING)


def test_token_and_duration_transducer():
    compare(
        "ParakeetForTDT",
        token_logits=RNG.normal(size=(2, 6, 4, 5)),
        duration_logits=RNG.normal(size=(2, 6, 4, 3)),
        labels=RNG.integers(0, 4, (2, 3)),
        logit_lengths=np.array([6, 5]),
        label_lengths=np.array([3, 2]),
        blank_token_id=4,
        durations=[0, 1, 2],
    )


B, Q, V, LAYERS = 2, 6, 5, 3


def scene(**settings):
    """Predictions, labels and a config of a detector."""
    config = SimpleNamespace(
        num_labels=V,
        auxiliary_loss=True,
        class_cost=2.0,
        bbox_cost=5.0,
        giou_cost=2.0,
        bbox_loss_coefficient=5.0,
        giou_loss_coefficient=2.0,
        focal_alpha=0.25,
        decoder_layers=LAYERS,
        **settings,
    )
    labels = [
        {
            "class_labels": RNG.integers(0, V, (count,)),
            "boxes": RNG.uniform(0.2, 0.5, (count, 4)),
        }
        for count in (3, 2)
    ]
    return {
        "logits": RNG.normal(size=(B, Q, V)),
        "labels": labels,
        "device": "cpu",
        "pred_boxes": RNG.uniform(0.2, 0.5, (B, Q, 4)),
        "config": config,
    }


def earlier(first):
    """The outputs of the decoder's layers, layers or images first."""
    axes = (LAYERS, B) if first == "layers" else (B, LAYERS)
    return {
        "outputs_class": RNG.normal(size=(*axes, Q, V)),
        "outputs_coord": RNG.uniform(0.2, 0.5, (*axes, Q, 4)),
    }


@pytest.mark.parametrize(
    "name", ["DeformableDetrForObjectDetection", "ConditionalDetrForObjectDetection"]
)
def test_deformable_detr(name):
    compare(name, **scene(), **earlier("layers"), two_stage=False)


RT_DETR = {
    "matcher_class_cost": 2.0,
    "matcher_bbox_cost": 5.0,
    "matcher_giou_cost": 2.0,
    "use_focal_loss": True,
    "matcher_alpha": 0.25,
    "matcher_gamma": 2.0,
    "weight_loss_vfl": 1.0,
    "weight_loss_bbox": 5.0,
    "weight_loss_giou": 2.0,
    "focal_loss_alpha": 0.75,
    "focal_loss_gamma": 2.0,
    "eos_coefficient": 1e-4,
}


def denoising_scene(**settings):
    arguments = scene(**RT_DETR, **settings)
    arguments["enc_topk_logits"] = RNG.normal(size=(B, Q, V))
    arguments["enc_topk_bboxes"] = RNG.uniform(0.2, 0.5, (B, Q, 4))
    return {**arguments, **earlier("images")}


def test_rt_detr():
    compare("RTDetrForObjectDetection", **denoising_scene())


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("DFineForObjectDetection", {}),
        ("Deimv2ForObjectDetection", {"mal_alpha": None, "use_dense_one_to_one": False}),
        ("Deimv2ForObjectDetection", {"mal_alpha": 0.5, "use_dense_one_to_one": True}),
    ],
)
def test_distributions_of_edges(name, settings):
    bins = 8
    arguments = denoising_scene(
        max_num_bins=bins,
        reg_scale=4.0,
        up=0.5,
        weight_loss_mal=1.0,
        weight_loss_fgl=0.15,
        weight_loss_ddf=1.5,
        **settings,
    )
    arguments["predicted_corners"] = RNG.normal(size=(B, LAYERS, Q, 4 * (bins + 1)))
    arguments["initial_reference_points"] = RNG.uniform(0.2, 0.5, (B, LAYERS, Q, 4))
    compare(name, **arguments)


def test_rf_detr_masks():
    arguments = scene(
        group_detr=1,
        class_loss_coefficient=1.0,
        mask_point_sample_ratio=1,
        mask_class_loss_coefficient=1.7,
        mask_dice_loss_coefficient=1.3,
    )
    size = (12, 10)
    for label in arguments["labels"]:
        shape = (len(label["class_labels"]), *size)
        label["masks"] = RNG.integers(0, 2, shape).astype("float64")
    arguments |= {
        "pred_masks": RNG.normal(size=(B, Q, *size)),
        "outputs_masks": RNG.normal(size=(LAYERS, B, Q, *size)),
        "enc_outputs_masks": RNG.normal(size=(B, Q, *size)),
        "enc_outputs_class": RNG.normal(size=(B, Q, V)),
        "enc_outputs_coord": RNG.uniform(0.2, 0.5, (B, Q, 4)),
    }
    compare("RfDetrForInstanceSegmentation", **arguments, **earlier("layers"))


def test_lw_detr():
    arguments = scene(group_detr=1, class_loss_coefficient=1.0)
    arguments["enc_outputs_class"] = RNG.normal(size=(B, Q, V))
    arguments["enc_outputs_coord"] = RNG.uniform(0.2, 0.5, (B, Q, 4))
    compare("LwDetrForObjectDetection", **arguments, **earlier("layers"))


def test_grounding_dino():
    arguments = scene(two_stage=False)
    for label in arguments["labels"]:
        label["class_labels"] = label["class_labels"] % (V - 1)
    mask = np.ones((B, Q, V), dtype=bool)
    mask[1, :, -1] = False
    label_maps = [np.eye(V)[: V - 1] for _ in range(B)]  # a token for each class
    compare(
        "GroundingDinoForObjectDetection",
        **arguments,
        label_maps=label_maps,
        text_mask=mask,
        **earlier("layers"),
    )
