"""Tiny configurations: a config class's own defaults, shrunk by rules over the names of its fields.

Sizes that can stand on two axes of one array differ from each other, so that a transposition shows
as a wrong shape.
"""

from __future__ import annotations

import re
from dataclasses import MISSING, fields
from typing import Any

from transformers import PreTrainedConfig
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

Table = tuple[tuple[str, Any], ...]

# First match wins. A value may be a callable of (default, salt); salt is 0 for the outermost config
# and counts the nested ones, which so get widths of their own.
SIZES: Table = (
    (r"vocab_size", lambda default, salt: min(default, 99 + 4 * salt)),
    (r"hidden_size|d_model|n_embd|dim", lambda default, salt: 24 + 4 * salt),
    (r"embedding_size", 20),
    (r"embed_dim", 12),
    (
        r"intermediate_size|encoder_ffn_dim|d_ff|hidden_dim|n_inner",
        lambda default, salt: 37 + 2 * salt,
    ),
    (r"decoder_ffn_dim", 41),
    (r"(num_)?decoder_layers|num_hidden_layers|n_layers?", 2),
    (
        r"encoder_layers|num_layers",
        3,
    ),  # never fewer than the decoder's: BartForCausalLM sizes its cache by them
    (r"(num_attention|encoder_attention|num|n)_heads?", 4),
    (r"decoder_attention_heads", 6),
    (r"num_key_value_heads", 2),
    (r"head_dim|d_kv", 10),
    (r"num_hidden_groups", 1),
    (r"max_position_embeddings|n_positions", 48),
    (r"max_source_positions", 14),
    (r"max_target_positions", 32),
    (r"type_vocab_size", lambda default, salt: 3 if default > 1 else default),
    (r"sliding_window", 5),
    (r"relative_attention_num_buckets", 8),
    (r"relative_attention_max_distance", 20),
    (r"num_local_experts|num_experts", 5),
    (r"num_experts_per_tok", 2),
    (r"image_size", 32),
    (r"patch_size", 4),
    (r"encoder_stride", 4),
    (r"num_channels", 5),
    (r"projection_dim", 18),
    (r"pooler_output_size", 22),
    (r"window_size", 3),
    (r"num_mel_bins", 10),
    (r"num_queries", 9),
    (r"(ssm_)?state_size|mamba_d_state", 5),
    (r"mamba_n_heads|mamba_num_heads", 6),
    (r"mamba_d_ssm", 48),
    (r"(mamba_)?chunk_size", 5),
    (r"moe_intermediate_size", 19),
    (r"moe_hidden_size", 22),
    (r"shared(_expert)?_intermediate_size", 23),
    (r"n_routed_experts|moe_num_experts", 6),
    (r"n_group", 2),
    (r"topk_group", 1),
    (r"kv_lora_rank", 14),
    (r"q_lora_rank", 18),
    (r"qk_nope_head_dim", 8),
    (r"qk_rope_head_dim|rotary_dim", 6),
    (r"v_head_dim", 11),
    (r"index_head_dim", 10),
    (r"index_n_heads", 3),
    (r"index_topk", 4),
    (r"index_kpool", 2),
    (r"linear_key_head_dim", 6),
    (r"linear_value_head_dim", 7),
    (r"linear_num_key_heads", 2),
    (r"linear_num_value_heads", 4),
    (r"mlp_dim|ffn_dim|dim_ff|dff", 38),
    (r"depth", 2),
    (r"codebook_size", 32),  # a power of 2
    (r"time_step_rank", 7),
    (r"conv_dim", [9, 10, 11]),
    (r"conv_kernel", [5, 3, 2]),
    (r"conv_stride", [3, 2, 2]),
    (r"num_conv_pos_embeddings", 6),
    (r"num_conv_pos_embedding_groups", 2),
    (r"num_codevectors_per_group", 9),
    (r"num_negatives", 6),
    (r"codevector_dim", 16),
    (r"proj_codevector_dim", 14),
    (r"classifier_proj_size", 13),
    (r"xvector_output_dim", 17),
    (r"tdnn_dim", [7, 8, 9, 10, 15]),
    (r"hidden_sizes", lambda default, salt: [8 + 4 * i for i in range(len(default))]),
    (r"depths", lambda default, salt: [1, 2, *[1] * (len(default) - 2)]),
)

