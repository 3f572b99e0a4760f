"""What config fields could be instead, what has to change along, and which show nowhere."""

from __future__ import annotations

import re
from typing import Any

from transformers import PreTrainedConfig

# Other values by name, before the rules by type; several are tried until torch takes one and acts
# on it.
BY_NAME: tuple[tuple[str, tuple[Any, ...]], ...] = (
    (r".*eps(ilon)?", (0.03,)),
    (r"(.*_)?(hidden_)?act(ivation)?(_fn|_function)?|summary_activation|pooler_act|feat_extract_act.*",
     ("relu", "tanh")),
    (r"dense_act_fn|is_gated_act", ()),  # derived from feed_forward_proj
    (r"feed_forward_proj", ("gated-gelu", "gelu")),
    (r"rope_parameters", (
        {"rope_type": "default", "rope_theta": 300.0},
        {"rope_type": "linear", "rope_theta": 10000.0, "factor": 3.0},
        {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 3.0},
        {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0,
         "original_max_position_embeddings": 12},
        {"rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0,
         "high_freq_factor": 4.0, "original_max_position_embeddings": 12},
    )),
    (r"problem_type", ("multi_label_classification",)),
    (r"summary_type", ("mean", "last", "first")),
    (r"feat_extract_norm", ("layer",)),
    (r"ctc_loss_reduction", ("mean",)),
    (r"time_step_init_scheme", ("constant",)),
    (r"norm_rel_ebd", ("none",)),
    (r"pos_att_type", (["c2p"], ["p2c"])),
    (r"position_embedding_type", ("learned",)),
    (r"position_buckets", (6,)),
    (r"max_relative_positions", (7,)),
    (r"layer_types", (["sliding_attention", "full_attention"],)),
    (r"sliding_window", (4,)),
    (r"head_dim", (14,)),
    (r"n_inner", (33,)),
    (r"adapter_attn_dim", (12,)),
    (r"embedding_size", (18,)),
    (r"conv_kernel_size", (3,)),
    (r"pad_token_id|eos_token_id|decoder_start_token_id", (7,)),
    (r"encoder_stride", (8, 16)),
    (r"hidden_sizes", ([6, 14, 18, 22],)),
    (r"depths", ([2, 1, 1, 2], [2, 4])),
    (r"num_heads", ([3, 6], 2, 8)),
    (r"tdnn_dim", ([8, 9, 10, 11, 12],)),
    (r"tdnn_kernel", ([3, 3, 3, 1, 1],)),
    (r"tdnn_dilation", ([1, 1, 2, 1, 1],)),
    (r"conv_dim", ([8, 12, 14],)),
    (r"conv_kernel", ([4, 3, 2], 3)),
    (r"conv_stride", ([2, 3, 2],)),
    (r".*(dropout|pdrop|drop|drop_rate|drop_path_rate|dropout_prob|dropout_rate)", (0.37,)),
)  # fmt: skip

# What has to change along with a field, of every model type or of one.
COMPANIONS: dict[str, dict[str, Any]] = {
    "adapter_attn_dim": {"do_stable_layer_norm": True, "feat_extract_norm": "layer"},
    "adapter_kernel_size": {"add_adapter": True},
    "adapter_stride": {"add_adapter": True},
    "num_adapter_layers": {"add_adapter": True},
    "output_hidden_size": {"add_adapter": True},
    "add_cross_attention": {"is_decoder": True},
    "conv_act": {"conv_kernel_size": 3},
    "conv_groups": {"conv_kernel_size": 3},
    "encoder_stride": {"patch_size": 8},
    "swin.encoder_stride": {"patch_size": 4},
    "sliding_window": {"use_sliding_window": True, "max_window_layers": 0},
    "layer_types": {"use_sliding_window": True, "sliding_window": 4},
    "max_relative_positions": {"position_buckets": -1},
    "mask_feature_length": {"mask_feature_prob": 0.5},
}

# Fields that change no number of the port's: by name, with the reason.
WITHOUT_EFFECT: tuple[tuple[str, str], ...] = (
    (r"_.*", "Transformers' own bookkeeping"),
    (r"model_type|architectures|transformers_version|name_or_path|dtype", "names, not numbers"),
    (r"return_dict|use_return_dict|output_(attentions|hidden_states)", "the answer's form"),
    (r"use_cache", "the answer's form: caches are compared where they are on"),
    (r"is_encoder_decoder", "fixed by the architecture"),
    (r"initializer_(range|factor)|init_(xavier_)?std|layer_scale_init_value|rescale_prenorm.*|"
     r"logit_scale_init_value|time_step_(min|max|floor|scale|init_scheme)",
     "new weights alone: the twin's weights are loaded over them"),
    (r"chunk_size_feed_forward", "splits a computation that is the same for each position"),
    (r"use_mambapy|use_associative_scan", "which kernel computes the same"),
    (r"mask_(time|feature)_.*|layerdrop|(en|de)coder_layerdrop|router_jitter_noise|"
     r"feat_quantizer_dropout|apply_spec_augment", "random in training alone"),
    (r"legacy", "gives the head another class: both are in the port"),
)  # fmt: skip


def other_values(name: str, value: Any) -> list[Any]:
    """What a field could be instead; the first that torch takes and acts on is used."""
    for pattern, values in BY_NAME:
        if re.fullmatch(pattern, name):
            return [other for other in values if other != value]
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [value * 2, value + 1, max(1, value // 2)]
    if isinstance(value, float):
        return [value * 1.5 if value else 0.5]
    if isinstance(value, list | tuple) and value and isinstance(value[0], int):
        return [[value[0] + 1, *value[1:]], [entry * 2 for entry in value]]
    return []


def companions(config_class: type[PreTrainedConfig], name: str) -> dict[str, Any]:
    """What has to change along with a field of a config class."""
    own = COMPANIONS.get(f"{config_class.model_type}.{name}")
    return COMPANIONS.get(name, {}) if own is None else own


def reason_without_effect(name: str) -> str:
    """Why a field is not changed; empty when it is."""
    return next((why for pattern, why in WITHOUT_EFFECT if re.fullmatch(pattern, name)), "")
