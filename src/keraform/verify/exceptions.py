"""Exceptions: what has to be said by hand of a model type's tiny config, each row with its
reason.
"""

from __future__ import annotations

from typing import Any


def four_widths(values: dict[str, Any]) -> int:
    """Four times the width."""
    return 4 * int(values["hidden_size"])


def shared_width(values: dict[str, Any]) -> int:
    """The width shared by four heads."""
    return int(values["hidden_size"]) // 4


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
        ("num_hidden_layers", 8, "the eighth is a second attention layer, of the same weights"),
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
    "aria": (
        ("projector_patch_to_query_dict", {64: 5, 16: 5},
         "as many patches as the tiny image has, and the round one"),
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
    "align_vision_model": (
        ("width_coefficient", 0.25, "scales the lists of channels"),
        ("depth_coefficient", 0.3, "scales the lists of repeats"),
        ("hidden_dim", 320, "1280 channels of the head, scaled"),
    ),
    "efficientnet": (
        ("width_coefficient", 0.25, "scales the lists of channels"),
        ("depth_coefficient", 0.3, "scales the lists of repeats"),
        ("hidden_dim", 320, "1280 channels of the head, scaled"),
        ("image_size", 64, "five of its stages halve the image"),
    ),
    "autoformer": (
        ("num_time_features", 2, "a decoder wants to know when its steps are"),
    ),
    "informer": (
        ("num_time_features", 2, "a decoder wants to know when its steps are"),
    ),
    "time_series_transformer": (
        ("num_time_features", 2, "a decoder wants to know when its steps are"),
    ),
    "sam2_hiera_det_model": (
        ("image_size", [64, 64], "a side of sixteen patches of the first stage"),
        ("hidden_size", 8, "of the first stage, equal to `embed_dim_per_stage`"),
        ("embed_dim_per_stage", [8, 16, 32, 64], "doubles"),
        ("num_attention_heads_per_stage", [1, 2, 4, 8], "doubles"),
        ("blocks_per_stage", [1, 2, 2, 1], "shrunk from 12 blocks"),
        ("window_size_per_stage", [4, 2, 4, 2], "shrunk with the image"),
        ("window_positional_embedding_background_size", [4, 4], "shrunk with the image"),
        ("global_attention_blocks", [4], "one of six, not the first of its stage"),
    ),
    "bit": (
        ("hidden_sizes", [8, 16, 24, 32], "channels are rounded to multiples of eight"),
        ("embedding_size", 8, "divisible by the groups of a norm"),
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
    "seggpt": (
        ("image_size", [64, 32], "a prompt above the image"),
        ("pretrain_image_size", 32, "a square table of positions"),
        ("num_hidden_layers", 5, "those that the decoder takes come after the merging"),
        ("intermediate_hidden_state_indices", [1, 2, 3, 4], "of the tiny encoder"),
        ("merge_index", 0, "before them"),
    ),
    "voxtral_encoder": (
        ("intermediate_size", four_widths, "four positions become one, four times as wide"),
        ("max_source_positions", 16, "divisible by four"),
    ),
    "glmasr_encoder": (
        ("intermediate_size", four_widths, "four positions become one, four times as wide"),
        ("max_source_positions", 16, "divisible by four"),
    ),
    "dpt": (
        ("num_hidden_layers", 4, "one for each size of the neck"),
        ("backbone_out_indices", [0, 1, 2, 3], "of the tiny encoder"),
    ),
    "hiera": (
        ("decoder_hidden_size", 20, "the class gives no default"),
        ("decoder_depth", 1, "the class gives no default"),
        ("decoder_num_heads", 4, "the class gives no default"),
    ),
    "llava_next": (
        ("image_grid_pinpoints", [[32, 32]], "the image whole and as one tile"),
    ),
    "llava_next_video": (
        ("image_grid_pinpoints", [[32, 32]], "the image whole and as one tile"),
    ),
    "maskformer": (
        ("fpn_feature_size", 32, "a norm of 32 groups is written in the code"),
        ("mask_feature_size", 32, "a norm of 32 groups is written in the code"),
    ),
    "vitpose_backbone": (
        ("patch_size", 16, "patches are padded by two pixels, as many as add none of this size"),
        ("image_size", [64, 48], "three columns of patches"),
    ),
    "wav2vec2-conformer": (
        ("vocab_size", 35, "the class gives no default"),
    ),
    "wav2vec2-bert": (
        ("vocab_size", 35, "the class gives no default"),
    ),
    "esm": (
        ("vocab_size", 33, "the class gives no default"),
        ("mask_token_id", 32, "the class gives no default"),
    ),
    "gemma4_audio": (
        ("subsampling_conv_channels", [80, 6], "the first is also the number of bands"),
    ),
    "lfm2_moe": (
        ("layer_types", ["conv", "full_attention"], "the class gives no default"),
    ),
    "moonshine_streaming": (
        ("num_key_value_heads", 2, "every published config has it; the class has not"),
    ),
    "qwen4_exp_text": (
        ("indexer_compress_ratio", 2, "the class gives no default"),
        ("indexer_budget", 8, "the class gives no default"),
        ("indexer_n_heads", 3, "the class gives no default"),
        ("indexer_kv_heads", 1, "it supports no other number"),
        ("indexer_head_dim", 10, "the class gives no default"),
    ),
    "granite_speech": (
        ("window_size", 6, "divisible by the rate"),
        ("downsample_rate", 3, "divides the window"),
    ),
    "granite_speech_plus": (
        ("window_size", 6, "divisible by the rate"),
        ("downsample_rate", 3, "divides the window"),
    ),
    "xmod": (
        ("default_language", "en_XX", "the class gives no default"),
    ),
    "clipseg": (
        ("extract_layers", [0, 1], "of the tiny encoder"),
    ),
    "diffusion_gemma_text": (
        ("num_experts", 5, "the class gives no default"),
        ("top_k_experts", 2, "the class gives no default"),
        ("moe_intermediate_size", 19, "the class gives no default"),
    ),
    "vilt": (
        ("num_images", 2, "as many as a row has in the task with several"),
        ("modality_type_vocab_size", 3, "text and two images"),
    ),
    "conditional_detr": (
        ("d_model", 64, "the mask head wants width plus heads divisible by 8"),
        ("encoder_attention_heads", 8, "the mask head wants width plus heads divisible by 8"),
        ("decoder_attention_heads", 4, "divides the width of 64"),
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
    "perceiver": (
        ("num_cross_attention_heads", 1, "as in every published config; widths of 261 share none"),
    ),
    "dac": (
        ("encoder_hidden_size", 6, "doubles four times"),
        ("decoder_hidden_size", 96, "halves four times"),
    ),
    "emu3": (
        ("vocabulary_map",
         {"<image>": 40, "<|extra_200|>": 41,
          **{f"<|visual token {i:06d}|>": 50 + i for i in range(33)}},
         "an id for each code of the images, one for an image and one for the end of a row"),
    ),
    "chameleon": (
        ("vocabulary_map",
         {"<image>": 40,
          **{"IMGIMG" + "".join(chr(ord("A") + int(c)) for c in str(i)) + "Z": 50 + i
             for i in range(33)}},
         "an id for each code of the images, and one for an image"),
    ),
    "xlstm": (
        ("hidden_size", 128, "half of it is rounded up to multiples of 64"),
    ),
    "vibevoice_acoustic_tokenizer": (
        ("num_filters", 3, "doubles six times"),
    ),
    "vibevoice_acoustic_tokenizer_encoder": (
        ("num_filters", 3, "doubles six times"),
    ),
    "vibevoice_acoustic_tokenizer_decoder": (
        ("num_filters", 3, "doubles six times"),
    ),
    "layoutlmv2": (
        ("coordinate_size", 4, "four of these and two shapes are as wide as a token"),
        ("shape_size", 4, "four coordinates and two of these are as wide as a token"),
    ),
    "lilt": (
        ("channel_shrink_ratio", 2, "leaves twelve channels for four heads"),
    ),
    "clvp_encoder": (
        ("hidden_size", 128, "at least 32 of each head are rotated"),
    ),
    "beit": (
        ("num_hidden_layers", 4, "one for each stage of segmentation"),
        ("out_indices", [1, 2, 3, 4], "one for each stage of segmentation"),
    ),
    "data2vec-vision": (
        ("num_hidden_layers", 4, "one for each stage of segmentation"),
        ("out_indices", [1, 2, 3, 4], "one for each stage of segmentation"),
    ),
    "donut-swin": (
        ("depths", [2, 2], "shifted windows need pairs of blocks; two stages show a merging"),
        ("num_heads", [2, 4], "one entry for each stage"),
        ("patch_size", 2, "no stage is smaller than a window"),
    ),
    "swin2sr": (
        ("depths", [2, 2], "shifted windows need pairs of blocks"),
        ("num_heads", [2, 4], "one entry for each stage"),
        ("patch_size", 1, "a pixel is a patch"),
        ("image_size", 16, "four windows on a side"),
        ("window_size", 4, "divides the image"),
        ("num_channels", 3, "the mean colour is written in the code"),
    ),
    "swinv2": (
        ("encoder_stride", 32, "what three mergings leave of a patch"),
    ),
    "tvp": (
        ("visual_prompt_size", 4, "a border of the tiny image"),
        ("max_img_size", 32, "of the tiny image"),
    ),
    "rag": (
        ("question_encoder", {"model_type": "dpr"}, "as every published config"),
        ("generator", {"model_type": "bart"}, "as every published config"),
        ("n_docs", 2, "documents of a question"),
    ),
    "llama4_vision_model": (
        ("hidden_size", 32, "two axes share a head of eight"),
        ("intermediate_size", four_widths, "four patches become one"),
        ("vision_output_dim", 256, "as wide as the projector's output"),
    ),
    "granite4_vision": (
        ("deepstack_layer_map", [[-1, 0], [0, 1]], "the class gives no default"),
        ("downsample_rate", "1/2", "the class gives no default"),
    ),
    "bridgetower": (
        ("hidden_size", 128, "a head has 64 channels"),
    ),
    "bridgetower_text_model": (
        ("hidden_size", 128, "a head has 64 channels"),
    ),
    "bridgetower_vision_model": (
        ("hidden_size", 128, "a head has 64 channels"),
    ),
    "dbrx": (
        ("attn_config", {"rope_theta": 1e4, "kv_n_heads": 2, "clip_qkv": 8.0},
         "every published config has a base and a limit; the class gives no default"),
    ),
    "sam2_vision_model": (
        ("backbone_channel_list", [64, 32, 16, 8], "of the tiny backbone, the last stage first"),
        ("backbone_feature_sizes", [[16, 16], [8, 8], [4, 4]], "of the tiny backbone"),
    ),
    "step3p5": (
        ("sliding_window", 5, "the class gives no default"),
    ),
    "layoutlmv3": (
        ("coordinate_size", 4, "four of these and two shapes are as wide as a token"),
        ("shape_size", 4, "four coordinates and two of these are as wide as a token"),
        ("input_size", 32, "of the image"),
    ),
    "pp_lcnet_v4": (
        ("num_channels", 3, "the first of the stem's channels"),
    ),
    "hgnet_v2": (
        ("num_channels", 3, "the first of the stem's channels"),
    ),
    "llava_onevision": (
        ("image_grid_pinpoints", [[32, 32]], "the image whole and as one tile"),
    ),
    "eomt": (
        ("num_blocks", 1, "the queries come before the last layer"),
    ),
    "eomt_dinov3": (
        ("num_blocks", 1, "the queries come before the last layer"),
    ),
    "vipllava": (
        ("vision_feature_layer", [-2, -1], "of the tiny encoder"),
    ),
    "kimi_linear": (
        ("num_experts", 6, "two groups of experts"),
    ),
    "pix2struct_text_model": (
        ("d_kv", shared_width, "the heads together are as wide as a token"),
    ),
}  # fmt: skip
