"""Labels: what gives a class its loss, by the end of its name."""

from __future__ import annotations

import inspect

import numpy as np

from keraform.verify.inputs.audio import feature_frames, sampled_negative_indices
from keraform.verify.inputs.images import image_shape
from keraform.verify.inputs.scene import CHOICES, Inputs, Maker, Scene
from keraform.verify.inputs.series import future_values
from keraform.verify.inputs.text import has_choices


def _class_ids(scene: Scene) -> np.ndarray:
    return scene.rng.integers(0, scene.config.num_labels, (scene.batch,))


def _token_labels(scene: Scene, classes: int, length: int | None = None) -> np.ndarray:
    of_frames = "input_features" in scene.names and "input_ids" not in scene.names
    length = length or (
        scene.decoder_length
        if scene.encoder_decoder or of_frames
        else scene.length + sum(scene.placeholders.values())
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
    if has_choices(scene):
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
         s.rng.integers(0, s.config.num_labels, (s.batch, feature_frames(s)))].astype("int64")}),
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
    ("ForPreTraining", {"sampled_negative_indices": sampled_negative_indices}),
    ("ForCTC", {"labels": lambda s: s.rng.integers(3, s.config.vocab_size, (s.batch, 4))}),
    ("ForObjectDetection", {"labels": _detection_labels}),
    ("ForSegmentation", {"labels": _detection_labels}),
    ("ForPrediction", {"future_values": future_values}),
    ("CLIPModel", {"return_loss": lambda s: True}),
    ("ForMaskedLM", {"labels": _lm_labels}),
    ("ForCausalLM", {"labels": _lm_labels}),
    ("LMHeadModel", {"labels": _lm_labels}),
    ("ForConditionalGeneration", {"labels": _lm_labels}),
)  # fmt: skip


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
