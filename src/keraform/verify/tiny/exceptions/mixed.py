"""Exceptions of what reads text and images."""

from __future__ import annotations

from keraform.verify.tiny.exceptions.rows import Rows, merged_width, text_width

ROWS: dict[str, Rows] = {
    "ernie4_5_vl_moe_text": (
        ("rope_parameters", {"rope_type": "default", "rope_theta": 5e5, "mrope_section": [1, 1, 2]},
         "sections of half a head, equal ones of height and width first"),
    ),
    "ernie4_5_vl_moe_vision": (
        ("hidden_size", 32, "two axes share a head of eight"),
    ),
    "glm_image": (
        ("vq_config.latent_channels", 28, "as wide as a patch"),
    ),
    "neomme": (
        ("head_dim", 16, "a quarter of it is rotated, by two axes"),
    ),
    "molmo2_adapter": (
        ("vision_feature_layer", [-1, -2], "layers of the tiny encoder"),
    ),
    "aria": (
        ("projector_patch_to_query_dict", {64: 5, 16: 5},
         "as many patches as the tiny image has, and the round one"),
    ),
    "llava_next": (
        ("image_grid_pinpoints", [[32, 32]], "the image whole and as one tile"),
    ),
    "llava_next_video": (
        ("image_grid_pinpoints", [[32, 32]], "the image whole and as one tile"),
    ),
    "pi0": (
        ("min_period", 0.5, "the sine of 1,600 radians loses four digits of float32"),
    ),
    "clipseg": (
        ("extract_layers", [0, 1], "of the tiny encoder"),
    ),
    "vilt": (
        ("num_images", 2, "as many as a row has in the task with several"),
        ("modality_type_vocab_size", 3, "text and two images"),
    ),
    "perceiver": (
        ("num_self_attends_per_block", 3, "shrunk from 26"),
        ("num_cross_attention_heads", 1, "as in every published config; widths of 261 share none"),
    ),
    "emu3": (
        ("vocabulary_map",
         {"<image>": 40, "<|extra_200|>": 41,
          **{f"<|visual token {i:06d}|>": 50 + i for i in range(33)}},
         "an id for each code of the images, one for an image and one for the end of a row"),
        ("vq_config.hidden_size", 64, "the channels of its last level"),
    ),
    "chameleon": (
        ("vocabulary_map",
         {"<image>": 40,
          **{"IMGIMG" + "".join(chr(ord("A") + int(c)) for c in str(i)) + "Z": 50 + i
             for i in range(33)}},
         "an id for each code of the images, and one for an image"),
    ),
    "layoutlmv2": (
        ("coordinate_size", 4, "four of these and two shapes are as wide as a token"),
        ("shape_size", 4, "four coordinates and two of these are as wide as a token"),
    ),
    "tvp": (
        ("visual_prompt_size", 4, "a border of the tiny image"),
        ("backbone_config.num_channels", 3, "a prompt has three colours"),
        ("num_frames", 3, "shrunk from 48"),
        ("max_img_size", 64, "two cells on a side"),
    ),
    "bridgetower": (
        ("hidden_size", 128, "a head has 64 channels"),
        ("contrastive_hidden_size", 20, "the class has no such field; every published config has"),
        ("logit_scale_init_value", 2.6592, "the class has no such field; every published config"
         " has"),
    ),
    "layoutlmv3": (
        ("coordinate_size", 4, "four of these and two shapes are as wide as a token"),
        ("shape_size", 4, "four coordinates and two of these are as wide as a token"),
        ("input_size", 32, "of the image"),
    ),
    "llava_onevision": (
        ("image_grid_pinpoints", [[32, 32]], "the image whole and as one tile"),
    ),
    "vipllava": (
        ("vision_feature_layer", [-2, -1], "of the tiny encoder"),
    ),
    "shieldgemma2": (
        ("yes_token_index", 5, "the class has no such field; the code's own is of a large"
         " vocabulary"),
        ("no_token_index", 6, "the class has no such field; the code's own is of a large"
         " vocabulary"),
    ),
    "granite4_vision": (
        ("deepstack_layer_map", [[-1, 0], [0, 1]], "the class gives no default"),
        ("downsample_rate", "1/2", "the class gives no default"),
        ("spatial_target_layers", [2, 3, 4, 5], "layers of the tiny text"),
        ("text_config.num_hidden_layers", 6, "one for each map of features"),
        ("vision_config.hidden_size", 128, "a head of its queries has 64 channels"),
        ("image_grid_pinpoints", [[32, 32]], "the image whole and as one tile"),
    ),
    "omdet-turbo": (
        ("apply_layernorm_after_vision_backbone", False, "it wants channels last, as timm's"),
        ("encoder_in_channels", [8, 12, 16], "of the tiny backbone"),
        ("text_projection_in_dim", text_width, "as wide as a token"),
    ),
    "muse_spark": (
        ("out_hidden_size", merged_width, "patches are merged"),
    ),
    "align": (
        ("projection_dim", 8, "as wide as the last block of the image's part"),
    ),
    "kimi_k25": (
        ("vision_config.hidden_size", 32, "two axes share a head of eight"),
        ("projection_hidden_size", 32, "as wide as a patch"),
    ),
    "oneformer": (
        ("conv_dim", 32, "a norm of 32 groups is written in the code"),
        ("mask_dim", 32, "a norm of 32 groups is written in the code"),
        ("hidden_dim", 32,
         "projections from other widths are in a plain list, whose weights no checkpoint holds"),
    ),
}  # fmt: skip
