"""Inputs for a model class, derived from its forward signature and its config.

Three rows: one padded on the right, one padded on the left, one fully masked. Everything is NumPy;
floats are float64 and are cast by whoever runs them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from transformers import PreTrainedConfig

BATCH = 3
CHOICES = 4
TEXT = 13
DECODER_TEXT = 8
SAMPLES = 301
FRAMES_PER_POSITION = 2  # Whisper halves its frames

Inputs = dict[str, Any]


@dataclass
class Scene:
    """What the makers below need to know."""

    class_name: str
    config: PreTrainedConfig
    names: tuple[str, ...]
    batch: int = BATCH
    length: int = TEXT
    decoder_length: int = DECODER_TEXT
    samples: int = SAMPLES
    masks: bool = True
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(7))

    @property
    def text_config(self) -> PreTrainedConfig:
        return getattr(self.config, "text_config", None) or self.config

    @property
    def vision_config(self) -> PreTrainedConfig:
        return getattr(self.config, "vision_config", None) or self.config

    def get(self, name: str, default: Any = None) -> Any:
        value = getattr(self.config, name, None)
        return default if value is None else value

    @property
    def encoder_decoder(self) -> bool:
        return "decoder_input_ids" in self.names


def padding(batch: int, length: int) -> np.ndarray:
    """Mask of the three rows, 1 = a real token; further rows are whole."""
    mask = np.ones((batch, length), "int64")
    pad = max(1, length // 4)
    if batch > 0:
        mask[0, length - pad :] = 0
    if batch > 1:
        mask[1, : pad + 1] = 0
    if batch > 2:
        mask[2] = 0
    return mask


def tokens(scene: Scene, length: int, batch: int | None = None, masked: bool = True) -> np.ndarray:
    """Random ids without special ones, one end token closing each row, padding ids where the mask
    is 0.
    """
    batch = scene.batch if batch is None else batch
    config = scene.text_config
    special = {
        v for k, v in config.to_dict().items() if k.endswith("_token_id") and isinstance(v, int)
    }
    ordinary = np.array([i for i in range(config.vocab_size) if i not in special])
    ids = scene.rng.choice(ordinary, (batch, length))
    mask = padding(batch, length) if masked and scene.masks else np.ones((batch, length), "int64")
    pad, end = getattr(config, "pad_token_id", None), getattr(config, "eos_token_id", None)
    if pad is not None:
        ids = np.where(mask == 1, ids, pad)
    if isinstance(end, int) and end != pad:
        for row in range(batch):
            real = np.flatnonzero(mask[row])
            ids[row, real[-1] if len(real) else length - 1] = end
    return ids.astype("int64")


def _choices(scene: Scene) -> bool:
    return scene.class_name.endswith(("ForMultipleChoice", "DoubleHeadsModel"))


def _input_ids(scene: Scene) -> np.ndarray:
    if _choices(scene):
        return tokens(scene, scene.length, scene.batch * CHOICES).reshape(
            scene.batch, CHOICES, scene.length
        )
    return tokens(scene, scene.length)


def _attention_mask(scene: Scene) -> np.ndarray | None:
    if not scene.masks:
        return None
    if "input_values" in scene.names:
        return _audio_mask(scene)
    if "input_features" in scene.names:
        return None  # used only by SpecAugment, that is, in training
    if "input_ids" not in scene.names:
        return padding(scene.batch, _patches(scene) + 1) if "pixel_values" in scene.names else None
    if _choices(scene):
        return padding(scene.batch * CHOICES, scene.length).reshape(
            scene.batch, CHOICES, scene.length
        )
    return padding(scene.batch, scene.length)


def _audio_mask(scene: Scene) -> np.ndarray:
    """Counts of samples; no empty row, since its count of frames would be -1, which torch's own
    losses refuse.
    """
    mask = np.ones((scene.batch, scene.samples), "int64")
    mask[0, -60:] = 0
    if scene.batch > 1:
        mask[1, :37] = 0
    return mask


def _patches(scene: Scene) -> int:
    height, width = image_shape(scene)
    return (height // scene.vision_config.patch_size) * (width // scene.vision_config.patch_size)


def _token_type_ids(scene: Scene) -> np.ndarray | None:
    kinds = scene.get("type_vocab_size", 0)
    if "type_vocab_size" not in scene.config.to_dict() or kinds < 2:
        return None
    shape = (scene.batch, CHOICES, scene.length) if _choices(scene) else (scene.batch, scene.length)
    return scene.rng.integers(0, kinds, shape)


def image_shape(scene: Scene) -> tuple[int, int]:
    """Height and width; different ones where the model has no table of positions for one size."""
    config = scene.vision_config
    if config.model_type in ANY_IMAGE_SIZE:
        return ANY_IMAGE_SIZE[config.model_type]
    size = config.image_size
    return (size, size) if isinstance(size, int) else (size[0], size[1])


# Purely convolutional models, which take any size: odd and even lengths at each level.
ANY_IMAGE_SIZE = {"convnext": (72, 44), "resnet": (70, 44), "detr": (102, 68)}


def _pixel_values(scene: Scene) -> np.ndarray:
    height, width = image_shape(scene)
    return scene.rng.normal(size=(scene.batch, scene.vision_config.num_channels, height, width))


def _pixel_mask(scene: Scene) -> np.ndarray | None:
    if not scene.masks:
        return None
    mask = np.ones((scene.batch, *image_shape(scene)), "int64")
    mask[0, :, -20:] = 0
    if scene.batch > 1:
        mask[1, -30:, :] = 0
    return mask


def _input_features(scene: Scene) -> np.ndarray:
    length = FRAMES_PER_POSITION * scene.get("max_source_positions", SAMPLES)
    return scene.rng.normal(size=(scene.batch, scene.config.num_mel_bins, length))


def _input_values(scene: Scene) -> np.ndarray:
    return scene.rng.normal(size=(scene.batch, scene.samples))


def _bool_masked_pos(scene: Scene) -> np.ndarray | None:
    if not scene.class_name.endswith("ForMaskedImageModeling"):
        return None
    return scene.rng.integers(0, 2, (scene.batch, _patches(scene))).astype(bool)


def _decoder_input_ids(scene: Scene) -> np.ndarray | None:
    if scene.class_name.endswith(TASKS_WITH_OWN_DECODER_INPUT):
        return None
    return tokens(scene, scene.decoder_length)


TASKS_WITH_OWN_DECODER_INPUT = (
    "ForSequenceClassification",
    "ForQuestionAnswering",
    "ForTokenClassification",
)


def _decoder_attention_mask(scene: Scene) -> np.ndarray | None:
    if not scene.masks or scene.class_name.endswith(TASKS_WITH_OWN_DECODER_INPUT):
        return None
    length = scene.get("num_queries", scene.decoder_length)
    return None if "pixel_values" in scene.names else padding(scene.batch, length)


def _mc_token_ids(scene: Scene) -> np.ndarray:
    return scene.rng.integers(0, scene.length, (scene.batch, CHOICES))


def _frames(scene: Scene) -> int:
    length = scene.samples
    for kernel, stride in zip(scene.config.conv_kernel, scene.config.conv_stride, strict=False):
        length = (length - kernel) // stride + 1
    return length


def _mask_time_indices(scene: Scene) -> np.ndarray | None:
    if not scene.class_name.endswith("ForPreTraining"):
        return None
    mask = np.zeros((scene.batch, _frames(scene)), bool)
    mask[:, 2:9] = True
    return mask


def _sampled_negative_indices(scene: Scene) -> np.ndarray:
    frames, negatives = _frames(scene), scene.config.num_negatives
    indices = scene.rng.integers(0, frames, (scene.batch, frames, negatives))
    return indices + np.arange(scene.batch)[:, None, None] * frames


Maker = Callable[[Scene], Any]

MAKERS: dict[str, Maker] = {
    "input_ids": _input_ids,
    "attention_mask": _attention_mask,
    "token_type_ids": _token_type_ids,
    "pixel_values": _pixel_values,
    "pixel_mask": _pixel_mask,
    "input_features": _input_features,
    "input_values": _input_values,
    "bool_masked_pos": _bool_masked_pos,
    "decoder_input_ids": _decoder_input_ids,
    "decoder_attention_mask": _decoder_attention_mask,
    "mc_token_ids": _mc_token_ids,
    "mask_time_indices": _mask_time_indices,
}


def _class_ids(scene: Scene) -> np.ndarray:
    return scene.rng.integers(0, scene.config.num_labels, (scene.batch,))


def _token_labels(scene: Scene, classes: int, length: int | None = None) -> np.ndarray:
    length = length or (
        scene.decoder_length
        if scene.encoder_decoder or "input_features" in scene.names
        else scene.length
    )
    labels = scene.rng.integers(0, classes, (scene.batch, length))
    labels[:, ::3] = -100
    return labels


def _detection_labels(scene: Scene) -> list[dict[str, np.ndarray]]:
    height, width = image_shape(scene)
    return [
        {
            "class_labels": scene.rng.integers(0, scene.config.num_labels, (2,)),
            "boxes": scene.rng.uniform(0.2, 0.4, (2, 4)),
            "masks": scene.rng.integers(0, 2, (2, height, width)).astype("float64"),
        }
        for _ in range(scene.batch)
    ]


def _lm_labels(scene: Scene) -> np.ndarray:
    if _choices(scene):
        flat = scene.rng.integers(0, scene.config.vocab_size, (scene.batch, CHOICES, scene.length))
        return flat
    return _token_labels(scene, scene.text_config.vocab_size)


# Labels by the end of the class's name: the arguments that give a loss.
LABELS: tuple[tuple[str, dict[str, Maker]], ...] = (
    ("ForSequenceClassification", {"labels": _class_ids}),
    ("ForAudioClassification", {"labels": _class_ids}),
    ("ForImageClassification", {"labels": _class_ids}),
    ("ForXVector", {"labels": _class_ids}),
    ("ForTokenClassification", {"labels": lambda s: _token_labels(s, s.config.num_labels)}),
    ("ForAudioFrameClassification",
     {"labels": lambda s: np.eye(s.config.num_labels)[
         s.rng.integers(0, s.config.num_labels, (s.batch, _frames(s)))].astype("int64")}),
    ("ForQuestionAnswering", {
        "start_positions": lambda s: s.rng.integers(0, s.length, (s.batch,)),
        "end_positions": lambda s: s.rng.integers(0, s.length, (s.batch,))}),
    ("ForMultipleChoice", {"labels": lambda s: s.rng.integers(0, CHOICES, (s.batch,))}),
    ("DoubleHeadsModel", {
        "labels": _lm_labels, "mc_labels": lambda s: s.rng.integers(0, CHOICES, (s.batch,))}),
    ("ForNextSentencePrediction", {"labels": lambda s: s.rng.integers(0, 2, (s.batch,))}),
    ("BertForPreTraining", {
        "labels": _lm_labels, "next_sentence_label": lambda s: s.rng.integers(0, 2, (s.batch,)),
        "sentence_order_label": lambda s: s.rng.integers(0, 2, (s.batch,))}),
    ("ElectraForPreTraining", {"labels": lambda s: s.rng.integers(0, 2, (s.batch, s.length))}),
    ("ForPreTraining", {"sampled_negative_indices": _sampled_negative_indices}),
    ("ForCTC", {"labels": lambda s: s.rng.integers(3, s.config.vocab_size, (s.batch, 4))}),
    ("ForObjectDetection", {"labels": _detection_labels}),
    ("ForSegmentation", {"labels": _detection_labels}),
    ("CLIPModel", {"return_loss": lambda s: True}),
    ("ForMaskedLM", {"labels": _lm_labels}),
    ("ForCausalLM", {"labels": _lm_labels}),
    ("LMHeadModel", {"labels": _lm_labels}),
    ("ForConditionalGeneration", {"labels": _lm_labels}),
)  # fmt: skip


def forward_names(model_class: type) -> tuple[str, ...]:
    """The argument names of a class's forward pass, self left out."""
    return tuple(
        name for name in inspect.signature(model_class.forward).parameters if name != "self"
    )


