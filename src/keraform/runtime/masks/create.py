"""The masks models ask for: causal, bidirectional, sliding, chunked and recurrent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import keras
from keras import ops

from keraform.runtime.caches import Cache
from keraform.runtime.layers import Tensor
from keraform.runtime.masks.functions import (
    MaskFunction,
    and_masks,
    bidirectional_mask_function,
    blockwise_overlay,
    causal_mask_function,
    chunked_causal_mask_function,
    or_masks,
    packed_sequence_compatibility_function,
    sliding_window_bidirectional_mask_function,
    sliding_window_causal_mask_function,
)
from keraform.runtime.masks.interface import (
    ALL_MASK_ATTENTION_FUNCTIONS,
    maybe_pad_block_sequence_ids,
)
from keraform.runtime.tracing import is_known


@dataclass
class _Sizes:
    """What is known of a mask before its pattern; `done` means that `mask` is the answer."""

    mask: Tensor | None
    done: bool = False
    packed: Tensor | None = None
    q_length: Any = None
    kv_length: Any = None
    q_offset: Any = 0
    kv_offset: Any = 0


def find_packed_sequence_indices(position_ids: Tensor) -> Tensor | None:
    """Which packed sequence each token [b, q] belongs to; None when each row is one sequence.

    A new sequence begins where a position is not its predecessor plus 1. In a graph the answer
    is always a tensor, since its numbers cannot be read.
    """
    positions = ops.cast(position_ids, "int32")
    breaks = ops.not_equal(positions[:, 1:] - positions[:, :-1], 1)
    breaks = ops.concatenate([ops.zeros_like(positions[:, :1]), ops.cast(breaks, "int32")], axis=-1)
    packed = ops.cumsum(breaks, axis=-1)
    if is_known(packed) and not bool(ops.any(packed[:, -1] != 0)):
        return None
    return packed


def find_first_full_attention_index(cache: Any) -> int:
    """The first layer of `cache` with full attention, else 0."""
    if not isinstance(cache, Cache):
        return 0
    kinds = zip(cache.is_sliding, cache.is_linear, cache.is_dummy, strict=True)
    return next((index for index, kind in enumerate(kinds) if not any(kind)), 0)


def _first_sliding_index(cache: Any) -> int:
    """The first layer of `cache` with sliding attention, else 0."""
    sliding = list(getattr(cache, "is_sliding", ()))
    return sliding.index(True) if True in sliding else 0


def _implementation(config: Any) -> str:
    return getattr(config, "_attn_implementation", None) or "eager"


def _expand_batch(position_ids: Tensor, batch_size: Any) -> Tensor:
    """Position ids [1 or b, q] for every row [b, q]."""
    if position_ids.shape[0] != 1:
        return position_ids
    return ops.broadcast_to(position_ids, (batch_size, ops.shape(position_ids)[1]))


def _sizes(
    config: Any,
    inputs_embeds: Tensor,
    attention_mask: Tensor | None,
    past_key_values: Cache | None,
    position_ids: Tensor | None,
    layer_idx: int | None,
    encoder_hidden_states: Tensor | None = None,
) -> _Sizes:
    """Lengths and offsets of queries and keys, from the cache, the mask or the inputs."""
    if attention_mask is not None and len(getattr(attention_mask, "shape", ())) == 4:
        return _Sizes(attention_mask, done=True)
    if _implementation(config) not in ALL_MASK_ATTENTION_FUNCTIONS:
        return _Sizes(None, done=True)
    if attention_mask is not None and len(attention_mask.shape) == 2:
        attention_mask = ops.cast(attention_mask, "bool")
    sizes = _Sizes(attention_mask, q_length=ops.shape(inputs_embeds)[1])
    if past_key_values is not None:
        sizes.q_offset = past_key_values.get_query_offset(layer_idx)
        lengths = past_key_values.get_mask_sizes(sizes.q_length, layer_idx)
        sizes.kv_length, sizes.kv_offset = lengths
    elif attention_mask is not None:
        sizes.kv_length = ops.shape(attention_mask)[-1]
    elif encoder_hidden_states is not None:
        sizes.kv_length = ops.shape(encoder_hidden_states)[1]
    else:
        sizes.kv_length = sizes.q_length
    if position_ids is not None and attention_mask is None and past_key_values is None:
        batch_size = ops.shape(inputs_embeds)[0]
        sizes.packed = find_packed_sequence_indices(_expand_batch(position_ids, batch_size))
    return sizes


def _make(
    config: Any,
    embeds: Tensor,
    sizes: _Sizes,
    pattern: MaskFunction,
    position_ids: Tensor | None = None,
    or_mask_function: MaskFunction | None = None,
    and_mask_function: MaskFunction | None = None,
    block_sequence_ids: Tensor | None = None,
    local_size: int | None = None,
    skip: bool = False,
) -> Tensor | None:
    """The mask of a pattern, with the caller's changes, packing and blocks, in this order."""
    batch_size = ops.shape(embeds)[0]
    if or_mask_function is not None:
        pattern, skip = or_masks(pattern, or_mask_function), False
    if and_mask_function is not None:
        pattern, skip = and_masks(pattern, and_mask_function), False
    if sizes.packed is not None:
        positions = _expand_batch(position_ids, batch_size)
        pattern = packed_sequence_compatibility_function(pattern, positions, sizes.packed)
    if block_sequence_ids is not None:
        blocks = maybe_pad_block_sequence_ids(
            block_sequence_ids, sizes.mask, sizes.kv_length, sizes.kv_offset
        )
        pattern = or_masks(pattern, blockwise_overlay(blocks))
    return ALL_MASK_ATTENTION_FUNCTIONS[_implementation(config)](
        batch_size=batch_size,
        q_length=sizes.q_length,
        kv_length=sizes.kv_length,
        q_offset=sizes.q_offset,
        kv_offset=sizes.kv_offset,
        mask_function=pattern,
        attention_mask=sizes.mask,
        dtype=keras.backend.standardize_dtype(embeds.dtype),
        allow_is_causal_skip=False,
        allow_is_bidirectional_skip=skip,
        local_size=local_size,
        config=config,
    )


