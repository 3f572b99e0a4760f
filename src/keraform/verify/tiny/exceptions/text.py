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
    "longformer": (
        ("attention_window", 8, "every text is padded to whole windows, by default of 512"),
    ),
    "led": (
        ("attention_window", 8, "every text is padded to whole windows, by default of 512"),
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
        ("n_shared_experts", 1, "every published config has some; the class gives no number"),
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
        ("global_head_dim", 12, "shrunk from 512; the class has no field for it"),
    ),
    **{
        name: (
            ("global_head_dim", 12, "shrunk from 512; the class has no field for it"),
        )
        for name in ("embedding_gemma2_text", "gemma4_text", "gemma4_unified_text")
    },
    "bailing_hybrid": (
        ("layer_group_size", 2, "an attention layer comes last in each group"),
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
    "pix2struct_text_model": (
        ("d_kv", shared_width, "the heads together are as wide as a token"),
        ("initializer_range", 0.02, "the whole model's config gives it to its parts"),
    ),
    "longcat_flash": (
        ("head_dim", 6, "what is rotated of a head"),
        ("num_key_value_heads", 4, "it has no groups of heads"),
        ("moe_topk", 2, "shrunk from 12"),
        ("ffn_hidden_size", 37, "shrunk from 12288"),
        ("expert_ffn_hidden_size", 19, "shrunk from 2048"),
    ),
    "blt": (
        ("encoder_hash_byte_group_vocab", 50, "shrunk from 500002"),
        ("encoder_hash_byte_group_size", [3, 4], "the class gives six lengths by default"),
        ("num_hidden_layers", 2, "its cache asks the whole config, which has no such field"),
        ("encoder_config.vocab_size", 99, "the parts read the same bytes"),
        ("decoder_config.vocab_size", 99, "the parts read the same bytes"),
        ("patcher_config.vocab_size", 99, "the parts read the same bytes"),
        ("encoder_config.hidden_size", 24, "the decoder is as wide"),
        ("decoder_config.hidden_size", 24, "the encoder is as wide"),
        ("encoder_config.hidden_size_global", 40, "the width of the part between them"),
        ("decoder_config.hidden_size_global", 40, "the width of the part between them"),
        ("global_config.hidden_size", 40, "as the two others say"),
    ),
    "gemma4_assistant": (
        ("text_config.hidden_size_per_layer_input", 0, "it refuses any other value"),
        ("text_config.vocab_size_per_layer_input", 0, "it refuses any other value"),
        ("text_config.enable_moe_block", False, "it refuses any other value"),
        ("text_config.use_double_wide_mlp", False, "it refuses any other value"),
    ),
    "t5gemma2_text": (
        ("dropout_rate", 0.1, "the whole model's config gives it to its parts"),
    ),
    "reformer": (
        ("axial_pos_embds_dim", [8, 16], "together as wide as a token"),
        ("axial_pos_shape", [6, 8], "as many as the positions"),
        ("attn_layers", ["local", "lsh"], "one of each kind"),
        ("local_attn_chunk_length", 4, "shorter than the text"),
        ("lsh_attn_chunk_length", 4, "shorter than the text"),
        ("num_buckets", 2, "for chunks of four"),
        ("hash_seed", 0, "drawn rotations would differ from run to run"),
    ),
    "jamba": (
        ("attn_layer_period", 2, "one layer in two has attention"),
        ("attn_layer_offset", 1, "one layer in two has attention"),
    ),
    "deepseek_ocr2_text": (
        ("mlp_layer_types", ["dense", "sparse"], "the class gives no default for two layers"),
        ("num_experts_per_tok", 2, "the class gives no default"),
    ),
}  # fmt: skip