# Fields that have to be equal: the first follows the second. A name without a dot is the config's
# own, `*` is any part.
COUPLED: tuple[tuple[str, str], ...] = (
    ("*.out_hidden_size", "text_config.hidden_size"),
    ("*.text_hidden_size", "text_config.hidden_size"),
    ("*.adapter_out_dim", "text_config.hidden_size"),
    ("adaptor_config.hidden_size", "text_config.hidden_size"),
    ("head_config.audio_hidden_size", "audio_config.hidden_size"),
    ("flow_head_config.condition_dim", "hidden_size"),
    ("adapter_input_size", "hidden_size"),
    ("adapter_in_dim", "hidden_size"),
    ("vocab_size", "decoder_config.vocab_size"),
)

# Composite models whose parts have to be equally wide.
SAME_WIDTH = frozenset({"t5gemma2", "tipsv2"})

# Fields that get a size even where the class would derive them: groups of heads must not be
# trivial.
GIVEN = frozenset({"num_key_value_heads"})

# Fields that a round config sets even where they are None.
NOT_LEFT_OUT = GIVEN | {"num_experts_per_tok"}

# Rules of one model type, each with its reason; they come before the general ones. `None` keeps the
# default.
EXCEPTIONS: dict[str, tuple[tuple[str, Any, str], ...]] = {
    "esmc": (
        ("num_key_value_heads", 4, "it has no groups of heads"),
    ),
    "glm5_next_text": (
        ("qk_rope_head_dim", 0, "nothing is rotated"),
        ("num_key_value_heads", 4, "it has no groups of heads"),
    ),
    "dots3_note_text": (
        ("num_key_value_heads", 4, "it has no groups of heads"),
    ),
    "granite_speech5_encoder": (
        ("context_size", 6, "at most as long as the positions"),
    ),
    "dia_decoder": (
        ("num_channels", 9, "one for each entry of the delay pattern"),
    ),
    "dots3_note_vision_encoder": (
        ("per_layer_config", {}, "its keys are layers of the full depth"),
    ),
    "gpt_neo": (
        ("attention_types", [[["global", "local", "local"], 1]], "one for each of three layers"),
    ),
    "lw_detr_vit": (
        ("num_windows", 4, "windows of windows have to divide the image"),
    ),
    "bamba": (
        ("attn_layer_indices", [1], "an attention layer and one of Mamba"),
    ),
    "bailing_hybrid": (
        ("layer_group_size", 2, "an attention layer comes last in each group"),
    ),
    "cvt": (
        ("depth", [1, 2, 3], "a stage's rates of dropped paths are as many as its blocks"),
    ),
    "mamba2": (
        ("head_dim", 12, "heads times this is twice the width"),
    ),
    "neomme": (
        ("head_dim", 16, "a quarter of it is rotated, by two axes"),
    ),
    "muse_spark_audio": (
        ("num_hidden_layers", 4, "one for each entry of the lists of patches and widths"),
    ),
    "cosmos3_edge_text": (
        ("rope_parameters", {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 2, 1]},
         "sections of half a head of 10"),
    ),
    "efficientloftr": (
        ("out_features", [8, 8, 12, 24], "the last one is the width"),
    ),
    "depth_pro": (
        ("patch_size", 32, "the image size of its three encoders"),
    ),
    "molmo2_adapter": (
        ("vision_feature_layer", [-1, -2], "layers of the tiny encoder"),
    ),
    "zamba": (
        ("num_hidden_layers", 6, "an attention layer comes after four of Mamba"),
    ),
    "zamba2": (
        ("layers_block_type", ["mamba", "hybrid"], "the default list is of 54 layers"),
    ),
    "zaya": (
        ("num_experts_per_tok", 1, "it supports no other number"),
    ),
    "swin": (
        ("depths", [2, 2], "shifted windows need pairs of blocks; two stages show a merging"),
        ("num_heads", [2, 4], "one entry for each stage"),
        ("patch_size", 2, "16 windows' positions on a side, padded to whole windows of 3"),
    ),
    "detr": (
        ("backbone_config",
         {"model_type": "resnet", "out_features": ["stage1", "stage2", "stage3", "stage4"]},
         "the default backbone is timm's; Transformers' own residual network needs no package"),
        ("d_model", 64, "the mask head divides the width by 64"),
        ("encoder_attention_heads", 8, "the mask head wants width plus heads divisible by 8"),
        ("decoder_attention_heads", 4, "divides the width of 64"),
    ),
    "t5": (
        ("initializer_factor", 0.5, "its initial weights are large: with the twin's noise on top, a"
         " gated layer is 6e-6 from its float64 in torch itself, and 1e-5 is the limit"),
        ("decoder_start_token_id", 0, "every published config has it; the class gives no default"),
    ),
    "deberta-v2": (
        ("relative_attention", True, "every published checkpoint has it; not the default"),
        ("pos_att_type", ["p2c", "c2p"], "as in every published checkpoint"),
        ("position_buckets", 4, "as in every published checkpoint, shrunk from 256"),
        ("norm_rel_ebd", "layer_norm", "as in every published checkpoint"),
        ("share_att_key", True, "as in every published checkpoint"),
        ("position_biased_input", False, "as in every published checkpoint"),
    ),
    "convnext": (
        ("layer_scale_init_value", 0.5, "1e-6 would hide the blocks behind their residuals"),
    ),
}  # fmt: skip

