"""Sizes: the tiny size of a field, by rules over its name.

Sizes that can stand on two axes of one array differ from each other, so that a transposition shows
as a wrong shape.
"""

from __future__ import annotations

import re
from typing import Any

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
    (r"max_im(g|age)_size", 64),
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
    (r"(moe_)?shared(_expert)?_intermediate_size", 23),
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
    (r"latent_query_num", 5),
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

# Fields that get a size even where the class would derive them: groups of heads must not be
# trivial.
GIVEN = frozenset({"num_key_value_heads", "prediction_length"})

# Fields that a round config sets even where they are None.
NOT_LEFT_OUT = GIVEN | {"num_experts_per_tok"}

# What a round config sets in place of the tables above.
ROUND: dict[str, Any] = {
    "num_key_value_heads": 4, "head_dim": 8, "embed_dim": 32, "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8, "v_head_dim": 8, "index_head_dim": 16, "patch_size": 8,
    "decoder_attention_heads": 4, "projection_dim": 32, "num_mel_bins": 16, "num_channels": 3,
    "num_experts_per_tok": 2,
}  # fmt: skip


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
