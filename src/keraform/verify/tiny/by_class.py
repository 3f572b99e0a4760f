"""What a class needs of its config, by the end of its name, and what is asked of a part."""

from __future__ import annotations

from typing import Any

# What a class needs of its config, by the end of its name.
BY_CLASS: tuple[tuple[str, dict[str, Any], str], ...] = (
    ("ForQuestionAnswering", {"num_labels": 2}, "the head splits its labels into start and end"),
    ("T5GemmaEncoderModel", {"is_encoder_decoder": False}, "it refuses the other half"),
    ("ReformerModelWithLMHead", {"is_decoder": True}, "it asks for it"),
    ("Blip2ForImageTextRetrieval", {"qformer_config.use_qformer_text_input": True},
     "its text goes through the Q-former"),
    ("Blip2TextModelWithProjection", {"qformer_config.use_qformer_text_input": True},
     "its text goes through the Q-former"),
    ("OmniMoeTalkerForConditionalGeneration", {"spatial_merge_size": 2, "num_labels": 6},
     "the config's class has no such field; every published config has"),
    ("PerceiverForOpticalFlow", {"d_model": 322, "train_size": [6, 8], "num_labels": 6},
     "64 channels of a pixel and 258 of its place are written in the code"),
    ("PerceiverForMultimodalAutoencoding",
     {"d_model": 405, "num_frames": 2, "image_size": 8, "output_shape": [1, 2, 8, 8],
      "audio_samples_per_frame": 32, "num_labels": 6},
     "401 channels of sound and of its place, and four, are written in the code"),
    ("BeitForMaskedImageModeling", {"num_labels": 6, "use_mask_token": True},
     "it masks only where asked to"),
    ("ForQuestionAnsweringSimple", {"num_labels": 2}, "the head splits its labels in two"),
    ("ForSequenceClassification", {"num_labels": 6}, "differs from batch, heads and lengths"),
    ("", {"num_labels": 6}, "differs from batch, heads and lengths"),
)  # fmt: skip


def by_class(class_name: str) -> dict[str, Any]:
    """What a class needs of its config."""
    return dict(next(values for suffix, values, _ in BY_CLASS if class_name.endswith(suffix)))


def split_overrides(
    overrides: dict[str, Any],
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """The overrides of a config, and by part those that are written `part.field`."""
    own, inner = {}, {}  # type: dict[str, Any], dict[str, dict[str, Any]]
    for name, value in overrides.items():
        part, _, field = name.partition(".")
        if field:
            inner.setdefault(part, {})[field] = value
        else:
            own[name] = value
    return own, inner