# Further configs of a model type that reach code its tiny config leaves out.
VARIANTS: dict[str, tuple[dict[str, Any], ...]] = {
    "t5": ({"feed_forward_proj": "gated-gelu"},),
    "wav2vec2": (
        {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "adapter_attn_dim": 12},
        {"add_adapter": True, "output_hidden_size": 26, "num_adapter_layers": 2},
        {"mask_feature_prob": 0.5, "mask_feature_min_masks": 1, "mask_feature_length": 2},
    ),
    "whisper": ({"apply_spec_augment": True, "mask_feature_prob": 0.5, "mask_time_length": 2,
                 "mask_feature_length": 2},),
    "deberta-v2": (
        {"conv_kernel_size": 3, "type_vocab_size": 3, "embedding_size": 20, "share_att_key": False,
         "position_biased_input": True},
        {"relative_attention": False, "pos_att_type": None},
    ),
    "detr": ({"position_embedding_type": "learned"},),
    "qwen3": (
        {"use_sliding_window": True, "sliding_window": 5, "max_window_layers": 1,
         "layer_types": None},
    ),
    "mixtral": ({"sliding_window": 5},),
    "electra": ({"summary_type": "mean"}, {"summary_use_proj": False}),
    "gpt2": ({"n_inner": 37}, {"summary_type": "last"}),
    "llama": ({"head_dim": 10, "num_key_value_heads": 4}, {"pretraining_tp": 2}),
    "clip": ({"text_config": {"eos_token_id": 2}},),
    "convnext": ({"layer_scale_init_value": 0.0},),
    "mamba": ({"time_step_init_scheme": "constant"},),
    "mistral": ({"sliding_window": None},),
}  # fmt: skip

# What a class needs of its config, by the end of its name.
BY_CLASS: tuple[tuple[str, dict[str, Any], str], ...] = (
    ("ForQuestionAnswering", {"num_labels": 2}, "the head splits its labels into start and end"),
    ("ForSequenceClassification", {"num_labels": 6}, "differs from batch, heads and lengths"),
    ("", {"num_labels": 6}, "differs from batch, heads and lengths"),
)


