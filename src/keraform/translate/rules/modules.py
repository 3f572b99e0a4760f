"""Rules for modules of `torch.nn`: the constructor call, mapped to a layer of `keraform.runtime.layers`."""

from __future__ import annotations

import re

from keraform.translate.rules.record import Rule


def _layer(torch: str, signature: str, template: str) -> Rule:
    """A rule for a module; `device` is dropped everywhere, `dtype` unless it is written out, `name`
    is added by the translator.
    """
    return Rule(
        f"nn.{torch}",
        f"{signature}, device!, dtype?, name?",
        f"layers.{template[:-1]}, dtype={{dtype}}, name={{name}})",
        "layer",
    )


def _plain(torch: str, keras: str | None = None) -> Rule:
    return Rule(
        f"nn.{torch}", "inplace!, name?", f"layers.{keras or torch}(name={{name}})", "layer"
    )


_CONV = "in_channels, out_channels, kernel_size, stride?, padding?, dilation?, groups?, bias?, padding_mode?"
_CONV_TO = (
    "({in_channels}, {out_channels}, kernel_size={kernel_size}, strides={stride}, padding={padding}, "
    "dilation_rate={dilation}, groups={groups}, use_bias={bias}, padding_mode={padding_mode})"
)
_DECONV = "in_channels, out_channels, kernel_size, stride?, padding?, output_padding?, groups?, bias?, dilation?, padding_mode?"
_DECONV_TO = (
    "({in_channels}, {out_channels}, kernel_size={kernel_size}, strides={stride}, padding={padding}, "
    "output_padding={output_padding}, groups={groups}, use_bias={bias}, dilation_rate={dilation}, "
    "padding_mode={padding_mode})"
)
_NORM = "num_features, eps?, momentum?, affine?, track_running_stats?"
_NORM_TO = (
    "({num_features}, epsilon={eps}, momentum={momentum}, affine={affine}, "
    "track_running_stats={track_running_stats})"
)
_POOL = "kernel_size, stride?, padding?, dilation?, return_indices?, ceil_mode?"
_RECURRENT = "input_size, hidden_size, num_layers?, bias?, batch_first?, dropout?, bidirectional?"
_RECURRENT_TO = (
    "({input_size}, {hidden_size}, num_layers={num_layers}, bias={bias}, batch_first={batch_first}, "
    "dropout={dropout}, bidirectional={bidirectional})"
)

_BLOCK = (
    "dim_feedforward?, dropout?, activation?, layer_norm_eps?, batch_first?, norm_first?, bias?"
)
_BLOCK_TO = (
    "dim_feedforward={dim_feedforward}, dropout={dropout}, activation={activation}, "
    "layer_norm_eps={layer_norm_eps}, batch_first={batch_first}, norm_first={norm_first}, bias={bias}"
)

WEIGHTED = (
    _layer("Linear", "in_features, out_features, bias?", "Dense({in_features}, {out_features}, use_bias={bias})"),
    _layer("Embedding", "num_embeddings, embedding_dim, padding_idx?, max_norm^, norm_type!, scale_grad_by_freq!, sparse!, _weight^, _freeze!", "Embedding({num_embeddings}, {embedding_dim}, padding_idx={padding_idx})"),
    _layer("LayerNorm", "normalized_shape, eps?, elementwise_affine?, bias?", "LayerNormalization({normalized_shape}, epsilon={eps}, elementwise_affine={elementwise_affine}, use_bias={bias})"),
    _layer("RMSNorm", "normalized_shape, eps?, elementwise_affine?", "RMSNormalization({normalized_shape}, epsilon={eps}, elementwise_affine={elementwise_affine})"),
    _layer("GroupNorm", "num_groups, num_channels, eps?, affine?", "GroupNormalization({num_groups}, {num_channels}, epsilon={eps}, affine={affine})"),
    *(_layer(f"Conv{n}d", _CONV, f"Conv{n}D" + _CONV_TO) for n in (1, 2, 3)),
    *(_layer(f"ConvTranspose{n}d", _DECONV, f"ConvTranspose{n}D" + _DECONV_TO) for n in (1, 2, 3)),
    *(_layer(f"BatchNorm{n}d", _NORM, "BatchNormalization" + _NORM_TO) for n in (1, 2, 3)),
    *(_layer(f"InstanceNorm{n}d", _NORM, "InstanceNormalization" + _NORM_TO) for n in (1, 2, 3)),
    _layer("SyncBatchNorm", f"{_NORM}, process_group!", "BatchNormalization" + _NORM_TO),
    *(_layer(f"{kind}Cell", "input_size, hidden_size, bias?", f"{kind}Cell({{input_size}}, {{hidden_size}}, bias={{bias}})") for kind in ("GRU", "LSTM")),
    _layer("GRU", _RECURRENT, "GRU" + _RECURRENT_TO),
    _layer("LSTM", _RECURRENT, "LSTM" + _RECURRENT_TO),
    _layer("MultiheadAttention", "embed_dim, num_heads, dropout?, bias?, add_bias_kv?, add_zero_attn?, kdim?, vdim?, batch_first?", "MultiheadAttention({embed_dim}, {num_heads}, dropout={dropout}, bias={bias}, add_bias_kv={add_bias_kv}, add_zero_attn={add_zero_attn}, kdim={kdim}, vdim={vdim}, batch_first={batch_first})"),
    *(_layer(f"Transformer{part}Layer", f"d_model, nhead, {_BLOCK}", f"Transformer{part}Layer({{d_model}}, {{nhead}}, {_BLOCK_TO})") for part in ("Encoder", "Decoder")),
    _layer("TransformerEncoder", "encoder_layer, num_layers, norm?, enable_nested_tensor!, mask_check!", "TransformerEncoder({encoder_layer}, {num_layers}, norm={norm})"),
    _layer("TransformerDecoder", "decoder_layer, num_layers, norm?", "TransformerDecoder({decoder_layer}, {num_layers}, norm={norm})"),
    _layer("Transformer", "d_model?, nhead?, num_encoder_layers?, num_decoder_layers?, dim_feedforward?, dropout?, activation?, custom_encoder?, custom_decoder?, layer_norm_eps?, batch_first?, norm_first?, bias?", f"Transformer({{d_model}}, {{nhead}}, {{num_encoder_layers}}, {{num_decoder_layers}}, {_BLOCK_TO}, custom_encoder={{custom_encoder}}, custom_decoder={{custom_decoder}})"),
    _layer("AdaptiveLogSoftmaxWithLoss", "in_features, n_classes, cutoffs, div_value?, head_bias?", "AdaptiveLogSoftmaxWithLoss({in_features}, {n_classes}, {cutoffs}, div_value={div_value}, head_bias={head_bias})"),
    _layer("PReLU", "num_parameters?, init?", "PReLU({num_parameters}, init={init})"),
)  # fmt: skip

