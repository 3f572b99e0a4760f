"""Torch-like layers on Keras 3, public through one table."""

from __future__ import annotations

import importlib
from typing import Any

import keras

_TABLE = {
    "base": (
        "GradientCheckpointingLayer",
        "Layer",
        "Tensor",
        "TorchLayer",
        "buffer",
        "call_context",
        "keywords",
        "parameter",
    ),
    "transformer": (
        "Transformer",
        "TransformerDecoder",
        "TransformerDecoderLayer",
        "TransformerEncoder",
        "TransformerEncoderLayer",
    ),
    "linear": ("Dense", "Embedding", "Identity", "TransposedDense"),
    "regularization": ("Dropout", "Dropout1D", "Dropout2D", "Dropout3D"),
    "normalization": (
        "GroupNormalization",
        "LayerNormalization",
        "LocalResponseNormalization",
        "RMSNormalization",
    ),
    "batch_normalization": ("BatchNormalization", "InstanceNormalization"),
    "container": ("LayerDict", "LayerList", "Sequential"),
    "convolution": ("Conv1D", "Conv2D", "Conv3D"),
    "padding": (
        "CircularPadding1D",
        "CircularPadding2D",
        "ConstantPadding1D",
        "ConstantPadding2D",
        "ConstantPadding3D",
        "ReflectionPadding1D",
        "ReflectionPadding2D",
        "ReflectionPadding3D",
        "ReplicationPadding1D",
        "ReplicationPadding2D",
        "ReplicationPadding3D",
        "ZeroPadding1D",
        "ZeroPadding2D",
        "ZeroPadding3D",
    ),
    "activation": (
        "CELU",
        "ELU",
        "GELU",
        "GLU",
        "Hardsigmoid",
        "Hardswish",
        "Hardtanh",
        "LeakyReLU",
        "LogSigmoid",
        "LogSoftmax",
        "Mish",
        "PReLU",
        "ReLU",
        "ReLU6",
        "SELU",
        "SiLU",
        "Sigmoid",
        "Softmax",
        "Softplus",
        "Softsign",
        "Tanh",
    ),
    "adaptive_pooling": (
        "AdaptiveAveragePooling1D",
        "AdaptiveAveragePooling2D",
        "AdaptiveAveragePooling3D",
        "AdaptiveMaxPooling1D",
        "AdaptiveMaxPooling2D",
        "AdaptiveMaxPooling3D",
    ),
    "adaptive_softmax": ("AdaptiveLogSoftmaxWithLoss",),
    "attention": ("MultiheadAttention",),
    "loss": (
        "BCELoss",
        "BCEWithLogitsLoss",
        "CTCLoss",
        "CosineEmbeddingLoss",
        "CosineSimilarity",
        "CrossEntropyLoss",
        "HingeEmbeddingLoss",
        "HuberLoss",
        "KLDivLoss",
        "L1Loss",
        "MSELoss",
        "MarginRankingLoss",
        "NLLLoss",
        "SmoothL1Loss",
        "SoftMarginLoss",
        "TripletMarginLoss",
    ),
    "parametrization": ("remove_parametrization", "spectral_norm", "weight_norm"),
    "pooling": (
        "AveragePooling1D",
        "AveragePooling2D",
        "AveragePooling3D",
        "MaxPooling1D",
        "MaxPooling2D",
        "MaxPooling3D",
    ),
    "recurrent": ("GRU", "GRUCell", "LSTM", "LSTMCell"),
    "resampling": ("Flatten", "PixelShuffle", "PixelUnshuffle", "Unflatten", "Unfold", "Upsample"),
    "transposed_convolution": ("ConvTranspose1D", "ConvTranspose2D", "ConvTranspose3D"),
    "tying": ("remove_weight", "set_weight", "tie"),
}
_ROOMS = {name: room for room, names in _TABLE.items() for name in names}
__all__ = sorted(_ROOMS)


def __getattr__(name: str) -> Any:
    if name not in _ROOMS:
        raise AttributeError(
            f"expected a layer of {__name__}; got {name!r}; see {__name__}.__all__ for the names."
        )
    value = getattr(importlib.import_module(f"{__name__}.{_ROOMS[name]}"), name)
    if isinstance(value, type) and issubclass(value, keras.layers.Layer):
        # Keras imports classes from .keras files only when they are registered
        keras.saving.register_keras_serializable(package="keraform")(value)
    globals()[name] = value
    return value


def register_all() -> None:
    """Make every layer of the table known to `keras.saving.load_model` in this process."""
    for name in __all__:
        __getattr__(name)


def __dir__() -> list[str]:
    return __all__
