"""The room that compiled decoding has: lengths in buckets, so that few programs serve all."""

from __future__ import annotations

from typing import Any

from keras import ops

from keraform.runtime.caches import LinearAttentionCacheLayerMixin, LoopCache, StaticLayer
from keraform.runtime.layers import Tensor

STEP = 64  # tokens; shorter lengths go by powers of two
LEAST = 16
# What a padded prompt may come with: everything that is as long as it, and flags.
_PADDABLE = {
    "attention_mask": 1,
    "position_ids": 0,
    "past_key_values": None,
    "use_cache": None,
    "logits_to_keep": None,
}


def bucket(length: int) -> int:
    """The least room for `length` tokens: 16, 32, or a multiple of 64."""
    if length > STEP // 2:
        return -(-length // STEP) * STEP
    return LEAST if length <= LEAST else STEP // 2


def widened(value: Tensor, length: Any, fill: int) -> Tensor:
    """[..., n] as [..., length], filled on the right."""
    missing = length - ops.shape(value)[-1]
    if isinstance(missing, int) and missing == 0:
        return value
    rows = ops.full((*ops.shape(value)[:-1], missing), fill, dtype=value.dtype)
    return ops.concatenate([value, rows], axis=-1)


def only_looks_back(model: Any) -> bool:
    """Whether a decoder knows earlier tokens by attention alone, so that it can forget some."""
    layers = LoopCache(model.config.get_text_config(decoder=True), 1).layers
    return all(
        isinstance(layer, StaticLayer) and not isinstance(layer, LinearAttentionCacheLayerMixin)
        for layer in layers
    )


def can_be_padded(model: Any, arguments: dict[str, Any]) -> bool:
    """Whether padding on the right of a prompt changes nothing: a decoder that looks back by
    attention alone, and nothing that comes with the prompt but its mask and positions.
    """
    if model.config.is_encoder_decoder:
        return False
    if any(value is not None and name not in _PADDABLE for name, value in arguments.items()):
        return False
    return only_looks_back(model)


def padded(arguments: dict[str, Any], length: int) -> dict[str, Any]:
    """The prompt's mask and positions as those of a prompt of `length` tokens."""
    return {
        name: widened(value, length, fill)
        if (fill := _PADDABLE.get(name)) is not None and value is not None
        else value
        for name, value in arguments.items()
    }
