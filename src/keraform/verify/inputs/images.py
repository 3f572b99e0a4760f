"""Images: whole, in batches of several, as videos, and as flat patches with a grid."""

from __future__ import annotations

import numpy as np

from keraform.verify.inputs.scene import Scene, parts

# Of a model that takes any size; odd and even lengths at each level of a convolutional one.
ANY_IMAGE_SIZE = {"convnext": (72, 44), "resnet": (70, 44), "detr": (102, 68)}
ANY_SIZE = (64, 96)
IMAGES = 2
FRAMES = 2


def image_shape(scene: Scene) -> tuple[int, int]:
    """Height and width; different ones where the model has no table of positions for one size."""
    for config in (scene.config, *parts(scene.config, "image")):
        if config.model_type in ANY_IMAGE_SIZE:
            return ANY_IMAGE_SIZE[config.model_type]
    size = scene.find("image", "image_size", "img_size", "pretrain_image_size", default=ANY_SIZE)
    if isinstance(size, dict):
        size = size.get("height", size.get("longest_edge")), size.get("width")
    return (size, size) if isinstance(size, int) else (size[0], size[-1] or size[0])


def channels(scene: Scene) -> int:
    """Of an image."""
    names = ("num_channels", "in_channels", "in_chans", "input_channels", "num_image_channels")
    found = scene.find("image", *names, default=3)
    return found if isinstance(found, int) else found[0]


def patch_size(scene: Scene) -> tuple[int, int]:
    """Height and width of a patch."""
    size = scene.find("image", "patch_size", "spatial_patch_size", default=16)
    if isinstance(size, dict):
        size = list(size.values())
    return (size, size) if isinstance(size, int) else (size[0], size[-1])


def patches(scene: Scene) -> int:
    """How many patches an image has."""
    height, width = image_shape(scene)
    tall, wide = patch_size(scene)
    return (height // tall) * (width // wide)


def _pixels(scene: Scene, *between: int) -> np.ndarray:
    return scene.rng.normal(size=(scene.batch, *between, *image_shape(scene)))


def image(scene: Scene) -> np.ndarray:
    """One image a row: `[batch, channels, height, width]`."""
    return _pixels(scene, channels(scene))


def colour_image(scene: Scene) -> np.ndarray:
    """Of three channels, whatever the config says."""
    return _pixels(scene, 3)


def several_images(scene: Scene) -> np.ndarray:
    """Several images a row, before the channels."""
    return _pixels(scene, IMAGES, channels(scene))


def video(scene: Scene) -> np.ndarray:
    """Frames before channels."""
    frames = scene.find("image", "num_frames", "frames", default=FRAMES)
    return _pixels(scene, frames, channels(scene))


def grid(scene: Scene) -> np.ndarray:
    """Frames, rows and columns of patches of each image."""
    merge = scene.find("image", "spatial_merge_size", "merge_size", default=2)
    return np.array([(1, 2 * merge, 3 * merge)] * scene.batch, "int64")


def flat_patches(scene: Scene) -> np.ndarray | None:
    """All patches of all images, each as one row."""
    if not {"image_grid_thw", "grid_thw", "video_grid_thw", "image_grid_hws"} & set(scene.names):
        return None
    tall, wide = patch_size(scene)
    depth = scene.find("image", "temporal_patch_size", default=1)
    count = int(grid(scene).prod(-1).sum())
    return scene.rng.normal(size=(count, channels(scene) * depth * tall * wide))


def pixel_mask(scene: Scene) -> np.ndarray | None:
    """1 = a pixel of the image; padded on the right and at the bottom."""
    if not scene.masks:
        return None
    mask = np.ones((scene.batch, *image_shape(scene)), "int64")
    mask[0, :, -20:] = 0
    if scene.batch > 1:
        mask[1, -30:, :] = 0
    return mask


def image_sizes(scene: Scene) -> np.ndarray:
    """Height and width of each image."""
    return np.array([image_shape(scene)] * scene.batch, "int64")


def bool_masked_pos(scene: Scene) -> np.ndarray | None:
    """The patches that pretraining hides."""
    if not scene.class_name.endswith(("ForMaskedImageModeling", "ForPreTraining")):
        return None
    return scene.rng.integers(0, 2, (scene.batch, patches(scene))).astype(bool)