def _setting(config: Any, name: str) -> int:
    value = getattr(config, name, None)
    if value is None:
        raise ValueError(
            f"Expected `{name}` in the config for this mask; {type(config).__name__} has none. "
            f"Set config.{name} to a number of tokens."
        )
    return value


def create_causal_mask(
    config: Any,
    inputs_embeds: Tensor,
    attention_mask: Tensor | None,
    past_key_values: Cache | None = None,
    position_ids: Tensor | None = None,
    or_mask_function: MaskFunction | None = None,
    and_mask_function: MaskFunction | None = None,
    block_sequence_ids: Tensor | None = None,
    layer_idx: int | None = None,
    allow_is_causal_skip: bool = True,
) -> Tensor | None:
    """The causal mask of the full-attention layers, [b, 1, q, k]; 0 is open, the minimum closed.

    Args:
        config: the model's; with `config.is_causal` False the mask is bidirectional.
        inputs_embeds: [b, q, m]; read are its sizes and dtype.
        attention_mask: [b, k], not 0 where a key is no padding; [b, 1, q, k] is returned as it is.
        past_key_values: a cache, which then tells the key length and offsets.
        position_ids: [1 or b, q]; without a mask and a cache they tell packed sequences apart.
        or_mask_function: opens more.
        and_mask_function: closes more.
        block_sequence_ids: [b, n], blocks that see themselves in both directions; -1 is no block.
        layer_idx: the cache layer to measure, by default the first with full attention.
        allow_is_causal_skip: accepted; an eager causal mask is always made.
    """
    if not getattr(config, "is_causal", True):
        return create_bidirectional_mask(
            config,
            inputs_embeds,
            attention_mask,
            past_key_values=past_key_values,
            or_mask_function=or_mask_function,
            and_mask_function=and_mask_function,
            allow_is_bidirectional_skip=allow_is_causal_skip,
        )
    if layer_idx is None:
        layer_idx = find_first_full_attention_index(past_key_values)
    sizes = _sizes(config, inputs_embeds, attention_mask, past_key_values, position_ids, layer_idx)
    if sizes.done:
        return sizes.mask
    return _make(
        config,
        inputs_embeds,
        sizes,
        causal_mask_function,
        position_ids,
        or_mask_function,
        and_mask_function,
        block_sequence_ids,
    )


