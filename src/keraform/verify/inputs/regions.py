"""Regions: what a detector has found in an image, for a model of text."""

from __future__ import annotations

import numpy as np

from keraform.verify.inputs.scene import CHOICES, Scene
from keraform.verify.inputs.text import has_choices

REGIONS = 6


def regions(scene: Scene) -> np.ndarray:
    """Features of regions that a detector has found: `[batch, regions, width]`."""
    return scene.rng.normal(size=(scene.batch, REGIONS, scene.get("visual_feat_dim", 1)))


def region_boxes(scene: Scene) -> np.ndarray:
    """Corners of the regions, relative to the image."""
    return np.sort(scene.rng.uniform(size=(scene.batch, REGIONS, 4)), -1)


def visual_embeds(scene: Scene) -> np.ndarray | None:
    """Features of regions, for a model of text."""
    width = scene.get("visual_embedding_dim")
    return None if width is None else scene.rng.normal(size=(*_regions_of(scene), width))


def visual_mask(scene: Scene) -> np.ndarray | None:
    """1 = a region; the last one of the first row is none."""
    if scene.get("visual_embedding_dim") is None:
        return None
    mask = np.ones(_regions_of(scene), "int64")
    if scene.masks:
        mask[0, ..., -1] = 0
    return mask


def _regions_of(scene: Scene) -> tuple[int, ...]:
    """Rows and regions, between them the choices where there are several."""
    return (scene.batch, *((CHOICES,) if has_choices(scene) else ()), REGIONS)


def region_positions(scene: Scene) -> np.ndarray:
    """The token that each region belongs to; -1 for none."""
    return scene.rng.integers(0, scene.length, (scene.batch, scene.length + REGIONS))
