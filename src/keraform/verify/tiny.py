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

from keraform.verify.exceptions import EXCEPTIONS
from keraform.verify.widths import narrow

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
    (r"(num_)?decoder_layers|(decoder_)?num_hidden_layers|n_layers?", 2),
    (
        r"encoder_layers|num_layers",
        3,
    ),  # never fewer than the decoder's: BartForCausalLM sizes its cache by them
    (r"((num_|encoder_)?attention|num|n)_heads?", 4),
    # six where they divide the width
    (r"decoder_attention_heads", lambda default, salt: 6 if salt % 3 == 0 else 4),
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
    (r"num_local_experts|num_experts", lambda default, salt: 5 if default > 1 else default),
    (r"num_experts_per_tok", 2),
    (r"image_size", 32),
    (r"patch_size", 4),
    (r"encoder_stride", 4),
    (r"num_channels", 5),
    (r"projection_dim", 18),
    (r"pooler_output_size", 22),
    (r"window_size", lambda default, salt: 3 if default < 100 else 16),  # or pixels
    (r"fullatt_block_indexes|global_attn_indexes", [1]),
    (r"deepstack_visual_indexes", [0, 1]),
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
    (r"base_channels", 32),  # a norm of 32 groups is written in the code
    (r"channel_multiplier", [1, 2]),
    (r"num_res_blocks", 1),
    (r"num_embeddings", 33),
    (r"num_groups", 4),
    (r"num_filters", 6),
    (r"prediction_length", 5),
    (r"num_denoising", 4),
    (r"mm_tokens_per_image", 16),
    (r"zero_expert_num", 2),
    (r"num_query_tokens", 4),
    (r"n_window", 8),
    (r"n_window_infer", 32),
    (r"linear_num_heads", 4),
    (r"linear_head_dim", 10),
    (r"global_head_dim", 12),
    (r"(mamba_)?n_groups", lambda default, salt: 2 if default > 1 else default),
    (r".*_heads", 4),
    (r"(.*_)?vocab_size(_.*)?|.*_vocab", lambda default, salt: min(default, 99 + 4 * salt)),
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
    ("upsample_groups", "hidden_size"),
    ("vision_config.fpn_hidden_size", "mask_decoder_config.hidden_size"),
    ("prompt_encoder_config.hidden_size", "mask_decoder_config.hidden_size"),
    ("decoder_config.cross_hidden_size", "encoder_config.hidden_size"),
)

# Composite models whose parts have to be equally wide.
SAME_WIDTH = frozenset({"t5gemma2", "tipsv2", "pix2struct"})

# Fields that get a size even where the class would derive them: groups of heads must not be
# trivial.
GIVEN = frozenset({"num_key_value_heads", "prediction_length"})

# Fields that a round config sets even where they are None.
NOT_LEFT_OUT = GIVEN | {"num_experts_per_tok"}

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
    ("T5GemmaEncoderModel", {"is_encoder_decoder": False}, "it refuses the other half"),
    ("ReformerModelWithLMHead", {"is_decoder": True}, "it asks for it"),
    ("Blip2ForImageTextRetrieval", {"qformer_config.use_qformer_text_input": True},
     "its text goes through the Q-former"),
    ("Blip2TextModelWithProjection", {"qformer_config.use_qformer_text_input": True},
     "its text goes through the Q-former"),
    ("BeitForMaskedImageModeling", {"num_labels": 6, "use_mask_token": True},
     "it masks only where asked to"),
    ("ForQuestionAnsweringSimple", {"num_labels": 2}, "the head splits its labels in two"),
    ("ForSequenceClassification", {"num_labels": 6}, "differs from batch, heads and lengths"),
    ("", {"num_labels": 6}, "differs from batch, heads and lengths"),
)  # fmt: skip


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
    overrides, inner = split_overrides(overrides)
    step = 0 if rounded or config_class.model_type in SAME_WIDTH else 1
    for order, (name, (sub, sub_given)) in enumerate(subs.items()):
        values[name] = _shrink(sub, salt + step * order, inner.get(name, {}), sub_given, rounded)
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
        elif name not in subs:
            size = size_of(name, default, width)
            size = narrow(name, default) if size is None else size
            if size is not None:
                values[name] = size
    values.update({name: value for name, value in exceptions.items() if name not in defaults})
    values.update({k: value(values) for k, value in values.items() if callable(value)})
    _couple(values, defaults)
    values.update(special_tokens_of(values, defaults))
    return consistent(config_class, {**values, **overrides})


def consistent(config_class: type[PreTrainedConfig], values: dict[str, Any]) -> PreTrainedConfig:
    """The config of some values, with what follows from them: one layer of each kind, and rotary
    sections that fill a head.
    """
    config = config_class(**values)
    found = layer_kinds(config_class, config, values) | _rotary_sections(config, values)
    return config_class(**{**values, **found}) if found else config