def scene_of(model_class: type, config: PreTrainedConfig, **options: Any) -> Scene:
    """The scene of a torch class, with its own random stream."""
    return Scene(model_class.__name__, config, forward_names(model_class), **options)


def make_inputs(scene: Scene) -> Inputs:
    """Inputs without labels: every argument that has a maker and that the model has a use for."""
    made = {name: MAKERS[name](scene) for name in scene.names if name in MAKERS}
    return {name: value for name, value in made.items() if value is not None}


def resized_inputs(model_class: type, config: PreTrainedConfig) -> Inputs:
    """Inputs of another batch and other lengths, for compiled calls."""
    scene = scene_of(model_class, config, batch=2, length=9, decoder_length=7, samples=355)
    return make_inputs(scene)


# Classes whose loss goes by `config.problem_type`, where they have no other in their forward pass.
WITH_PROBLEM_TYPES = ("ForSequenceClassification", "ForImageClassification")
PROBLEM_WORDS = ("problem_type", "loss_function")


def make_problems(model_class: type, scene: Scene) -> dict[str, np.ndarray]:
    """Labels by problem type, for the classes that have a choice."""
    source = inspect.getsource(model_class.forward)
    if not scene.class_name.endswith(WITH_PROBLEM_TYPES) or not any(
        word in source for word in PROBLEM_WORDS
    ):
        return {}
    grid = (scene.batch, scene.config.num_labels)
    return {
        "single_label_classification": _class_ids(scene),
        "regression": scene.rng.normal(size=grid),
        "multi_label_classification": scene.rng.integers(0, 2, grid).astype("float64"),
    }


def make_labels(scene: Scene) -> Inputs:
    """The label arguments of the class; empty where it has no loss of its own."""
    for suffix, makers in LABELS:
        if scene.class_name.endswith(suffix):
            return {name: maker(scene) for name, maker in makers.items() if name in scene.names}
    return {}