def create_bidirectional_mask(
    config: Any,
    inputs_embeds: Tensor,
    attention_mask: Tensor | None,
    encoder_hidden_states: Tensor | None = None,
    past_key_values: Cache | None = None,
    or_mask_function: MaskFunction | None = None,
    and_mask_function: MaskFunction | None = None,
    allow_is_bidirectional_skip: bool = True,
    **kwargs: Any,
) -> Tensor | None:
    """The mask of attention in both directions, [b, 1, q, k]; None when nothing is closed.

    In a graph the numbers of `attention_mask` cannot be read, so that a mask is made (of zeros,
    if there is no padding). With `encoder_hidden_states` [b, k, m] the keys are the encoder's.
    """
    layer_idx = find_first_full_attention_index(past_key_values)
    sizes = _sizes(
        config,
        inputs_embeds,
        attention_mask,
        past_key_values,
        None,
        layer_idx,
        encoder_hidden_states,
    )
    if sizes.done:
        return sizes.mask
    return _make(
        config,
        inputs_embeds if encoder_hidden_states is None else encoder_hidden_states,
        sizes,
        bidirectional_mask_function,
        or_mask_function=or_mask_function,
        and_mask_function=and_mask_function,
        skip=allow_is_bidirectional_skip,
    )


def create_sliding_window_causal_mask(
    config: Any,
    inputs_embeds: Tensor,
    attention_mask: Tensor | None,
    past_key_values: Cache | None = None,
    position_ids: Tensor | None = None,
    or_mask_function: MaskFunction | None = None,
    and_mask_function: MaskFunction | None = None,
    block_sequence_ids: Tensor | None = None,
    layer_idx: int | None = None,
    allow_is_causal_skip: bool = True,
) -> Tensor | None:
    """As `create_causal_mask`, open for the last `config.sliding_window` positions only."""
    if not getattr(config, "is_causal", True):
        return create_bidirectional_sliding_window_mask(
            config,
            inputs_embeds,
            attention_mask,
            past_key_values=past_key_values,
            or_mask_function=or_mask_function,
            and_mask_function=and_mask_function,
            allow_is_bidirectional_skip=allow_is_causal_skip,
        )
    if layer_idx is None:
        layer_idx = _first_sliding_index(past_key_values)
    sizes = _sizes(config, inputs_embeds, attention_mask, past_key_values, position_ids, layer_idx)
    if sizes.done:
        return sizes.mask
    window = _setting(config, "sliding_window")
    return _make(
        config,
        inputs_embeds,
        sizes,
        sliding_window_causal_mask_function(window),
        position_ids,
        or_mask_function,
        and_mask_function,
        block_sequence_ids,
        local_size=window,
    )


def create_bidirectional_sliding_window_mask(
    config: Any,
    inputs_embeds: Tensor,
    attention_mask: Tensor | None,
    encoder_hidden_states: Tensor | None = None,
    past_key_values: Cache | None = None,
    or_mask_function: MaskFunction | None = None,
    and_mask_function: MaskFunction | None = None,
    allow_is_bidirectional_skip: bool = True,
    **kwargs: Any,
) -> Tensor | None:
    """As `create_bidirectional_mask`, open up to `config.sliding_window` positions away."""
    sizes = _sizes(
        config,
        inputs_embeds,
        attention_mask,
        past_key_values,
        None,
        _first_sliding_index(past_key_values),
        encoder_hidden_states,
    )
    if sizes.done:
        return sizes.mask
    window = _setting(config, "sliding_window")
    return _make(
        config,
        inputs_embeds if encoder_hidden_states is None else encoder_hidden_states,
        sizes,
        sliding_window_bidirectional_mask_function(window),
        or_mask_function=or_mask_function,
        and_mask_function=and_mask_function,
        local_size=window,
        skip=allow_is_bidirectional_skip,
    )


def create_chunked_causal_mask(
    config: Any,
    inputs_embeds: Tensor,
    attention_mask: Tensor | None,
    past_key_values: Cache | None = None,
    position_ids: Tensor | None = None,
    or_mask_function: MaskFunction | None = None,
    and_mask_function: MaskFunction | None = None,
    block_sequence_ids: Tensor | None = None,
    layer_idx: int | None = None,
    allow_is_causal_skip: bool = True,
) -> Tensor | None:
    """As `create_causal_mask`, within chunks of `config.attention_chunk_size` tokens.

    Chunks are counted from each row's first token that is no padding.
    """
    if layer_idx is None:
        layer_idx = _first_sliding_index(past_key_values)
    sizes = _sizes(config, inputs_embeds, attention_mask, past_key_values, position_ids, layer_idx)
    if sizes.done:
        return sizes.mask
    chunk_size = _setting(config, "attention_chunk_size")
    if sizes.mask is not None:
        seen = ops.cumsum(ops.cast(sizes.mask, "int32"), axis=-1)
        left_padding = ops.sum(ops.cast(ops.equal(seen, 0), "int32"), axis=-1)  # [b]
    else:
        left_padding = ops.zeros((ops.shape(inputs_embeds)[0],), dtype="int32")
    return _make(
        config,
        inputs_embeds,
        sizes,
        chunked_causal_mask_function(chunk_size, left_padding),
        position_ids,
        or_mask_function,
        and_mask_function,
        block_sequence_ids,
        local_size=chunk_size,
    )


