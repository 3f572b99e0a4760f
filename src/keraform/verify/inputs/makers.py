"""The arguments of a forward pass, by name: how each is made, in one form or in several."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import numpy as np
from transformers import PreTrainedConfig

from keraform.verify.inputs import audio, images, text
from keraform.verify.inputs.scene import Inputs, Maker, Scene, padding


def _attention_mask(scene: Scene) -> np.ndarray | None:
    if not scene.masks:
        return None
    if "input_values" in scene.names:
        return audio.sample_mask(scene)
    if "input_features" in scene.names and "input_ids" not in scene.names:
        return None  # used only by SpecAugment, that is, in training
    if "input_ids" in scene.names:
        return text.text_mask(scene)
    if "pixel_values" in scene.names:
        return padding(scene.batch, images.patches(scene) + 1)
    return None


LEFT_OUT = object()


def _left_out(scene: Scene) -> object:
    return LEFT_OUT


# An argument that has several forms is tried in each, the first one first, until torch's own model
# runs (fit.py). A maker gives None where its model has no use for the argument.
MAKERS: dict[str, tuple[Maker, ...]] = {
    "input_ids": (text.input_ids, text.several_ids),
    "attention_mask": (_attention_mask, _left_out),
    "token_type_ids": (text.token_type_ids,),
    "mm_token_type_ids": (text.mm_token_type_ids,),
    "bbox": (text.bbox,),
    "pixel_values": (
        images.flat_patches,
        images.image,
        images.several_images,
        images.video,
        images.colour_image,
    ),
    "pixel_mask": (images.pixel_mask,),
    "image_sizes": (images.image_sizes, _left_out),
    "image_grid_thw": (images.grid,),
    "grid_thw": (images.grid,),
    "input_features": (audio.input_features, audio.frames_first, audio.with_channel),
    "input_features_mask": (audio.frame_mask,),
    "feature_attention_mask": (audio.frame_mask,),
    "input_values": (audio.samples, audio.samples_with_channel, audio.spectrogram),
    "audio_codes": (audio.audio_codes,),
    "bool_masked_pos": (images.bool_masked_pos,),
    "decoder_input_ids": (text.decoder_input_ids,),
    "decoder_attention_mask": (text.decoder_attention_mask,),
    "mc_token_ids": (text.mc_token_ids,),
    "mask_time_indices": (audio.mask_time_indices,),
}
# Arguments that are made only for a forward pass that has no default for them.
REQUIRED: dict[str, tuple[Maker, ...]] = {
    "hidden_states": (images.flat_patches, text.hidden_states),
    "inputs_embeds": (text.hidden_states,),
    "pixel_values_videos": (images.video,),
    "encoder_hidden_states": (text.hidden_states,),
    "query_embeds": (text.hidden_states,),
    "codebook_idx": (lambda scene: 1,),
    "spectrogram": (audio.frames_first,),
}


def make_inputs(scene: Scene) -> Inputs:
    """Inputs without labels: every argument that has a maker and that the model has a use for."""
    made = {}
    for name in scene.names:
        found = forms(scene, name)
        value = next(islice(found, scene.forms.get(name, 0), None), LEFT_OUT)
        if value is not LEFT_OUT:
            made[name] = value
    return made


def forms(scene: Scene, name: str) -> Iterator[Any]:
    """An argument in each of its forms that make sense; none where nothing is known of it."""
    makers = MAKERS.get(name) or (REQUIRED.get(name, ()) if name in scene.required else ())
    return (value for maker in makers if (value := maker(scene)) is not None)


def several_forms(scene: Scene) -> dict[str, int]:
    """How many forms an argument has, of those that have more than one."""
    counts = {name: sum(1 for _ in forms(scene, name)) for name in scene.names}
    return {name: count for name, count in counts.items() if count > 1}


def scene_of(model_class: type, config: PreTrainedConfig, **options: Any) -> Scene:
    """The scene of a torch class, with its own random stream."""
    forward = model_class.forward
    names = tuple(name for name in inspect.signature(forward).parameters if name != "self")
    return Scene(model_class.__name__, config, names, required_names(forward), **options)


def required_names(function: Callable[..., Any]) -> frozenset[str]:
    """The arguments of a function that have no default, self left out."""
    return frozenset(
        name
        for name, each in inspect.signature(function).parameters.items()
        if each.default is each.empty and each.kind is each.POSITIONAL_OR_KEYWORD and name != "self"
    )


def resized_inputs(model_class: type, config: PreTrainedConfig) -> Inputs:
    """Inputs of another batch and other lengths, for compiled calls."""
    return make_inputs(scene_of(model_class, config, **RESIZED))


RESIZED: dict[str, Any] = {"batch": 2, "length": 9, "decoder_length": 7, "samples": 355}
