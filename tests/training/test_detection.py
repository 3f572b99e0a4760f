"""DETR's losses against upstream's in float64, with gradients."""

from __future__ import annotations

from types import SimpleNamespace

import keras
import numpy as np
import pytest
import torch
from keras import ops
from transformers import image_transforms
from transformers.loss import loss_deformable_detr, loss_for_object_detection

from keraform.runtime.boxes import center_to_corners_format, corners_to_center_format
from keraform.runtime.matching import linear_sum_assignment
from keraform.runtime.precision import lift_casts
from keraform.training import detection
from keraform.verify.lift import torch_precision

RNG = np.random.default_rng(0)
B, Q, V, LAYERS = 3, 7, 5, 3
OBJECTS = (2, 0, 4)

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="gradients are taken by a tape"
)


def config(auxiliary: bool) -> SimpleNamespace:
    return SimpleNamespace(
        num_labels=V,
        auxiliary_loss=auxiliary,
        decoder_layers=LAYERS,
        class_cost=1.1,
        bbox_cost=5.3,
        giou_cost=2.7,
        eos_coefficient=0.1,
        bbox_loss_coefficient=5.1,
        giou_loss_coefficient=2.3,
        focal_alpha=0.3,
        mask_loss_coefficient=1.7,
        dice_loss_coefficient=1.3,
    )


def boxes(*shape: int) -> np.ndarray:
    return RNG.uniform(0.1, 0.5, (*shape, 4))


def labels() -> list[dict[str, np.ndarray]]:
    """Images with two, no and four objects, whose masks differ in size."""
    return [
        {
            "class_labels": RNG.integers(0, V, n),
            "boxes": boxes(n),
            "masks": RNG.integers(0, 2, (n, 11 + image, 8 - image)).astype("float64"),
        }
        for image, n in enumerate(OBJECTS)
    ]


@pytest.mark.parametrize("auxiliary", [False, True])
@pytest.mark.parametrize(
    "name", ["ForObjectDetectionLoss", "ForSegmentationLoss", "DeformableDetrForSegmentationLoss"]
)
def test_losses_and_gradients(name, auxiliary):
    import tensorflow as tf

    classes = V if name.startswith("Deformable") else V + 1
    values = {
        "logits": RNG.normal(size=(B, Q, classes)),
        "pred_boxes": boxes(B, Q),
        "outputs_class": RNG.normal(size=(LAYERS, B, Q, classes)),
        "outputs_coord": boxes(LAYERS, B, Q),
    }
    if name.endswith("SegmentationLoss"):
        values["pred_masks"] = RNG.normal(size=(B, Q, 5, 4))
    upstream = loss_deformable_detr if name.startswith("Deformable") else loss_for_object_detection
    targets = labels()
    settings = {"config": config(auxiliary)}

    theirs = {key: torch.tensor(value, requires_grad=True) for key, value in values.items()}
    given = [{key: torch.tensor(value) for key, value in each.items()} for each in targets]
    with torch_precision("float64", lift=True):
        wanted, wanted_by_name, wanted_earlier = getattr(upstream, name)(
            labels=given, device="cpu", **theirs, **settings
        )
    wanted.backward()

    ours = {key: ops.convert_to_tensor(value) for key, value in values.items()}
    given = [{key: ops.convert_to_tensor(value) for key, value in each.items()} for each in targets]
    with lift_casts(), tf.GradientTape() as tape:
        tape.watch(list(ours.values()))
        found, by_name, earlier = getattr(detection, name)(labels=given, **ours, **settings)
    gradients = dict(zip(ours, tape.gradient(found, list(ours.values())), strict=True))

    np.testing.assert_allclose(found.numpy(), wanted.detach().numpy(), rtol=1e-12)
    assert set(by_name) == set(wanted_by_name)
    for key, loss in by_name.items():
        np.testing.assert_allclose(loss.numpy(), wanted_by_name[key].detach().numpy(), rtol=1e-6)
    assert (earlier is None) == (wanted_earlier is None)
    for key, tensor in theirs.items():
        if tensor.grad is not None:
            np.testing.assert_allclose(
                gradients[key].numpy(), tensor.grad.numpy(), rtol=0, atol=1e-12, err_msg=key
            )


def test_the_matching_is_the_cheapest_also_in_a_graph():
    import tensorflow as tf

    cost = np.array([[3.0, 1.0], [2.0, 4.0], [0.5, 9.0]])
    for call in (linear_sum_assignment, tf.function(linear_sum_assignment, autograph=False)):
        queries, objects = call(ops.convert_to_tensor(cost))
        assert queries.numpy().tolist() == [0, 2]
        assert objects.numpy().tolist() == [1, 0]
    dearest = linear_sum_assignment(ops.convert_to_tensor(cost), maximize=True)
    assert [places.numpy().tolist() for places in dearest] == [[0, 2], [0, 1]]


def test_overlaps_of_boxes():
    a = ops.convert_to_tensor([[0.0, 0.0, 2.0, 2.0]])
    same, apart = a, ops.convert_to_tensor([[2.0, 0.0, 4.0, 2.0]])
    assert float(detection.generalized_iou(a, same)[0]) == 1.0
    assert float(detection.generalized_iou(a, apart)[0]) == 0.0
    far = ops.convert_to_tensor([[6.0, 0.0, 8.0, 2.0]])
    assert float(detection.generalized_iou(a, far)[0]) == -0.5


def test_forms_of_boxes():
    centred = ops.convert_to_tensor(RNG.uniform(0.2, 0.5, (2, 3, 4)))
    cornered = center_to_corners_format(centred)
    theirs = image_transforms.center_to_corners_format(torch.tensor(centred.numpy()))
    np.testing.assert_allclose(cornered.numpy(), theirs.numpy(), rtol=1e-12)
    back = corners_to_center_format(cornered).numpy()
    np.testing.assert_allclose(back, centred.numpy(), rtol=1e-12)
    theirs = image_transforms.corners_to_center_format(torch.tensor(cornered.numpy()))
    np.testing.assert_allclose(back, theirs.numpy(), rtol=1e-12)