def _rotary_sections(config: PreTrainedConfig, values: dict[str, Any]) -> dict[str, Any]:
    """Three sections of half a head, for time, height and width, where the class has such."""
    ignored = getattr(config, "ignore_keys_at_rope_validation", None) or ()
    rope = getattr(config, "rope_parameters", None)
    if "mrope_section" not in ignored or not isinstance(rope, dict) or "rope_parameters" in values:
        return {}
    return {"rope_parameters": _with_sections(config, rope)}


def _with_sections(config: PreTrainedConfig, rope: dict[str, Any]) -> dict[str, Any]:
    if "rope_theta" not in rope:  # one for each kind of layer
        return {
            kind: _with_sections(config, each) if isinstance(each, dict) else each
            for kind, each in rope.items()
        }
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    half = int(size * rope.get("partial_rotary_factor", 1.0)) // 2
    third = half // 3
    return {**rope, "mrope_section": [half - 2 * third, third, third]}


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


LAYER_KINDS = ("layer_types", "mlp_layer_types", "layers_block_type")


def layer_kinds(
    config_class: type[PreTrainedConfig], config: PreTrainedConfig, values: dict[str, Any]
) -> dict[str, Any]:
    """One layer of each kind that the class's own config has, where the tiny one lacks a kind.

    Args:
        config_class: the class.
        config: the tiny config.
        values: what it was made with.

    Returns:
        The lists of kinds and their length; empty where nothing is lacking.
    """
    own = defaults_of(config_class)
    lists = [
        name
        for name in LAYER_KINDS
        if name in own and _is_list(config, name) and not values.get(name)
    ]
    said = {name for name, _, _ in EXCEPTIONS.get(config_class.model_type, ())}
    if not lists or not isinstance(getattr(config, "num_hidden_layers", None), int):
        return {}
    if "num_hidden_layers" in said:
        return {}
    whole = config_class()
    lists = [name for name in lists if _is_list(whole, name)]
    if all(set(getattr(whole, name)) <= set(getattr(config, name)) for name in lists):
        return {}
    layers = list(dict.fromkeys(zip(*(getattr(whole, name) for name in lists), strict=False)))
    layers = _covering(layers)
    layers += layers[-1:] * (2 - len(layers))
    columns = zip(*layers, strict=True)
    return {
        "num_hidden_layers": len(layers),
        **{name: list(column) for name, column in zip(lists, columns, strict=True)},
    }


def _is_list(config: PreTrainedConfig, name: str) -> bool:
    return isinstance(getattr(config, name, None), list | tuple)


def _covering(layers: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """The layers that bring a kind which none before them has, or a new pair, up to four."""
    seen: set[tuple[int, str]] = set()
    needed = []
    for layer in layers:
        kinds = set(enumerate(layer))
        if not kinds <= seen:
            needed.append(layer)
        seen |= kinds
    extra = [layer for layer in layers if layer not in needed][: max(0, 4 - len(needed))]
    return [layer for layer in layers if layer in needed or layer in extra]


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
    parts |= {name: _optional(specs[name]) for name in specs if parts.get(name, 0) is None}
    return {
        name: _here(part, dict(specs[name].init_kwargs) if name in specs else {})
        for name, part in parts.items()
        if isinstance(part, PreTrainedConfig)
    }


def _optional(spec: Any) -> PreTrainedConfig | None:
    """A part that the class leaves out by default, where Transformers has it itself."""
    if not spec.optional or "timm" in (spec.model_type or ""):
        return None
    config_class = CONFIG_MAPPING[spec.model_type] if spec.model_type else spec.config_class
    return config_class()


def _here(
    part: PreTrainedConfig, given: dict[str, Any]
) -> tuple[type[PreTrainedConfig], dict[str, Any]]:
    """The class of a part and what is asked of it; Transformers' own residual network, which needs
    no package, in place of a convolutional backbone of timm's.
    """
    if part.model_type != "timm_backbone":
        return type(part), given
    stages = getattr(part, "out_indices", None) or [-1]
    wanted = [f"stage{index if index > 0 else 5 + index}" for index in stages]
    return CONFIG_MAPPING["resnet"], {"out_features": wanted}


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
    for name in TEXT_PARTS:
        nested = getattr(values.get(name), "vocab_size", None)
        if isinstance(nested, int):
            return _special_tokens(defaults, nested, nested // 2)
    vocab = values.get("vocab_size", defaults.get("vocab_size"))
    return _special_tokens(defaults, vocab, vocab - 1) if isinstance(vocab, int) else {}


TEXT_PARTS = ("text_config", "language_config", "llm_config", "thinker_config", "decoder")
SPECIAL = ("_token_id", "_token_index")
PLACEHOLDERS = tuple(f"{part}{end}" for part in ("image", "video", "audio") for end in SPECIAL)


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
    free = highest - len(large) - 1
    for name in (each for each in PLACEHOLDERS if each in defaults and defaults[each] is None):
        tokens[name] = free
        free -= 1
    for name, value in defaults.items():
        if name.endswith("suppress_tokens") and value:
            tokens[name] = [token for token in value if token < vocab]
    return tokens
