"""Variants: further configs of a model type that reach code its tiny config leaves out."""

from __future__ import annotations

from typing import Any

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