def tiny_config(model_type: str, class_name: str = "", **overrides: Any) -> PreTrainedConfig:
    """The tiny config of a model type, as `class_name` needs it."""
    return _shrink(CONFIG_MAPPING[model_type], 0, {**by_class(class_name), **overrides})


def shrink_config(
    config_class: type[PreTrainedConfig], class_name: str = "", **overrides: Any
) -> PreTrainedConfig:
    """Like `tiny_config`, for a config class (of a sub-model such as CLIP's text tower)."""
    return _shrink(config_class, 0, {**by_class(class_name), **overrides})


def round_config(
    config_class: type[PreTrainedConfig], class_name: str = "", **overrides: Any
) -> PreTrainedConfig:
    """Like `shrink_config`, with heads of eight, none of them grouped, and parts of one width: for
    models that rotate by two axes, whose heads share nothing, or whose parts feed each other as
    they are.
    """
    return _shrink(config_class, 0, {**by_class(class_name), **overrides}, rounded=True)


# What a round config sets in place of the tables above.
ROUND: dict[str, Any] = {
    "num_key_value_heads": 4, "head_dim": 8, "embed_dim": 32, "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8, "v_head_dim": 8, "index_head_dim": 16, "patch_size": 8,
    "decoder_attention_heads": 4, "projection_dim": 32, "num_mel_bins": 16, "num_channels": 3,
    "num_experts_per_tok": 2,
}  # fmt: skip


def by_class(class_name: str) -> dict[str, Any]:
    """What a class needs of its config."""
    return dict(next(values for suffix, values, _ in BY_CLASS if class_name.endswith(suffix)))


def _shrink(
    config_class: type[PreTrainedConfig],
    salt: int,
    overrides: dict[str, Any],
    given: dict[str, Any] | None = None,
    rounded: bool = False,
) -> PreTrainedConfig:
    """A tiny config; `given` stands in place of the class's own defaults."""
    own = defaults_of(config_class)
    given = dict(given or {})
    stages = _tiny_stages(given, own)
    keeps_stages = stages is not None and "depths" in own
    rows = () if keeps_stages else EXCEPTIONS.get(config_class.model_type, ())
    exceptions = {name: value for name, value, _ in rows} | (stages or {})
    defaults = {**own, **given}
    values: dict[str, Any] = dict(given)
    subs = sub_configs_of(config_class)
    step = 0 if rounded or config_class.model_type in SAME_WIDTH else 1
    for order, (name, (sub, sub_given)) in enumerate(subs.items()):
        values[name] = _shrink(sub, salt + step * order, {}, sub_given, rounded)
    # What is rotated has to have even heads, of which there are four; round ones are of eight.
    width = 2 if rounded else 2 * salt if "rope_parameters" in own else salt
    for name, default in defaults.items():
        if name in exceptions:
            value = exceptions[name]
            values[name] = (
                _nested(value, salt) if isinstance(value, dict) and "model_type" in value else value
            )
        elif rounded and name in ROUND and (isinstance(default, int) or name in NOT_LEFT_OUT):
            values[name] = ROUND[name]
        elif name not in subs and (size := size_of(name, default, width)) is not None:
            values[name] = size
    values.update({name: value for name, value in exceptions.items() if name not in defaults})
    _couple(values, defaults)
    values.update(special_tokens_of(values, defaults))
    return config_class(**{**values, **overrides})


def _tiny_stages(given: dict[str, Any], own: dict[str, Any]) -> dict[str, Any] | None:
    """For a backbone whose stages are its layers: as many layers as a composite takes outputs of.

    Args:
        given: what the composite asks of the backbone.
        own: the backbone's defaults.

    Returns:
        The fields to set, None where no outputs are asked for.
    """
    taken = given.get("out_indices") or given.get("out_features")
    if not taken:
        return None
    if "num_hidden_layers" not in own or "depths" in own:
        return {}
    numbers = range(1, len(taken) + 1)
    moved = {"out_indices": [*numbers], "out_features": [f"stage{number}" for number in numbers]}
    return {"num_hidden_layers": len(taken)} | {k: v for k, v in moved.items() if k in given}


