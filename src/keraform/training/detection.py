"""DETR's losses: each object is matched with one query, and class, box and mask are compared.

Labels are a list with one dict for each image: `class_labels` [n], `boxes` [n, 4] as centre, width
and height in shares of the image, and for segmentation `masks` [n, h, w]. Queries that are matched
with nothing shall predict the last class, "no object".

Reference: Carion et al., End-to-End Object Detection with Transformers, 2020.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from keras import ops

from keraform.runtime import ops as kf
from keraform.runtime.boxes import center_to_corners_format
from keraform.runtime.layers import Tensor
from keraform.runtime.matching import linear_sum_assignment

Labels: TypeAlias = list[dict[str, Tensor]]
# For each image the matched queries and, in the same order, the objects they are matched with.
Matching: TypeAlias = list[tuple[Tensor, Tensor]]
Losses: TypeAlias = dict[str, Tensor]

FOCAL_ALPHA, FOCAL_GAMMA = 0.25, 2


def ForObjectDetectionLoss(
    logits: Tensor,
    labels: Labels,
    pred_boxes: Tensor,
    config: Any,
    outputs_class: Tensor | None = None,
    outputs_coord: Tensor | None = None,
    **kwargs: Any,
) -> tuple[Tensor, Losses, list[dict[str, Tensor]] | None]:
    """The weighted sum of the losses of classes [b, q, v] and boxes [b, q, 4]; all losses by name;
    and the outputs of the earlier decoder layers, [layers, b, q, ...], if they are trained too.
    """
    return _total(logits, labels, pred_boxes, None, config, outputs_class, outputs_coord)


def ForSegmentationLoss(
    logits: Tensor,
    labels: Labels,
    pred_boxes: Tensor,
    pred_masks: Tensor,
    config: Any,
    outputs_class: Tensor | None = None,
    outputs_coord: Tensor | None = None,
    **kwargs: Any,
) -> tuple[Tensor, Losses, list[dict[str, Tensor]] | None]:
    """As `ForObjectDetectionLoss`, with those of the masks [b, q, h, w]."""
    return _total(logits, labels, pred_boxes, pred_masks, config, outputs_class, outputs_coord)


def DeformableDetrForSegmentationLoss(
    logits: Tensor,
    labels: Labels,
    pred_boxes: Tensor,
    pred_masks: Tensor,
    config: Any,
    outputs_class: Tensor | None = None,
    outputs_coord: Tensor | None = None,
    **kwargs: Any,
) -> tuple[Tensor, Losses, list[dict[str, Tensor]] | None]:
    """As `ForSegmentationLoss`, with a focal loss of classes [b, q, v]: queries that are matched
    with nothing shall predict none of them.
    """
    return _total(
        logits, labels, pred_boxes, pred_masks, config, outputs_class, outputs_coord, _FOCAL
    )


def _total(
    logits: Tensor,
    labels: Labels,
    boxes: Tensor,
    masks: Tensor | None,
    config: Any,
    earlier_logits: Tensor | None,
    earlier_boxes: Tensor | None,
    classes: _Classes | None = None,
) -> tuple[Tensor, Losses, list[dict[str, Tensor]] | None]:
    classes = classes or _SOFTMAX
    losses = _losses(logits, boxes, masks, labels, config, classes)
    auxiliary = None
    if config.auxiliary_loss:
        assert earlier_logits is not None and earlier_boxes is not None  # models then keep them
        auxiliary = [
            {"logits": earlier_logits[layer], "pred_boxes": earlier_boxes[layer]}
            for layer in range(earlier_logits.shape[0] - 1)
        ]
        for layer, outputs in enumerate(auxiliary):
            # masks of earlier layers are not made
            found = _losses(outputs["logits"], outputs["pred_boxes"], None, labels, config, classes)
            losses |= {f"{name}_{layer}": loss for name, loss in found.items()}
    weights = {
        "loss_ce": 1.0,
        "loss_bbox": config.bbox_loss_coefficient,
        "loss_giou": config.giou_loss_coefficient,
        "loss_mask": getattr(config, "mask_loss_coefficient", 0.0),
        "loss_dice": getattr(config, "dice_loss_coefficient", 0.0),
    }
    total = ops.zeros((), logits.dtype)
    for name, loss in losses.items():
        total = total + weights.get(name.rstrip("_0123456789"), 0.0) * loss
    return total, losses, auxiliary


def _losses(
    logits: Tensor,
    boxes: Tensor,
    masks: Tensor | None,
    labels: Labels,
    config: Any,
    classes: _Classes,
) -> Losses:
    matching = [
        linear_sum_assignment(_cost(logits[image], boxes[image], target, config))
        for image, target in enumerate(labels)
    ]
    count = sum(ops.shape(target["class_labels"])[0] for target in labels)
    count = ops.maximum(ops.cast(count, logits.dtype), 1)
    losses = {
        "loss_ce": classes.loss(logits, labels, matching, config, count),
        **_box_losses(boxes, labels, matching, count),
        "cardinality_error": _cardinality_error(classes.found(logits), labels),
    }
    return losses if masks is None else losses | _mask_losses(masks, labels, matching, count)


def _cost(logits: Tensor, boxes: Tensor, target: dict[str, Tensor], config: Any) -> Tensor:
    """What it costs to match each query with each object: [q, n]."""
    classes = ops.take(ops.softmax(logits, axis=-1), target["class_labels"], axis=-1)
    apart = ops.abs(boxes[:, None] - target["boxes"][None])
    overlap = generalized_iou(
        center_to_corners_format(boxes)[:, None], center_to_corners_format(target["boxes"])[None]
    )
    cost = (
        config.bbox_cost * ops.sum(apart, axis=-1)
        - config.class_cost * classes
        - config.giou_cost * overlap
    )
    # what has no number is matched only when nothing else is left
    most = kf.finfo(cost.dtype).max
    return ops.where(ops.isfinite(cost), cost, ops.full_like(cost, most))


def _class_loss(
    logits: Tensor, labels: Labels, matching: Matching, config: Any, count: Tensor
) -> Tensor:
    """Cross entropy of classes, the last of which is "no object" with a weight of its own."""
    nothing = config.num_labels
    weight = np.ones(nothing + 1)
    weight[nothing] = config.eos_coefficient
    weight = ops.convert_to_tensor(weight, logits.dtype)
    wanted = _wanted_classes(logits, labels, matching, nothing)
    return kf.cross_entropy(ops.transpose(logits, (0, 2, 1)), wanted, weight)


def _focal_classes(
    logits: Tensor, labels: Labels, matching: Matching, config: Any, count: Tensor
) -> Tensor:
    """Focal loss of each class by itself, for each object."""
    wanted = _wanted_classes(logits, labels, matching, config.num_labels)
    one_hot = ops.one_hot(wanted, config.num_labels + 1, dtype=logits.dtype)[..., :-1]
    focal = _focal(logits, one_hot, config.focal_alpha)
    return ops.sum(ops.mean(focal, axis=1)) / count * logits.shape[1]


def _wanted_classes(logits: Tensor, labels: Labels, matching: Matching, nothing: int) -> Tensor:
    """The class of each query's object, [b, q]; `nothing` for a query without one."""
    wanted = []
    for target, (queries, objects) in zip(labels, matching, strict=True):
        classes = ops.cast(ops.take(target["class_labels"], objects, axis=0), "int32")
        empty = ops.full((logits.shape[1],), nothing, dtype="int32")
        wanted.append(ops.scatter_update(empty, ops.expand_dims(queries, -1), classes))
    return ops.stack(wanted)


