"""The default inputs of a model: their shapes for export, and small arrays to try it with."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from transformers import PreTrainedConfig

from keraform.modeling.inputs import Arguments
from keraform.runtime.given import integer_dtype

_IDS = ((7, 6, 0, 0, 1), (1, 2, 3, 0, 0), (0, 0, 0, 4, 5))
_TEXT = ("input_ids", "attention_mask", "token_type_ids", "decoder_input_ids")
_BATCH, _CHOICES, _SAMPLES, _FRAMES = 2, 3, 4000, 64


def _image(config: PreTrainedConfig) -> tuple[int | None, ...]:
    for owner in (config, getattr(config, "vision_config", None)):
        size = getattr(owner, "image_size", None)
        if size is not None:
            height, width = size if isinstance(size, (list, tuple)) else (size, size)
            return (None, getattr(owner, "num_channels", 3), height, width)
    return (None, getattr(config, "num_channels", 3), None, None)


def _spectrum(config: PreTrainedConfig) -> tuple[int | None, ...]:
    mels = getattr(config, "num_mel_bins", None)
    length = getattr(config, "max_source_positions", None)
    return (None, mels, 2 * length if length else None)


_FLOATS = {
    "pixel_values": _image,
    "input_features": _spectrum,
    "input_values": lambda config: (None, None),
}


def input_signature(owner: Any) -> dict[str, keras.InputSpec]:
    """The inputs a model is exported with, batch and length left open.

    Args:
        owner: A model.
    """
    arguments = Arguments.of(type(owner))
    main = owner.main_input_name
    found: dict[str, keras.InputSpec] = {}
    for name in arguments.inputs:
        if name in _FLOATS and (name == main or main == "input_ids"):
            shape, dtype = _FLOATS[name](owner.config), owner.compute_dtype
        elif name in _TEXT and _takes(owner.config, name, main):
            choice = type(owner).__name__.endswith("ForMultipleChoice")
            shape, dtype = (None,) * (3 if choice else 2), integer_dtype()
        else:
            continue
        found[name] = keras.InputSpec(shape=shape, dtype=dtype, name=name)
    return found


def _takes(config: PreTrainedConfig, name: str, main: str) -> bool:
    if name == "decoder_input_ids":
        return bool(config.is_encoder_decoder)
    if name == "token_type_ids":
        return getattr(config, "type_vocab_size", 0) > 1
    return main == "input_ids"


def dummy_inputs(owner: Any) -> dict[str, np.ndarray]:
    """Small arrays that the model accepts.

    Args:
        owner: A model.
    """
    rng = np.random.default_rng(0)
    found: dict[str, np.ndarray] = {}
    for name, spec in owner.input_signature.items():
        if keras.backend.is_float_dtype(spec.dtype):
            free = _SAMPLES if len(spec.shape) == 2 else _FRAMES
            shape = [_BATCH, *(free if size is None else size for size in spec.shape[1:])]
            found[name] = rng.standard_normal(shape).astype("float32")
            continue
        ids = np.asarray(_IDS)
        values = {"attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        value = values.get(name, ids)
        found[name] = np.stack([value] * _CHOICES, axis=1) if len(spec.shape) == 3 else value
    sizes = {len(value) for value in found.values()}
    return {name: value[: min(sizes)] for name, value in found.items()}