SHAPING = (
    _layer("Dropout", "p?, inplace!", "Dropout({p})"),
    *(_layer(f"Dropout{n}d", "p?, inplace!", f"Dropout{n}D({{p}})") for n in (1, 2, 3)),
    _layer("Identity", "unused!", "Identity()"),
    *(_layer(f"MaxPool{n}d", _POOL, f"MaxPooling{n}D({{kernel_size}}, strides={{stride}}, padding={{padding}}, dilation_rate={{dilation}}, return_indices={{return_indices}}, ceil_mode={{ceil_mode}})") for n in (1, 2, 3)),
    *(_layer(f"AvgPool{n}d", "kernel_size, stride?, padding?, ceil_mode?, count_include_pad?", f"AveragePooling{n}D({{kernel_size}}, strides={{stride}}, padding={{padding}}, ceil_mode={{ceil_mode}}, count_include_pad={{count_include_pad}})") for n in (1, 2, 3)),
    *(_layer(f"AdaptiveAvgPool{n}d", "output_size", f"AdaptiveAveragePooling{n}D({{output_size}})") for n in (1, 2, 3)),
    *(_layer(f"AdaptiveMaxPool{n}d", "output_size", f"AdaptiveMaxPooling{n}D({{output_size}})") for n in (1, 2, 3)),
    _layer("Flatten", "start_dim?, end_dim?", "Flatten({start_dim}, {end_dim})"),
    _layer("Upsample", "size?, scale_factor?, mode?, align_corners?, recompute_scale_factor?", "Upsample({size}, scale_factor={scale_factor}, mode={mode}, align_corners={align_corners}, recompute_scale_factor={recompute_scale_factor})"),
    _layer("Unflatten", "dim, unflattened_size", "Unflatten({dim}, {unflattened_size})"),
    _layer("LocalResponseNorm", "size, alpha?, beta?, k?", "LocalResponseNormalization({size}, alpha={alpha}, beta={beta}, k={k})"),
    _layer("PixelUnshuffle", "downscale_factor", "PixelUnshuffle({downscale_factor})"),
    _layer("PixelShuffle", "upscale_factor", "PixelShuffle({upscale_factor})"),
    *(_layer(f"ZeroPad{n}d", "padding", f"ZeroPadding{n}D({{padding}})") for n in (1, 2, 3)),
    *(_layer(f"ConstantPad{n}d", "padding, value", f"ConstantPadding{n}D({{padding}}, {{value}})") for n in (1, 2, 3)),
    *(_layer(f"ReflectionPad{n}d", "padding", f"ReflectionPadding{n}D({{padding}})") for n in (1, 2, 3)),
    *(_layer(f"ReplicationPad{n}d", "padding", f"ReplicationPadding{n}D({{padding}})") for n in (1, 2, 3)),
    *(_layer(f"CircularPad{n}d", "padding", f"CircularPadding{n}D({{padding}})") for n in (1, 2)),
    _layer("Unfold", "kernel_size, dilation?, padding?, stride?", "Unfold({kernel_size}, dilation={dilation}, padding={padding}, stride={stride})"),
)  # fmt: skip

