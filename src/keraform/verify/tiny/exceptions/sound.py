"""Exceptions of what reads sound or other series."""

from __future__ import annotations

from keraform.verify.tiny.exceptions.rows import Rows, four_widths

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
    "moonshine_streaming": (
        ("num_key_value_heads", 2, "every published config has it; the class has not"),
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
}  # fmt: skip