def _couple(values: dict[str, Any], defaults: dict[str, Any]) -> None:
    """Make equal what has to be."""
    for target, source in COUPLED:
        owner, _, field = source.rpartition(".")
        value = getattr(values.get(owner), field, None) if owner else values.get(field)
        wanted, _, name = target.rpartition(".")
        if value is None:
            continue
        if not wanted and name in defaults:
            values[name] = value
        for part_name, part in values.items():
            if wanted in ("*", part_name) and isinstance(part, PreTrainedConfig):
                if hasattr(part, name):
                    setattr(part, name, value)


def sub_configs_of(
    config_class: type[PreTrainedConfig],
) -> dict[str, tuple[type[PreTrainedConfig], dict[str, Any]]]:
    """The config classes of a composite model's parts, with what the composite asks of them."""
    if not config_class.sub_configs:
        return {}
    specs = getattr(config_class, "sub_configs_defaults", {})
    whole = config_class()
    parts = {name: getattr(whole, name, None) for name in config_class.sub_configs}
    return {
        name: (type(part), dict(specs[name].init_kwargs) if name in specs else {})
        for name, part in parts.items()
        if isinstance(part, PreTrainedConfig)
    }


def _nested(value: dict[str, Any], salt: int) -> PreTrainedConfig:
    given = {key: entry for key, entry in value.items() if key != "model_type"}
    return _shrink(CONFIG_MAPPING[value["model_type"]], salt, given)


def defaults_of(config_class: type[PreTrainedConfig]) -> dict[str, Any]:
    """The fields of a config class that have a default, and these."""
    found = {}
    for field in fields(config_class):
        if field.default is not MISSING:
            found[field.name] = field.default
        elif field.default_factory is not MISSING:
            found[field.name] = field.default_factory()
    return found


def size_of(name: str, default: Any, salt: int) -> Any:
    """The tiny size of a field by `SIZES`; None where the default stays."""
    if isinstance(default, bool) or default == 0 or (default is None and name not in GIVEN):
        return None  # a switch, left out, or derived from other fields by the class itself
    for pattern, value in SIZES:
        if re.fullmatch(pattern, name):
            shrunk = value(default, salt) if callable(value) else value
            if isinstance(default, (list, tuple)) != isinstance(shrunk, list):
                return [shrunk] * len(default) if isinstance(default, (list, tuple)) else None
            return shrunk
    return None


def special_tokens_of(values: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    """Ids that fit the vocabulary, equal where the defaults are equal; a padding id where there is
    none. Those of a composite model fit the vocabulary of its text part, and are none of that
    part's own.
    """
    vocab = values.get("vocab_size", defaults.get("vocab_size"))
    if isinstance(vocab, int):
        return _special_tokens(defaults, vocab, vocab - 1)
    for name in TEXT_PARTS:
        nested = getattr(values.get(name), "vocab_size", None)
        if isinstance(nested, int):
            return _special_tokens(defaults, nested, nested // 2)
    return {}


TEXT_PARTS = ("text_config", "language_config", "llm_config", "thinker_config", "decoder")
SPECIAL = ("_token_id", "_token_index")


def _special_tokens(defaults: dict[str, Any], vocab: int, highest: int) -> dict[str, Any]:
    given = {
        name: value
        for name, value in defaults.items()
        if name.endswith(SPECIAL) and isinstance(value, int)
    }
    large = sorted({value for value in given.values() if value >= vocab}, reverse=True)
    moved = {value: highest - i for i, value in enumerate(large)}
    tokens: dict[str, Any] = {name: moved.get(value, value) for name, value in given.items()}
    if "pad_token_id" in defaults and defaults["pad_token_id"] is None:
        tokens["pad_token_id"] = highest - len(large)
    for name, value in defaults.items():
        if name.endswith("suppress_tokens") and value:
            tokens[name] = [token for token in value if token < vocab]
    return tokens