def _cardinality_error(found: Tensor, labels: Labels) -> Tensor:
    """How many objects are predicted too many or too few; to look at, without a gradient."""
    found = ops.sum(ops.cast(found, "float32"), axis=1)
    counts = [ops.cast(ops.shape(target["class_labels"])[0], "float32") for target in labels]
    return ops.mean(ops.abs(found - ops.stack(counts)))


@dataclass(frozen=True)
class _Classes:
    """A way to predict classes: its loss, and the queries [b, q] that predict an object."""

    loss: Callable[..., Tensor]
    found: Callable[[Tensor], Tensor]


_SOFTMAX = _Classes(
    _class_loss, lambda logits: ops.not_equal(ops.argmax(logits, axis=-1), logits.shape[-1] - 1)
)
_FOCAL = _Classes(_focal_classes, lambda logits: ops.max(logits, axis=-1) > 0)


def _box_losses(boxes: Tensor, labels: Labels, matching: Matching, count: Tensor) -> Losses:
    ours, theirs = _pairs(boxes, [target["boxes"] for target in labels], matching)
    overlap = generalized_iou(center_to_corners_format(ours), center_to_corners_format(theirs))
    return {
        "loss_bbox": ops.sum(ops.abs(ours - theirs)) / count,
        "loss_giou": ops.sum(1 - overlap) / count,
    }


