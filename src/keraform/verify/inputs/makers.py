"""The arguments of a forward pass, by name: how each is made, in one form or in several."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import numpy as np
from transformers import PreTrainedConfig

from keraform.verify.inputs import audio, images, modalities, regions, series, text
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
    if "context_hidden_states" in scene.names:
        return padding(scene.batch, 2 * scene.length)  # those states, then the row itself
    if "timesteps" in scene.names and "states" in scene.names:
        return series.step_mask(scene)
    return None


def _right_padding(scene: Scene) -> np.ndarray | None:
    """For models that refuse padding on both sides in one batch, or a row of nothing else."""
    mask = _attention_mask(scene)
    if mask is None:
        return None
    mask[~mask.any(-1)] = 1
    return -np.sort(-mask, axis=-1)


def _zeros(scene: Scene) -> np.ndarray:
    return np.zeros((scene.batch, 1), "int64")


LEFT_OUT = object()


def _left_out(scene: Scene) -> object:
    return LEFT_OUT


def _no_features(scene: Scene) -> object | None:
    """No spectrogram where a wave may be given."""
    return LEFT_OUT if "input_values" in scene.names else None


def _no_ids(scene: Scene) -> object | None:
    """No ids where embeddings or a spectrogram take their place."""
    return LEFT_OUT if "inputs_embeds" in scene.names else None


def _embeddings(scene: Scene) -> np.ndarray | None:
    """Embeddings where ids are left out."""
    if "input_features" in scene.names or "input_ids" not in scene.names:
        return None
    ids = next(islice(forms(scene, "input_ids"), scene.forms.get("input_ids", 0), None), None)
    return text.hidden_states(scene) if ids is LEFT_OUT else None


# An argument that has several forms is tried in each, the first one first, until torch's own model
# runs (fit.py). A maker gives None where its model has no use for the argument.
MAKERS: dict[str, tuple[Maker, ...]] = {
    "input_ids": (
        text.input_ids,
        text.several_ids,
        text.stacked_ids,
        text.text_and_codes,
        _no_ids,
    ),
    "inputs_embeds": (_embeddings,),
    "input_text_ids": (text.plain_ids,),
    "talker_input_ids": (text.plain_ids,),
    "attention_mask": (_attention_mask, _left_out, _right_padding),
    "token_type_ids": (text.token_type_ids,),
    "mm_token_type_ids": (text.mm_token_type_ids,),
    "bbox": (text.relative_bbox, text.bbox),
    "entity_ids": (text.entity_ids,),
    "entity_attention_mask": (text.entity_mask,),
    "entity_position_ids": (text.entity_positions,),
    "entity_start_positions": (text.entity_starts,),
    "entity_end_positions": (text.entity_ends,),
    "pixel_values": (
        images.flat_patches,
        images.image,
        images.several_images,
        images.video,
        images.colour_image,
        images.square_patches,
        images.rows_of_patches,
        images.packed_patches,
        images.strip,
        images.merged_patches,
        images.flat_rows,
        images.tiles,
        images.patches_of_frames,
        images.padded_patches,
    ),
    "pixel_mask": (images.pixel_mask, _left_out),
    "image_sizes": (images.image_sizes, _left_out),
    "spatial_shapes": (images.spatial_shapes,),
    "pixel_position_ids": (images.patch_positions,),
    "image_position_ids": (images.patch_positions,),
    "aspect_ratio_ids": (images.aspect_ratio_ids,),
    "aspect_ratio_mask": (images.aspect_ratio_mask,),
    "prompt_pixel_values": (images.image,),
    "prompt_masks": (images.image,),
    "merge_sizes": (images.merge_sizes,),
    "image_grid_thw": (images.grids,),
    "images_per_sample": (images.painted,),
    "grid_thw": (images.grid,),
    "input_features": (
        audio.input_features,
        audio.frames_first,
        audio.with_channel,
        _no_features,
        audio.embedded_frames,
    ),
    "input_features_mask": (audio.frame_flags, audio.frame_mask, _left_out),
    "chunk_sample_lengths": (audio.sample_counts,),
    "input_values_cutoffs": (audio.cutoffs,),
    "user_audio_codes": (audio.text_codes,),
    "moshi_audio_codes": (audio.text_codes,),
    "image_embeds_position_mask": (text.image_places,),
    "image_features": (images.features_of_layers,),
    "pooled_patches_idx": (images.pooled_patches,),
    "feature_attention_mask": (audio.frame_mask,),
    "input_values": (
        audio.samples,
        audio.samples_with_channel,
        audio.spectrogram,
        text.hidden_states,
    ),
    "audio_codes": (audio.audio_codes, _left_out),
    "bool_masked_pos": (images.bool_masked_pos,),
    "decoder_input_ids": (
        text.decoder_input_ids,
        text.decoder_codes,
        text.stacked_decoder_ids,
    ),
    "decoder_input_values": (audio.decoder_frames, text.hidden_states),
    "flattened_patches": (images.patches_with_places,),
    "visual_embeds": (regions.visual_embeds, _left_out),
    "visual_attention_mask": (regions.visual_mask,),
    "visual_feats": (regions.regions,),
    "visual_pos": (regions.region_boxes,),
    "image_merge_sizes": (images.merge_sizes,),
    "noise_embeds": (text.hidden_states,),
    "context_hidden_states": (text.context_states,),
    "audio_mel": (audio.frames_first,),
    "audio_mel_mask": (audio.padded_frames,),
    "mel_spectrogram": (audio.input_features,),
    "speaker_embeddings": (audio.speaker,),
    "spkr_id": (_zeros,),
    "lang_id": (_zeros,),
    "codes": (audio.audio_codes,),
    "decoder_attention_mask": (text.decoder_attention_mask,),
    "mc_token_ids": (text.mc_token_ids,),
    "mask_time_indices": (audio.mask_time_indices,),
    "past_values": (series.past_values, series.several_series),
    "past_observed_mask": (series.observed,),
    "observed_mask": (series.observed,),
    "past_values_padding": (series.past_padding,),
    "past_time_features": (series.past_time_features,),
    "future_time_features": (series.future_time_features,),
    "freq": (series.frequency,),
    "states": (series.states,),
    "rewards": (series.rewards,),
    "returns_to_go": (series.rewards,),
    "noise": (series.noise, images.order_of_patches),
    "timestep": (series.timestep,),
}
# Arguments that a model may run without: left out first, then made.
WANTED: dict[str, tuple[Maker, ...]] = {
    "future_values": (series.future_values,),
    "encoder_hidden_states": (text.encoder_states,),
    "query_embeds": (text.query_embeds,),
    "pixel_values_videos": (images.video,),
    "pixel_attention_mask": (
        images.patch_mask,
        images.several_pixel_masks,
        images.pixel_mask,
        images.image_flags,
        images.image_truths,
    ),
    "timesteps": (series.timesteps,),
    "actions": (series.actions,),
    "high_res_pixel_values": (images.large_image,),
    "image_grid_hw": (images.flat_grid,),
    "target_sizes": (images.patch_grid,),
    "image_attention_mask": (images.images_of_tokens,),
    "cross_attention_mask": (images.tiles_of_tokens,),
    "context_input_ids": (text.document_ids,),
    "context_attention_mask": (text.document_mask,),
    "doc_scores": (text.document_scores,),
    "codebook_pixel_values": (images.codebook_image,),
    "input_ids_masked": (text.input_ids,),
    "region_to_phrase_position": (regions.region_positions,),
    "padding_mask": (audio.frame_mask,),
    "thinker_reply_part": (text.reply_states,),
    "inputs": (modalities.neighbourhoods, modalities.video_with_sound),
    "subsampled_output_points": (modalities.decoded_points,),
    "mask": (text.box_mask,),
    "dataset_index": (lambda scene: np.zeros(scene.batch, "int64"),),
}
# Arguments that are made only for a forward pass that has no default for them.
REQUIRED: dict[str, tuple[Maker, ...]] = {
    "hidden_states": (
        images.flat_patches,
        text.hidden_states,
        audio.noisy_frames,
        images.image,
        images.feature_map,
        audio.frames_first,
        audio.samples_with_channel,
        audio.latents,
    ),
    "inputs_embeds": (text.hidden_states,),
    "pixel_values_videos": (images.video,),
    "encoder_hidden_states": (text.hidden_states, text.encoder_states),
    "query_embeds": (text.hidden_states, text.query_embeds),
    "qformer_input_ids": (text.qformer_ids,),
    "latents": (audio.latents,),
    "condition_vector": (audio.reference_frames,),
    "reference_mel": (audio.reference_frames,),
    "conditioning": (audio.speaker_vector,),
    "speaker_embedding": (audio.speaker_of_frames,),
    "quantized_code": (audio.codes_of_frames,),
    "code": (audio.spoken_codes,),
    "time_step": (series.time_step,),
    "boxes": (text.boxes,),
    "classes_input_ids": (text.class_ids,),
    "classes_attention_mask": (text.class_mask,),
    "classes_structure": (text.class_counts,),
    "tasks_input_ids": (text.query_ids,),
    "task_inputs": (text.task_ids,),
    "tasks_attention_mask": (text.query_mask,),
    "marks": (text.marks,),
    "num_options": (text.option_counts,),
    "question_type_ids": (text.question_types,),
    "state": (series.state,),
    "action_embeds": (series.action_embeds,),
    "inputs": (text.latent_inputs, text.input_ids, images.image),
    "mask": (audio.frame_mask,),
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
    required = REQUIRED.get(name, ()) if name in scene.required else ()
    makers = required or MAKERS.get(name, ())
    if not makers and name in WANTED:
        makers = WANTED[name] if name in scene.required else (_left_out, *WANTED[name])
    return (value for maker in makers if (value := maker(scene)) is not None)


def several_forms(scene: Scene) -> dict[str, int]:
    """How many forms an argument has, of those that have more than one."""
    counts = {name: sum(1 for _ in forms(scene, name)) for name in scene.names}
    return {name: count for name, count in counts.items() if count > 1}


def scene_of(model_class: type, config: PreTrainedConfig, **options: Any) -> Scene:
    """The scene of a torch class, with its own random stream."""
    if model_class.__name__ in ONE_ROW:
        options["batch"] = 1
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


# Classes that take one row at a time.
ONE_ROW = frozenset({"TvpModel", "TvpForVideoGrounding", "JevForDecision"})

RESIZED: dict[str, Any] = {"batch": 2, "length": 9, "decoder_length": 7, "samples": 355}
