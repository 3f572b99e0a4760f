"""Modalities: what a model that reads anything (Perceiver) is given in its one argument."""

from __future__ import annotations

import numpy as np

from keraform.verify.inputs.scene import Scene


def neighbourhoods(scene: Scene) -> np.ndarray | None:
    """Of each pixel of two frames, itself and its neighbours: `[batch, 2, 27, height, width]`."""
    if not scene.class_name.endswith("ForOpticalFlow"):
        return None
    return scene.rng.normal(size=(scene.batch, 2, 27, *scene.get("train_size")))


def video_with_sound(scene: Scene) -> dict[str, np.ndarray] | None:
    """A video, its sound, and what it shows, which is asked for."""
    if not scene.class_name.endswith("ForMultimodalAutoencoding"):
        return None
    frames, size = scene.get("num_frames"), scene.get("image_size")
    samples = frames * scene.get("audio_samples_per_frame")
    return {
        "image": scene.rng.normal(size=(scene.batch, frames, 3, size, size)),
        "audio": scene.rng.normal(size=(scene.batch, samples, 1)),
        "label": np.zeros((scene.batch, scene.get("num_labels"))),
    }


def decoded_points(scene: Scene) -> dict[str, np.ndarray | None] | None:
    """Which pixels and which parts of the sound are decoded."""
    if not scene.class_name.endswith("ForMultimodalAutoencoding"):
        return None
    return {"image": np.arange(10, 30), "audio": np.arange(3), "label": None}
