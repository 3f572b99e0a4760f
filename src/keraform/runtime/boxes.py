"""Boxes [..., 4] in two forms, by upstream's names: centre, width and height, or corners."""

from __future__ import annotations

from keras import ops

from keraform.runtime.layers import Tensor


def center_to_corners_format(bboxes_center: Tensor) -> Tensor:
    """Left, top, right and bottom of boxes [..., 4] given as centre, width and height."""
    centre, half = bboxes_center[..., :2], bboxes_center[..., 2:] / 2
    return ops.concatenate([centre - half, centre + half], axis=-1)


def corners_to_center_format(bboxes_corners: Tensor) -> Tensor:
    """Centre, width and height of boxes [..., 4] given as left, top, right and bottom."""
    first, last = bboxes_corners[..., :2], bboxes_corners[..., 2:]
    return ops.concatenate([(first + last) / 2, last - first], axis=-1)