def create_recurrent_attention_mask(
    config: Any,
    inputs_embeds: Tensor,
    attention_mask: Tensor | None,
    past_key_values: Cache | None = None,
    **kwargs: Any,
) -> Tensor | None:
    """The padding mask [b, q] of this call's tokens, for layers that scan over the sequence.

    None for a mask that is not [b, n], for one new token (never padding), and, where its numbers
    can be read, for a mask without padding.
    """
    if attention_mask is None or len(attention_mask.shape) != 2:
        return None
    if inputs_embeds.shape[1] == 1:
        return None
    if is_known(attention_mask) and bool(ops.all(ops.equal(attention_mask, 1))):
        return None
    start = ops.shape(attention_mask)[1] - ops.shape(inputs_embeds)[1]
    start = max(start, 0) if isinstance(start, int) else ops.maximum(start, 0)
    return attention_mask[:, start:]


LAYER_PATTERN_TO_MASK_FUNCTION_MAPPING: dict[str, Callable | dict[str, Callable]] = {
    "full_attention": create_causal_mask,
    "sliding_attention": create_sliding_window_causal_mask,
    "chunked_attention": create_chunked_causal_mask,
    "compressed_sparse_attention": create_sliding_window_causal_mask,
    "heavily_compressed_attention": create_sliding_window_causal_mask,
    "minimax_m3_sparse": create_causal_mask,
    "indexed_attention": partial(create_causal_mask, allow_is_causal_skip=False),
    "linear_attention": create_recurrent_attention_mask,
    "conv": create_recurrent_attention_mask,
    "hybrid": {
        "full_attention": create_causal_mask,
        "linear_attention": create_recurrent_attention_mask,
    },
    "hybrid_sliding": {
        "sliding_attention": create_causal_mask,
        "linear_attention": create_recurrent_attention_mask,
    },
}


def create_masks_for_generate(
    config: Any,
    inputs_embeds: Tensor,
    attention_mask: Tensor | None,
    past_key_values: Cache | None = None,
    position_ids: Tensor | None = None,
    or_mask_function: MaskFunction | None = None,
    and_mask_function: MaskFunction | None = None,
    block_sequence_ids: Tensor | None = None,
    **kwargs: Any,
) -> Tensor | dict[str, Tensor | None] | None:
    """The mask or, for a config with `layer_types`, the masks by layer type that a model needs.

    A config with a layer type that is not in the table gets its `attention_mask` back.
    """
    config = config.get_text_config()
    arguments = {
        "config": config,
        "inputs_embeds": inputs_embeds,
        "attention_mask": attention_mask,
        "past_key_values": past_key_values,
        "position_ids": position_ids,
        "or_mask_function": or_mask_function,
        "and_mask_function": and_mask_function,
        "block_sequence_ids": block_sequence_ids,
    }
    if hasattr(config, "layer_types"):
        table = LAYER_PATTERN_TO_MASK_FUNCTION_MAPPING
        patterns = dict.fromkeys(config.layer_types)
        if any(pattern not in table for pattern in patterns):
            return attention_mask
        makers: dict[str, Callable] = {}
        for pattern in patterns:
            maker = table[pattern]
            if isinstance(maker, dict):
                makers = {**maker, **makers}
            else:
                makers[pattern] = maker
        return {pattern: maker(**arguments) for pattern, maker in makers.items()}
    if getattr(config, "sliding_window", None) is not None:
        return create_sliding_window_causal_mask(**arguments)
    if getattr(config, "attention_chunk_size", None) is not None:
        return create_chunked_causal_mask(**arguments)
    return create_causal_mask(**arguments)
