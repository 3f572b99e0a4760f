"""The room of compiled decoding: lengths in buckets, so that few programs serve all prompts."""

from __future__ import annotations

import inspect
from typing import Any

from keras import ops

from keraform.runtime.caches import LinearAttentionCacheLayerMixin, LoopCache, StaticLayer
from keraform.runtime.given import integer_dtype
from keraform.runtime.layers import Tensor

STEP = 64  # tokens; shorter lengths go by powers of two
LEAST = 16
FIRST_ROOM = 512  # tokens, prompt included, before room begins to double
# What a padded prompt may come with: everything that is as long as it, and flags.
_PADDABLE = {
    "attention_mask": 1,
    "position_ids": 0,
    "past_key_values": None,
    "cache_params": None,
    "use_cache": None,
    "logits_to_keep": None,
}
# Options of encoders whose tokens share something with those around them that a mask does not
# divide: windows and blocks, and experts with room for so many tokens.
_SHARED_BY_TOKENS = ("local_radius", "attention_window", "block_size", "expert_capacity")


def bucket(length: int, limit: int | None = None) -> int:
    """The least room for `length` tokens: 16, 32, or a multiple of 64.

    Args:
        length: how many tokens there are.
        limit: how many positions there are; only more tokens than that get more room.
    """
    if length > STEP // 2:
        room = -(-length // STEP) * STEP
    else:
        room = LEAST if length <= LEAST else STEP // 2
    return room if limit is None else max(length, min(room, limit))


def whole_part(length: int) -> int:
    """How many of `length` tokens to take at once, before the rest: a power of two up to 64, or a
    multiple of 64.
    """
    return length // STEP * STEP if length >= STEP else 1 << (length.bit_length() - 1)


def room_for(tokens: int, most: int) -> int:
    """The room to begin with: for the `most` tokens there may be, or where that is far more than
    there are, less, which is doubled when it is full.
    """
    room = max(FIRST_ROOM, bucket(2 * tokens))
    return most if most <= 2 * room else room


def widened(value: Tensor, length: Any, fill: int) -> Tensor:
    """[..., n] as [..., length], filled on the right."""
    missing = length - ops.shape(value)[-1]
    if isinstance(missing, int) and missing == 0:
        return value
    rows = ops.full((*ops.shape(value)[:-1], missing), fill, dtype=value.dtype)
    return ops.concatenate([value, rows], axis=-1)


def positions_of(model: Any) -> int | None:
    """How many positions a model's text may have, where it says so."""
    return getattr(model.config.get_text_config(decoder=True), "max_position_embeddings", None)


def is_plain_prompt(arguments: dict[str, Any]) -> bool:
    """Whether nothing comes with a prompt but its mask and positions."""
    return not any(value is not None and name not in _PADDABLE for name, value in arguments.items())


def can_be_padded(model: Any, arguments: dict[str, Any]) -> bool:
    """Whether padding on the right of a prompt changes nothing: a decoder that looks back by
    attention alone, and a plain prompt.
    """
    return (
        not model.config.is_encoder_decoder
        and is_plain_prompt(arguments)
        and all(isinstance(layer, StaticLayer) and not _scans(layer) for layer in _layers(model))
    )


def can_be_cut(model: Any, arguments: dict[str, Any]) -> bool:
    """Whether a prompt may be taken in two parts: a decoder with scans, whose state padding would
    change, and a plain prompt of whole rows.
    """
    return (
        not model.config.is_encoder_decoder
        and is_plain_prompt(arguments)
        and arguments.get("attention_mask") is None
        and any(_scans(layer) for layer in _layers(model))
    )


def _layers(model: Any) -> list[Any]:
    return LoopCache(model.config.get_text_config(decoder=True), 1).layers


def _scans(layer: Any) -> bool:
    return isinstance(layer, LinearAttentionCacheLayerMixin)


def with_mask(model: Any, input_ids: Tensor, arguments: dict[str, Any]) -> dict[str, Any]:
    """A plain prompt's arguments with a mask, and positions of each row, whether or not something
    is hidden, so that whole rows and padded ones have the same programs.

    Args:
        model: the model.
        input_ids: [b, n], the prompt.
        arguments: of the call with it.
    """
    found = dict(arguments)
    shape = ops.shape(input_ids)
    takes_mask = "attention_mask" in inspect.signature(model.call).parameters
    if takes_mask and found.get("attention_mask") is None:
        found["attention_mask"] = ops.ones(shape, dtype=integer_dtype())
    positions = found.get("position_ids")
    if positions is not None and len(positions.shape) == 2:
        found["position_ids"] = ops.broadcast_to(positions, shape)
    return found


def fitted(arguments: dict[str, Any], length: int) -> dict[str, Any]:
    """What comes with a plain prompt, its mask and positions as those of one of `length` tokens."""
    return {
        name: widened(value[..., :length], length, fill)
        if (fill := _PADDABLE.get(name)) is not None and value is not None
        else value
        for name, value in arguments.items()
    }


def encoder_can_be_padded(model: Any, given: dict[str, Any]) -> bool:
    """Whether padding on the right of an encoder's ids, with a mask that hides it, changes nothing.

    Args:
        model: an encoder-decoder.
        given: what else the encoder gets.
    """
    config = getattr(model.config, "encoder", model.config)
    return (
        "attention_mask" in inspect.signature(model.get_encoder().call).parameters
        and not any(
            ops.is_tensor(value) for name, value in given.items() if name != "attention_mask"
        )
        and not any(hasattr(config, name) for name in _SHARED_BY_TOKENS)
    )
