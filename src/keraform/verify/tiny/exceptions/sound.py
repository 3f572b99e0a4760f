"""Exceptions of what reads sound or other series."""

from __future__ import annotations

from keraform.verify.tiny.exceptions.rows import Rows, four_widths, summed_width

ROWS: dict[str, Rows] = {
    "granite_speech5_encoder": (
        ("context_size", 6, "at most as long as the positions"),
    ),
    "dia_decoder": (
        ("num_channels", 9, "one for each entry of the delay pattern"),
    ),
    "muse_spark_audio": (
        ("num_hidden_layers", 4, "one for each entry of the lists of patches and widths"),
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
    "voxtral_encoder": (
        ("intermediate_size", four_widths, "four positions become one, four times as wide"),
        ("max_source_positions", 16, "divisible by four"),
    ),
    "glmasr_encoder": (
        ("intermediate_size", four_widths, "four positions become one, four times as wide"),
        ("max_source_positions", 16, "divisible by four"),
    ),
    "wav2vec2-conformer": (
        ("vocab_size", 35, "the class gives no default"),
    ),
    "wav2vec2-bert": (
        ("vocab_size", 35, "the class gives no default"),
    ),
    "gemma4_audio": (
        ("subsampling_conv_channels", [80, 6], "the first is also the number of bands"),
    ),
    "granite_speech": (
        ("window_size", 6, "divisible by the rate"),
        ("downsample_rate", 3, "divides the window"),
    ),
    "granite_speech_plus": (
        ("window_size", 6, "divisible by the rate"),
        ("downsample_rate", 3, "divides the window"),
    ),
    "dac": (
        ("encoder_hidden_size", 6, "doubles four times"),
        ("decoder_hidden_size", 96, "halves four times"),
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
    "clvp_encoder": (
        ("hidden_size", 128, "at least 32 of each head are rotated"),
    ),
    "moonshine_streaming": (
        ("num_key_value_heads", 4, "the class has no such field; queries are shaped by it"),
    ),
    "qwen3_asr_encoder": (
        ("n_window", 50, "thirteen positions for a hundred frames are written in the code"),
        ("n_window_infer", 100, "one window of frames"),
    ),
    "fun_asr_nano": (
        ("adaptor_config.intermediate_size", 9, "a quarter of the text's width"),
        ("text_config.hidden_size", 36, "four times the adaptor's inner width"),
        ("adaptor_config.hidden_size", 36, "as wide as the text"),
    ),
    "vits": (
        ("noise_scale", 0.0, "drawn numbers would differ from run to run"),
        ("noise_scale_duration", 0.0, "drawn numbers would differ from run to run"),
        ("use_stochastic_duration_prediction", False, "flows of random weights make rows of"
         " gigabytes"),
        ("upsample_initial_channel", 32, "halves four times"),
        ("spectrogram_bins", 17, "shrunk from 513"),
    ),
    "csm": (
        ("text_vocab_size", 110, "larger than that of sounds"),
        ("depth_decoder_config.backbone_hidden_size", 24, "both share the sounds' embeddings"),
        ("pad_token_id", 97, "the default is the id that stands for a sound"),
    ),
    "xcodec2": (
        ("hidden_size", 64, "a norm of 32 groups is written in the code"),
        ("quantization_dim", summed_width, "of two encoders side by side"),
        ("encoder_hidden_size", 4, "doubles five times"),
    ),
    "neucodec": (
        ("hidden_size", 64, "a norm of 32 groups is written in the code"),
        ("quantization_dim", summed_width, "of two encoders side by side"),
        ("encoder_hidden_size", 4, "doubles five times"),
    ),
    "fun_asr_nano_encoder": (
        ("max_position_embeddings", 70, "more than there are frames"),
    ),
    "nemotron_h_omni": (
        ("audio_config.projection_hidden_size", 20, "the part's class has no such field"),
        ("audio_config.projection_bias", True, "the part's class has no such field"),
    ),
    "moshi": (
        ("depth_decoder_config.vocab_size", 99, "both decoders read the same text"),
    ),
    "qwen3_omni_moe_audio_encoder": (
        ("n_window", 50, "thirteen positions for a hundred frames are written in the code"),
        ("n_window_infer", 100, "one window of frames"),
    ),
    "qwen3_omni_moe_talker_text": (
        ("shared_expert_intermediate_size", 23, "the class has no such field; every published"
         " config has"),
    ),
}  # fmt: skip
