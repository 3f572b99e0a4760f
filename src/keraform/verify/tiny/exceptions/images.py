"""Exceptions of what reads images."""

from __future__ import annotations

from keraform.verify.tiny.exceptions.rows import Rows, four_widths, tripled_width

# Kernels, strides and paddings of the blocks in detectors of text; the class gives no default.
INTRACLASS = {
    "reduce_channel": [1, 1, 0],
    "return_channel": [1, 1, 0],
    **{
        f"{shape}_{length}ratio": [list(kernel), [1, 1], [side // 2 for side in kernel]]
        for length, size in (("long", 7), ("mid", 5), ("short", 3))
        for shape, kernel in (
            ("vertical_long_to_small_conv", (size, 1)),
            ("horizontal_small_to_long_conv", (1, size)),
            ("symmetric_conv_long", (size, size)),
        )
    },
}

# Stages of a backbone that detects, each half as large as the one before; the class's own are of
# one that reads lines, whose width stays.
DETECTING_BLOCKS = [
    [[3, 12, 12, 1, True]],
    [[3, 12, 16, 2, False], [3, 16, 16, 1, True]],
    [[3, 16, 20, 2, False]],
    [[3, 20, 24, 2, True]],
]
STAGES = ["stage1", "stage2", "stage3", "stage4"]

ROWS: dict[str, Rows] = {
    "dots3_note_vision_encoder": (
        ("per_layer_config", {}, "its keys are layers of the full depth"),
    ),
    "lw_detr_vit": (
        ("num_windows", 4, "windows of windows have to divide the image"),
    ),
    "cvt": (
        ("depth", [1, 2, 3], "a stage's rates of dropped paths are as many as its blocks"),
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
    "convnext": (
        ("layer_scale_init_value", 0.5, "1e-6 would hide the blocks behind their residuals"),
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
    "seggpt": (
        ("image_size", [64, 32], "a prompt above the image"),
        ("pretrain_image_size", 32, "a square table of positions"),
        ("num_hidden_layers", 5, "those that the decoder takes come after the merging"),
        ("intermediate_hidden_state_indices", [1, 2, 3, 4], "of the tiny encoder"),
        ("merge_index", 0, "before them"),
    ),
    "dpt": (
        ("num_hidden_layers", 4, "one for each size of the neck"),
        ("backbone_out_indices", [0, 1, 2, 3], "of the tiny encoder"),
        ("backbone_config", None, "as in the published configs that are not hybrid"),
    ),
    "maskformer": (
        ("fpn_feature_size", 32, "a norm of 32 groups is written in the code"),
        ("mask_feature_size", 32, "a norm of 32 groups is written in the code"),
    ),
    "vitpose_backbone": (
        ("patch_size", [16, 16], "patches are padded by two pixels, as many as add none of this"
         " size"),
        ("image_size", [64, 48], "three columns of patches"),
    ),
    "conditional_detr": (
        ("d_model", 64, "the mask head wants width plus heads divisible by 8"),
        ("encoder_attention_heads", 8, "the mask head wants width plus heads divisible by 8"),
        ("decoder_attention_heads", 4, "divides the width of 64"),
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
    "llama4_vision_model": (
        ("hidden_size", 32, "two axes share a head of eight"),
        ("intermediate_size", four_widths, "four patches become one"),
        ("vision_output_dim", 256, "as wide as the projector's output"),
    ),
    "bridgetower_vision_model": (
        ("hidden_size", 128, "a head has 64 channels"),
    ),
    "sam2_vision_model": (
        ("backbone_channel_list", [64, 32, 16, 8], "of the tiny backbone, the last stage first"),
        ("backbone_feature_sizes", [[16, 16], [8, 8], [4, 4]], "of the tiny backbone"),
    ),
    "pp_lcnet_v3": (
        ("scale", 0.25, "scales the lists of channels"),
    ),
    "pp_lcnet_v4": (
        ("num_channels", 3, "the first of the stem's channels"),
    ),
    "hgnet_v2": (
        ("num_channels", 3, "the first of the stem's channels"),
    ),
    "eomt": (
        ("num_blocks", 1, "the queries come before the last layer"),
    ),
    "eomt_dinov3": (
        ("num_blocks", 1, "the queries come before the last layer"),
    ),
    "hiera": (
        ("decoder_hidden_size", 20, "the class gives no default"),
        ("decoder_depth", 1, "the class gives no default"),
        ("decoder_num_heads", 4, "the class gives no default"),
        ("image_size", [64, 64], "four units of 8 patches on a side"),
        ("patch_size", [7, 7], "padded by three, so that the stride alone counts patches"),
        ("depths", [1, 2, 1, 1], "four stages, as the queries' strides want"),
    ),
    "lw_detr": (
        ("projector_scale_factors", [2.0, 0.5], "the class gives none: a finer and a coarser map"),
        ("group_detr", 3, "divides the queries"),
    ),
    "uvdoc_backbone": (
        ("resnet_head", [[3, 8], [8, 8]], "channels shrunk from 32"),
        ("resnet_configs",
         [[[8, 8, 1, False], [8, 8, 3, False]], [[8, 12, 1, True], [12, 12, 3, False]],
          [[12, 16, 1, True], [16, 16, 3, False]]], "channels shrunk from 128"),
        ("stage_configs", [[[16, 1]], [[16, 2]], [[16, 4], [16, 3]]], "channels shrunk from 128"),
    ),
    "uvdoc": (
        ("bridge_connector", [16, 18], "from as many channels as the backbone's stages have"),
        ("out_point_positions2D", [[18, 10], [10, 2]], "channels shrunk from 128"),
        ("stage_configs", [[[16, 1]], [[16, 2]], [[16, 4], [16, 3]]],
         "its bridge asks the whole config for the backbone's stages"),
        ("backbone_config.out_features", ["stage1", "stage2", "stage3"], "each stage is a bridge"),
    ),
    "sapiens2": (
        ("head_config.upsample_out_channels", [12, 10], "the class gives no default"),
        ("head_config.upsample_kernel_sizes", [4, 4], "the class gives no default"),
        ("head_config.conv_out_channels", [14, 9], "the class gives no default"),
        ("head_config.conv_kernel_sizes", [1, 1], "the class gives no default"),
        ("head_config.scale_conv_out_channels", [7, 6], "the class gives no default"),
        ("head_config.scale_conv_kernel_sizes", [1, 1], "the class gives no default"),
        ("head_config.scale_final_input_size", 96, "six channels of sixteen patches"),
        ("head_config.scale_final_hidden_sizes", [11, 5], "the class gives no default"),
    ),
    "depth_pro": (
        ("patch_size", 32, "the image size of its three encoders"),
        ("intermediate_hook_ids", [1, 0], "layers of the tiny encoders"),
    ),
    "dinov3_vit": (
        ("num_register_tokens", 2, "by default there are none, in every published checkpoint four"),
    ),
    "dinov3_convnext": (
        ("hidden_sizes", [8, 12, 16, 20], "the class gives no default"),
        ("depths", [1, 2, 1, 1], "the class gives no default"),
        ("layer_scale_init_value", 0.5, "1e-6 would hide the blocks behind their residuals"),
    ),
    "chmv2": (
        ("post_process_channels", [12, 16, 20, 24], "the class gives no default"),
    ),
    "mllama_vision_model": (
        ("intermediate_layers_indices", [0, 1], "of the tiny encoder"),
        ("vision_output_dim", tripled_width, "two layers within and the last one"),
    ),
    "pp_ocrv5_server_det": (
        ("intraclass_block_config", INTRACLASS, "the class gives no default"),
        ("scale_factor_list", [1, 2, 4, 8], "the class gives no default"),
        ("kernel_list", [3, 2, 2], "the class gives no default"),
        ("backbone_config.num_channels", 3, "the first of the stem's channels"),
        ("backbone_config.stem_channels", [3, 2, 3], "the last is the first stage's input"),
    ),
    "pp_ocrv6_small_det": (
        ("backbone_config.block_configs", DETECTING_BLOCKS, "each stage halves"),
        ("backbone_config.stem_channels", [3, 8, 12], "the last is the first stage's input"),
        ("backbone_config.out_features", STAGES, "its neck takes four"),
        ("layer_list_out_channels", [12, 16, 20, 24], "of the tiny backbone"),
    ),
    "pp_ocrv6_medium_det": (
        ("backbone_config.block_configs", DETECTING_BLOCKS, "each stage halves"),
        ("backbone_config.stem_channels", [3, 8, 12], "the last is the first stage's input"),
        ("backbone_config.out_features", STAGES, "its neck takes four"),
        ("intraclass_block_config", INTRACLASS, "the class gives no default"),
        ("scale_factor_list", [1, 2, 4, 8], "the class gives no default"),
        ("kernel_list", [3, 2, 2], "the class gives no default"),
    ),
    "pp_doclayout_v2": (
        ("backbone_config.num_channels", 3, "the first of the stem's channels"),
        ("backbone_config.stem_channels", [3, 2, 3], "the last is the first stage's input"),
        ("encoder_in_channels", [32, 64, 128], "of the tiny backbone"),
        ("backbone_config.hidden_sizes", [8, 32, 64, 128], "what its stages give"),
        ("class_thresholds", [0.5] * 6, "one for each label"),
        ("class_order", [2, 0, 1, 3, 5, 4], "one for each label"),
    ),
    "vitmatte": (
        ("backbone_config.patch_size", 16, "its stream of details halves the image four times"),
        ("backbone_config.image_size", 64, "four patches on a side"),
    ),
    "deepseek_ocr2_vision": (
        ("encoder_config.hidden_size", 32, "as wide as the last of the channels below"),
        ("sam_config.downsample_channels", [16, 32], "the last is the second encoder's width"),
    ),
    "efficientloftr": (
        ("hidden_size", 32, "four channels of each head, for two axes"),
        ("num_attention_heads", 8, "an eighth of the width is rotated four times"),
        ("out_features", [8, 8, 12, 32], "the last one is the width"),
        ("fine_matching_slice_dim", 3, "some of the first eight channels"),
    ),
}  # fmt: skip