def _pairs(values: Tensor, targets: list[Tensor], matching: Matching) -> tuple[Tensor, Tensor]:
    """The matched entries of `values` [b, q, ...] and of the targets, those of all images in a
    row.
    """
    rows = enumerate(zip(targets, matching, strict=True))
    pairs = [
        (ops.take(values[image], queries, axis=0), ops.take(target, objects, axis=0))
        for image, (target, (queries, objects)) in rows
    ]
    ours, theirs = zip(*pairs, strict=True)
    return ops.concatenate(ours), ops.cast(ops.concatenate(theirs), values.dtype)


def _mask_losses(masks: Tensor, labels: Labels, matching: Matching, count: Tensor) -> Losses:
    """Focal and dice loss of the masks, resized to the largest image's size."""
    sizes = [ops.shape(target["masks"])[1:] for target in labels]
    height, width = (max(size[axis] for size in sizes) for axis in (0, 1))
    padded = [
        ops.pad(target["masks"], ((0, 0), (0, height - size[0]), (0, width - size[1])))
        for target, size in zip(labels, sizes, strict=True)
    ]
    ours, theirs = _pairs(masks, padded, matching)
    ours = kf.interpolate(
        ops.expand_dims(ours, 1), size=(height, width), mode="bilinear", align_corners=False
    )
    ours, theirs = (ops.reshape(each, (-1, height * width)) for each in (ours, theirs))
    return {
        "loss_mask": ops.sum(ops.mean(_focal(ours, theirs), axis=1)) / count,
        "loss_dice": ops.sum(_dice(ops.sigmoid(ours), theirs)) / count,
    }


def _focal(logits: Tensor, targets: Tensor, alpha: float = FOCAL_ALPHA) -> Tensor:
    """Binary cross entropy in which what is right already counts less (Lin et al., 2017)."""
    entropy = kf.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    shares = ops.sigmoid(logits)
    right = shares * targets + (1 - shares) * (1 - targets)
    balance = alpha * targets + (1 - alpha) * (1 - targets)
    return balance * entropy * (1 - right) ** FOCAL_GAMMA


def _dice(shares: Tensor, targets: Tensor) -> Tensor:
    """One less twice the overlap's share of both masks, for each pair."""
    both = 2 * ops.sum(shares * targets, axis=1)
    return 1 - (both + 1) / (ops.sum(shares, axis=1) + ops.sum(targets, axis=1) + 1)


def generalized_iou(a: Tensor, b: Tensor) -> Tensor:
    """The overlap of boxes [..., 4] given by corners: intersection over union, less the share of
    the box around both that belongs to neither (Rezatofighi et al., 2019).
    """
    union = _area(a) + _area(b)
    lowest, highest = ops.minimum(a, b), ops.maximum(a, b)
    both = _area(ops.concatenate([highest[..., :2], lowest[..., 2:]], axis=-1))
    around = _area(ops.concatenate([lowest[..., :2], highest[..., 2:]], axis=-1))
    union = union - both
    return both / union - (around - union) / around


def _area(boxes: Tensor) -> Tensor:
    """The area of boxes by corners; 0 where an edge would be negative."""
    edges = ops.maximum(boxes[..., 2:] - boxes[..., :2], 0)
    return edges[..., 0] * edges[..., 1]
