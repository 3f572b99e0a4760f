"""Exceptions of what reads text."""

from __future__ import annotations

from keraform.verify.tiny.exceptions.rows import Rows, shared_width

ROWS: dict[str, Rows] = {
    "esmc": (
        ("num_key_value_heads", 4, "it has no groups of heads"),
    ),
    "glm5_next_text": (
        ("qk_rope_head_dim", 0, "nothing is rotated"),
        ("num_key_value_heads", 4, "it has no groups of heads"),
    ),
    "gpt_neo": (
        ("attention_types", [[["global", "local", "local"], 1]], "one for each of three layers"),
    ),
    "bamba": (
        ("attn_layer_indices", [1], "an attention layer and one of Mamba"),
    ),
    "mamba2": (
        ("head_dim", 12, "heads times this is twice the width"),
    ),
    "cosmos3_edge_text": (
        ("rope_parameters", {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 2, 1]},
         "sections of half a head of 10"),
    ),
    "zamba": (
        ("num_hidden_layers", 8, "the eighth is a second attention layer, of the same weights"),
    ),
    "zamba2": (
        ("layers_block_type", ["mamba", "hybrid"], "the default list is of 54 layers"),
    ),
    "zaya": (
        ("num_experts_per_tok", 1, "it supports no other number"),
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
    "ministral": (
        ("head_dim", 10, "the class derives none, unlike its kin"),
    ),
    "hunyuan_v1_moe": (
        ("head_dim", 10, "the class derives none, unlike its kin"),
    ),
    "granitemoehybrid": (
        ("layer_types", ["mamba", "attention"], "the default has no attention"),
        ("mamba_n_heads", 6, "divides twice the width"),
    ),
    "hunyuan_v1_dense": (
        ("head_dim", 10, "the class derives none, unlike its kin"),
    ),
    "dots1": (
        ("n_routed_experts", 6, "every published config has experts; the class gives no number"),
        ("num_experts_per_tok", 2, "every published config has experts; the class gives no number"),
        ("first_k_dense_replace", 1, "a dense layer and one of experts"),
    ),
    "exaone_moe": (
        ("num_experts", 6, "two groups of experts"),
    ),
    "recurrent_gemma": (
        ("num_hidden_layers", 3, "the third layer is the first with attention"),
    ),
    "hunyuan_vl_text": (
        ("head_dim", 10, "the class derives none, unlike its kin"),
    ),
    "esm": (
        ("vocab_size", 33, "the class gives no default"),
        ("mask_token_id", 32, "the class gives no default"),
    ),
    "lfm2_moe": (
        ("layer_types", ["conv", "full_attention"], "the class gives no default"),
    ),
    "qwen4_exp_text": (
        ("indexer_compress_ratio", 2, "the class gives no default"),
        ("indexer_budget", 8, "the class gives no default"),
        ("indexer_n_heads", 3, "the class gives no default"),
        ("indexer_kv_heads", 1, "it supports no other number"),
        ("indexer_head_dim", 10, "the class gives no default"),
    ),
    "xmod": (
        ("default_language", "en_XX", "the class gives no default"),
    ),
    "diffusion_gemma_text": (
        ("num_experts", 5, "the class gives no default"),
        ("top_k_experts", 2, "the class gives no default"),
        ("moe_intermediate_size", 19, "the class gives no default"),
    ),
    "bailing_hybrid": (
        ("layer_group_size", 2, "an attention layer comes last in each group"),
        ("num_experts", 6, "two groups of experts"),
    ),
    "cohere_compass_text": (
        ("rope_parameters",
         {"full_attention": {"rope_type": "default", "rope_theta": 1e4},
          "sliding_attention": {"rope_type": "default", "rope_theta": 1e4}},
         "of each kind of layer, as in every published config"),
    ),
    "gemma3n_text": (
        ("num_hidden_layers", 4, "two of each kind"),
        ("layer_types", ["sliding_attention", "full_attention"] * 2, "two of each kind"),
        ("num_kv_shared_layers", 2, "one of each kind has keys of its own"),
        ("activation_sparsity_pattern", [0.95, 0.0, 0.0, 0.95], "one for each layer"),
    ),
    "dots3_note_text": (
        ("num_key_value_heads", 4, "it has no groups of heads"),
        ("swa_num_attention_heads", 4, "layers of sliding windows have sizes of their own"),
        ("swa_num_key_value_heads", 4, "layers of sliding windows have sizes of their own"),
        ("swa_q_lora_rank", 18, "layers of sliding windows have sizes of their own"),
        ("swa_kv_lora_rank", 14, "layers of sliding windows have sizes of their own"),
        ("swa_head_dim", 14, "layers of sliding windows have sizes of their own"),
        ("swa_qk_nope_head_dim", 8, "layers of sliding windows have sizes of their own"),
        ("swa_v_head_dim", 11, "layers of sliding windows have sizes of their own"),
        ("sliding_window_size", 5, "shorter than the text"),
    ),
    "xlstm": (
        ("hidden_size", 128, "half of it is rounded up to multiples of 64"),
    ),
    "lilt": (
        ("channel_shrink_ratio", 2, "leaves twelve channels for four heads"),
    ),
    "rag": (
        ("question_encoder", {"model_type": "dpr"}, "as every published config"),
        ("generator", {"model_type": "bart"}, "as every published config"),
        ("n_docs", 2, "documents of a question"),
    ),
    "bridgetower_text_model": (
        ("hidden_size", 128, "a head has 64 channels"),
    ),
    "dbrx": (
        ("attn_config", {"rope_theta": 1e4, "kv_n_heads": 2, "clip_qkv": 8.0},
         "every published config has a base and a limit; the class gives no default"),
    ),
    "step3p5": (
        ("sliding_window", 5, "the class gives no default"),
    ),
    "kimi_linear": (
        ("num_experts", 6, "two groups of experts"),
    ),
    "pix2struct_text_model": (
        ("d_kv", shared_width, "the heads together are as wide as a token"),
    ),
}  # fmt: skip
