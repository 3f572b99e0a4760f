"""Losses that are translated when they are asked for, against upstream's in float64."""

from __future__ import annotations

from types import SimpleNamespace

import keras
import numpy as np
import pytest
import torch
from keras import ops
from transformers.loss import loss_utils

from keraform.runtime.precision import lift_casts
from keraform.training import losses
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
    """The loss of a class's name on both sides, and all losses by name."""
    with torch_precision("float64", lift=True):
        wanted = loss_utils.LOSS_MAPPING[name](**converted(arguments, torch.tensor))
    arguments.pop("device", None)  # which ports do not pass
    with lift_casts():
        found = losses.LOSS_MAPPING[name](**converted(arguments, ops.convert_to_tensor))
    if isinstance(wanted, torch.Tensor):
        wanted, found = (wanted, {}), (found, {})
    assert set(found[1]) == set(wanted[1])
    pairs = {"loss": (found[0], wanted[0])} | {k: (found[1][k], v) for k, v in wanted[1].items()}
    for key, (ours, theirs) in pairs.items():
        np.testing.assert_allclose(
            ops.convert_to_numpy(ours), theirs.numpy(), rtol=1e-9, atol=1e-9, err_msg=key
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


def test_rt_detr():
    settings = {
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
    arguments = scene(**settings)
    arguments["enc_topk_logits"] = RNG.normal(size=(B, Q, V))
    arguments["enc_topk_bboxes"] = RNG.uniform(0.2, 0.5, (B, Q, 4))
    compare("RTDetrForObjectDetection", **arguments, **earlier("images"))


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
