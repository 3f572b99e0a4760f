"""Images: whole, in batches of several, as videos, and as flat patches with a grid."""

from __future__ import annotations

import numpy as np

from keraform.verify.inputs.scene import Scene, parts

# Of a model that takes any size; odd and even lengths at each level of a convolutional one.
# Gemma 4 pools three patches on a side; Depth Pro makes its image four times smaller; the
# quantisers of Chameleon and Emu3, made tiny, have a token for every four pixels.
ANY_IMAGE_SIZE = {
    "convnext": (72, 44),
    "resnet": (70, 44),
    "detr": (102, 68),
    "gemma4_vision": (48, 96),
    "depth_pro": (128, 128),
    "chameleon_vqgan": (16, 24),
    "emu3_vqgan": (16, 24),
    "layoutlmv3": (32, 32),
    "janus_vqgan": (64, 64),
    "tvp": (64, 64),
    "omdet-turbo": (64, 96),
    "pp_ocrv6_tiny_rec": (48, 96),
    "pp_ocrv5_mobile_rec": (96, 128),
}
ANY_SIZE = (64, 96)
IMAGES = 2
FRAMES = 2


def image_shape(scene: Scene) -> tuple[int, int]:
    """Height and width; different ones where the model has no table of positions for one size."""
    for config in (scene.config, *parts(scene.config, "image")):
        if config.model_type in ANY_IMAGE_SIZE:
            return ANY_IMAGE_SIZE[config.model_type]
        if getattr(config, "image_size", None) is not None:
            break
    size = scene.find("image", "image_size", "img_size", "pretrain_image_size", default=ANY_SIZE)
    if isinstance(size, dict):
        size = size.get("height", size.get("longest_edge")), size.get("width")
    height, width = (size, size) if isinstance(size, int) else (size[0], size[-1] or size[0])
    return (height // 2, width) if "prompt_pixel_values" in scene.names else (height, width)


def channels(scene: Scene) -> int:
    """Of an image."""
    names = ("num_channels", "in_channels", "in_chans", "input_channels", "num_image_channels")
    found = scene.find("image", *names, default=3)
    return found if isinstance(found, int) else found[0]


def patch_size(scene: Scene) -> tuple[int, int]:
    """Height and width of a patch."""
    names = ("model_patch_size", "patch_size", "spatial_patch_size")
    size = scene.find("image", *names, default=16)
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


# Arguments that say how many rows and columns of patches an image has.
GRIDS = frozenset(
    {"image_grid_thw", "grid_thw", "video_grid_thw", "image_grid_hws", "image_grid_hw"}
)


def grid(scene: Scene) -> np.ndarray:
    """Frames, rows and columns of patches of each image."""
    merge = scene.find("image", "spatial_merge_size", "merge_size", default=2)
    return np.array([(1, 2 * merge, 3 * merge)] * scene.batch, "int64")


def grids(scene: Scene) -> np.ndarray:
    """Frames, rows and columns of patches of each image; after that of each row the one that is to
    be painted, for a model that paints.
    """
    return np.repeat(grid(scene), painted(scene)[0], 0) if paints(scene) else grid(scene)


def paints(scene: Scene) -> bool:
    """Whether an image is to be painted."""
    return "images_per_sample" in scene.names


def painted(scene: Scene) -> np.ndarray:
    """How many images belong to each row, the one that is to be painted too."""
    return np.full((scene.batch,), 2, "int64")


def flat_grid(scene: Scene) -> np.ndarray:
    """Rows and columns of patches of each image."""
    return grid(scene)[:, 1:]


def flat_patches(scene: Scene) -> np.ndarray | None:
    """All patches of all images, each as one row."""
    if not GRIDS & set(scene.names):
        return None
    tall, wide = patch_size(scene)
    count = int(grid(scene).prod(-1).sum())
    return scene.rng.normal(size=(count, channels(scene) * patch_depth(scene) * tall * wide))


def patch_depth(scene: Scene) -> int:
    """How many frames a patch has."""
    return int(scene.find("image", "temporal_patch_size", "patch_temporal", default=1))


def square_patches(scene: Scene) -> np.ndarray | None:
    """All patches of all images: `[patches, channels, height, width]`."""
    flat = flat_patches(scene)
    tall, wide = patch_size(scene)
    return None if flat is None else flat.reshape(len(flat), -1, tall, wide)


def padded_patches(scene: Scene) -> np.ndarray | None:
    """The patches of each image as a row: `[batch, patches, pixels of a patch]`."""
    flat = flat_patches(scene)
    return None if flat is None else flat.reshape(scene.batch, -1, flat.shape[-1])


def packed_patches(scene: Scene) -> np.ndarray | None:
    """All patches of all images as one row: `[1, patches, channels, height, width]`."""
    square = square_patches(scene)
    return None if square is None else square[None]


def rows_of_patches(scene: Scene) -> np.ndarray:
    """Each image as a row of flat patches: `[batch, patches, pixels of a patch]`."""
    tall, wide = patch_size(scene)
    pixels = channels(scene) * patch_depth(scene) * tall * wide
    return scene.rng.normal(size=(scene.batch, patches(scene), pixels))


def strip(scene: Scene) -> np.ndarray:
    """All patches of all images side by side: `[1, channels, height, patches * width]`."""
    tall, wide = patch_size(scene)
    count = scene.batch * patches(scene)
    return scene.rng.normal(size=(1, channels(scene), tall, count * wide))


def merged_patches(scene: Scene) -> np.ndarray | None:
    """As many pixels as stand for one token: `[tokens, height, width, channels]`."""
    if flat_patches(scene) is None:
        return None
    tall, wide = patch_size(scene)
    merge = scene.find("image", "spatial_merge_size", "merge_size", default=2)
    size = (int(grid(scene).prod(-1).sum()), merge * tall, merge * wide, channels(scene))
    return scene.rng.normal(size=size)


def flat_rows(scene: Scene) -> np.ndarray:
    """All patches of all images, one image after the other: `[patches, pixels of a patch]`."""
    rows = rows_of_patches(scene)
    return rows.reshape(-1, rows.shape[-1])


def patch_mask(scene: Scene) -> np.ndarray:
    """1 = a patch of the image; the last rows of patches of the first image are padding."""
    mask = np.ones((scene.batch, patches(scene)), "int64")
    if has_padded_rows(scene):
        rows, columns = patch_grid(scene)[0]
        mask[0, (rows - padded_rows(scene)) * columns :] = 0
    return mask


def has_padded_rows(scene: Scene) -> bool:
    """Whether an image has rows of padding; not where every row of text has as many tokens for its
    image.
    """
    token = scene.find("text", "image_token_id", "image_token_index")
    return scene.masks and ("input_ids" not in scene.names or token is None)


def padded_rows(scene: Scene) -> int:
    """How many rows of patches are padding: as many as become one."""
    return int(scene.find("image", "downsample_factor", default=1))


def spatial_shapes(scene: Scene) -> np.ndarray:
    """Rows and columns of patches that are not padding (`patch_mask`)."""
    shapes = patch_grid(scene)
    if has_padded_rows(scene):
        shapes[0, 0] -= padded_rows(scene)
    return shapes


def patch_positions(scene: Scene) -> np.ndarray:
    """Column and row of each patch; -1 where it is padding."""
    rows, columns = patch_grid(scene)[0]
    column, row = np.meshgrid(np.arange(columns), np.arange(rows))
    positions = np.stack([column.ravel(), row.ravel()], -1).astype("int64")
    return np.tile(positions, (scene.batch, 1, 1))


def merge_sizes(scene: Scene) -> np.ndarray:
    """How many patches on a side become one, of each image."""
    merge = scene.find("image", "spatial_merge_size", "merge_size", default=2)
    return np.full((scene.batch,), merge, "int64")


TILES = 4


def tiles(scene: Scene) -> np.ndarray | None:
    """One image a row, in tiles: `[batch, images, tiles, channels, height, width]`."""
    count = scene.find("image", "max_num_tiles")
    return None if count is None else _pixels(scene, 1, count, channels(scene))


def aspect_ratio_ids(scene: Scene) -> np.ndarray:
    """How the tiles of each image lie, from 1; 0 is no image."""
    return scene.rng.integers(1, 4, (scene.batch, 1))


def aspect_ratio_mask(scene: Scene) -> np.ndarray:
    """1 = a tile of the image: `[batch, images, tiles]`."""
    mask = np.ones((scene.batch, 1, scene.find("image", "max_num_tiles", default=TILES)), "int64")
    if scene.masks:
        mask[0, :, 2:] = 0
    return mask


def pixel_mask(scene: Scene) -> np.ndarray | None:
    """1 = a pixel of the image; padded on the right and at the bottom."""
    if not scene.masks:
        return None
    mask = np.ones((scene.batch, *image_shape(scene)), "int64")
    mask[0, :, -20:] = 0
    if scene.batch > 1:
        mask[1, -30:, :] = 0
    return mask


def several_pixel_masks(scene: Scene) -> np.ndarray:
    """1 = a pixel, of each of several images."""
    return np.ones((scene.batch, IMAGES, *image_shape(scene)), "int64")


def image_flags(scene: Scene) -> np.ndarray:
    """1 = an image, of several of a row."""
    return np.ones((scene.batch, IMAGES), "int64")


def image_truths(scene: Scene) -> np.ndarray:
    """True = an image, of several of a row."""
    return image_flags(scene).astype(bool)


def large_image(scene: Scene) -> np.ndarray:
    """The image again, of the size that a second encoder wants."""
    for config in parts(scene.config, "image"):
        if "high_res" in config.model_type or "sam" in config.model_type:
            size = config.image_size
            return scene.rng.normal(size=(scene.batch, channels(scene), size, size))
    return image(scene)


def patch_grid(scene: Scene) -> np.ndarray:
    """Rows and columns of patches of each image."""
    height, width = image_shape(scene)
    tall, wide = patch_size(scene)
    return np.array([(height // tall, width // wide)] * scene.batch, "int64")


def image_sizes(scene: Scene) -> np.ndarray:
    """Height and width of each image."""
    return np.array([image_shape(scene)] * scene.batch, "int64")


def bool_masked_pos(scene: Scene) -> np.ndarray | None:
    """The patches that pretraining hides."""
    if not scene.class_name.endswith(("ForMaskedImageModeling", "ForPreTraining")):
        return None
    tubes = scene.get("tubelet_size")
    if not isinstance(tubes, int):
        return scene.rng.integers(0, 2, (scene.batch, patches(scene))).astype(bool)
    mask = np.zeros((scene.batch, patches(scene) * scene.config.num_frames // tubes), bool)
    mask[:, ::2] = True  # as many of each video
    return mask


def codebook_image(scene: Scene) -> np.ndarray:
    """The image for a model that gives each patch a word: eight pixels a patch."""
    height, width = image_shape(scene)
    tall, wide = patch_size(scene)
    size = 8 * (height // tall), 8 * (width // wide)
    return scene.rng.normal(size=(scene.batch, 3, *size))


def patches_with_places(scene: Scene) -> np.ndarray:
    """Flat patches after their row and column, from 1: `[batch, patches, 2 + pixels]`."""
    rows, columns = 3, 4
    width = scene.find("image", "patch_embed_hidden_size", default=768)
    row, column = np.meshgrid(np.arange(1, rows + 1), np.arange(1, columns + 1), indexing="ij")
    places = np.stack([row.ravel(), column.ravel()], -1)[None].repeat(scene.batch, 0)
    pixels = scene.rng.normal(size=(scene.batch, rows * columns, width))
    return np.concatenate([places, pixels], -1)


def images_of_tokens(scene: Scene) -> np.ndarray:
    """1 = an image that a token may look at: `[batch, tokens, images]`."""
    return np.ones((scene.batch, scene.length, IMAGES), "int64")


def tiles_of_tokens(scene: Scene) -> np.ndarray:
    """1 = a tile that a token may look at: `[batch, tokens, images, tiles]`."""
    count = scene.find("image", "max_num_tiles", default=TILES)
    mask = np.ones((scene.batch, scene.length, 1, count), "int64")
    mask[0, :3] = 0
    return mask


def feature_map(scene: Scene) -> np.ndarray | None:
    """What a part of a model is given in place of an image: `[batch, width, height, width]`."""
    return None if scene.width is None else scene.rng.normal(size=(scene.batch, scene.width, 6, 8))


def patches_of_frames(scene: Scene) -> np.ndarray | None:
    """Patches of all images, channels last: `[patches, frames, height, width, channels]`."""
    if patch_depth(scene) < 2:
        return None
    size = (scene.batch * PATCHES, patch_depth(scene), *patch_size(scene), channels(scene))
    return scene.rng.normal(size=size)


def order_of_patches(scene: Scene) -> np.ndarray | None:
    """Numbers by whose order pretraining hides patches, or units of several patches."""
    if scene.get("mask_ratio") is None:
        return None
    unit, stride = scene.get("masked_unit_size"), scene.get("patch_stride")
    count = patches(scene)
    if unit is not None and stride is not None:
        sides = zip(image_shape(scene), stride, unit, strict=True)
        count = int(np.prod([size // step // each for size, step, each in sides]))
    return scene.rng.uniform(size=(scene.batch, count))


def features_of_layers(scene: Scene) -> np.ndarray | None:
    """Features of several layers side by side: `[images, patches, layers * width]`."""
    layers, width = scene.get("vision_feature_layer"), scene.get("hidden_size")
    if not isinstance(layers, list | tuple) or width is None:
        return None
    return scene.rng.normal(size=(scene.batch, PATCHES, len(layers) * width))


def pooled_patches(scene: Scene) -> np.ndarray:
    """Which patches of all images become one token: `[tokens, 4]`; -1 = none."""
    places = np.arange(scene.batch * PATCHES).reshape(-1, 4)
    places[0, 2:] = -1
    return places


PATCHES = 8