ACTIVATIONS = (
    *(_plain(n) for n in ("ReLU", "ReLU6", "Tanh", "Sigmoid", "SiLU", "Mish", "SELU", "Hardswish", "Hardsigmoid", "Softsign", "LogSigmoid")),
    _layer("GELU", "approximate?", "GELU(approximate={approximate})"),
    _layer("LeakyReLU", "negative_slope?, inplace!", "LeakyReLU(negative_slope={negative_slope})"),
    _layer("ELU", "alpha?, inplace!", "ELU(alpha={alpha})"),
    _layer("CELU", "alpha?, inplace!", "CELU(alpha={alpha})"),
    _layer("Hardtanh", "min_val?, max_val?, inplace!", "Hardtanh(min_val={min_val}, max_val={max_val})"),
    _layer("Softplus", "beta?, threshold?", "Softplus(beta={beta}, threshold={threshold})"),
    _layer("Softmax", "dim?", "Softmax(axis={dim})"),
    _layer("LogSoftmax", "dim?", "LogSoftmax(axis={dim})"),
    _layer("GLU", "dim?", "GLU(axis={dim})"),
)  # fmt: skip

_REDUCE = "weight?, size_average^, ignore_index?, reduce^, reduction?, label_smoothing?"
LOSSES = (
    _layer("CrossEntropyLoss", _REDUCE, "CrossEntropyLoss(weight={weight}, ignore_index={ignore_index}, reduction={reduction}, label_smoothing={label_smoothing})"),
    _layer("BCEWithLogitsLoss", "weight?, size_average^, reduce^, reduction?, pos_weight?", "BCEWithLogitsLoss(weight={weight}, reduction={reduction}, pos_weight={pos_weight})"),
    _layer("BCELoss", "weight?, size_average^, reduce^, reduction?", "BCELoss(weight={weight}, reduction={reduction})"),
    _layer("NLLLoss", "weight?, size_average^, ignore_index?, reduce^, reduction?", "NLLLoss(weight={weight}, ignore_index={ignore_index}, reduction={reduction})"),
    _layer("MSELoss", "size_average^, reduce^, reduction?", "MSELoss(reduction={reduction})"),
    _layer("L1Loss", "size_average^, reduce^, reduction?", "L1Loss(reduction={reduction})"),
    _layer("SmoothL1Loss", "size_average^, reduce^, reduction?, beta?", "SmoothL1Loss(reduction={reduction}, beta={beta})"),
    _layer("HuberLoss", "reduction?, delta?", "HuberLoss(reduction={reduction}, delta={delta})"),
    _layer("KLDivLoss", "size_average^, reduce^, reduction?, log_target?", "KLDivLoss(reduction={reduction}, log_target={log_target})"),
    _layer("CTCLoss", "blank?, reduction?, zero_infinity?", "CTCLoss(blank={blank}, reduction={reduction}, zero_infinity={zero_infinity})"),
    _layer("CosineSimilarity", "dim?, eps?", "CosineSimilarity(dim={dim}, eps={eps})"),
    _layer("CosineEmbeddingLoss", "margin?, size_average^, reduce^, reduction?", "CosineEmbeddingLoss(margin={margin}, reduction={reduction})"),
    _layer("MarginRankingLoss", "margin?, size_average^, reduce^, reduction?", "MarginRankingLoss(margin={margin}, reduction={reduction})"),
    _layer("HingeEmbeddingLoss", "margin?, size_average^, reduce^, reduction?", "HingeEmbeddingLoss(margin={margin}, reduction={reduction})"),
    _layer("SoftMarginLoss", "size_average^, reduce^, reduction?", "SoftMarginLoss(reduction={reduction})"),
    _layer("TripletMarginLoss", "margin?, p?, eps?, swap?, size_average^, reduce^, reduction?", "TripletMarginLoss(margin={margin}, p={p}, eps={eps}, swap={swap}, reduction={reduction})"),
)  # fmt: skip

MODULES: dict[str, Rule] = {}
for _rule in (*WEIGHTED, *SHAPING, *ACTIVATIONS, *LOSSES):
    if _rule.torch in MODULES:
        raise ValueError(f"two rules for {_rule.torch}")
    MODULES[_rule.torch] = _rule

# Losses are plain callables: they take no `name`.
NAMELESS = frozenset(rule.torch for rule in LOSSES)


# What Keras calls the sizes that the rules write by their places.
SIZES = {"out_channels": "filters", "out_features": "units", "num_groups": "groups"}


def keywords(torch: str) -> dict[str, str]:
    """The parameters of a module whose names differ in its layer, by torch's names."""
    emit = MODULES[torch].emit
    placed = [(SIZES[name], name) for name in re.findall(r"[(,] ?\{(\w+)\}", emit) if name in SIZES]
    named = re.findall(r"(\w+)=\{(\w+)\}", emit)
    return {parameter: keyword for keyword, parameter in placed + named if keyword != parameter}


def layer_class(torch: str) -> str | None:
    """The name of the Keraform layer that stands for a module class (`nn.Linear` gives `Dense`)."""
    rule = MODULES.get(torch)
    if rule is None:
        return None
    return rule.emit.partition("(")[0].removeprefix("layers.")
