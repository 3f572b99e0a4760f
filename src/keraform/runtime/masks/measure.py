"""What a mask is made from: lengths, offsets and packing, then its pattern with all changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

from keraform.runtime.caches import Cache
from keraform.runtime.layers import Tensor
from keraform.runtime.masks.functions import (
    MaskFunction,
    and_masks,
    blockwise_overlay,
    or_masks,
    packed_sequence_mask_function,
    remap_positions_for_packed_sequence,
)
from keraform.runtime.masks.interface import (
    ALL_MASK_ATTENTION_FUNCTIONS,
    maybe_pad_block_sequence_ids,
)
from keraform.runtime.renamed import takes_older_names
from keraform.runtime.tracing import is_known


@dataclass
class Sizes:
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


def first_sliding_index(cache: Any) -> int:
    """The first layer of `cache` with sliding attention, else 0."""
    sliding = list(getattr(cache, "is_sliding", ()))
    return sliding.index(True) if True in sliding else 0


def _implementation(config: Any) -> str:
    return getattr(config, "_attn_implementation", None) or "eager"


def _expand_batch(position_ids: Tensor, batch_size: Any) -> Tensor:
    """Position ids [q] or [1 or b, q] for every row [b, q]."""
    if len(position_ids.shape) == 1:
        position_ids = ops.expand_dims(position_ids, 0)
    if position_ids.shape[0] != 1:
        return position_ids
    return ops.broadcast_to(position_ids, (batch_size, ops.shape(position_ids)[1]))


def measure(
    config: Any,
    inputs_embeds: Tensor,
    attention_mask: Tensor | None,
    cache: Cache | None,
    position_ids: Tensor | None,
    layer_idx: int | None,
    encoder_hidden_states: Tensor | None = None,
) -> Sizes:
    """Lengths and offsets of queries and keys, from the cache, the mask or the inputs."""
    if attention_mask is not None and len(getattr(attention_mask, "shape", ())) == 4:
        if keras.backend.standardize_dtype(attention_mask.dtype) == "bool":
            # what eager attention adds to its scores, in torch as 0 and 1
            attention_mask = ops.cast(attention_mask, inputs_embeds.dtype)
        return Sizes(attention_mask, done=True)
    if _implementation(config) not in ALL_MASK_ATTENTION_FUNCTIONS:
        return Sizes(None, done=True)
    if attention_mask is not None and len(attention_mask.shape) == 2:
        attention_mask = ops.cast(attention_mask, "bool")
    sizes = Sizes(attention_mask, q_length=ops.shape(inputs_embeds)[1])
    if cache is not None:
        assert layer_idx is not None  # where there is a cache, a layer of it is measured
        sizes.q_offset = cache.get_query_offset(layer_idx)
        lengths = cache.get_mask_sizes(sizes.q_length, layer_idx)
        sizes.kv_length, sizes.kv_offset = lengths
    elif attention_mask is not None:
        sizes.kv_length = ops.shape(attention_mask)[-1]
    elif encoder_hidden_states is not None:
        sizes.kv_length = ops.shape(encoder_hidden_states)[1]
    else:
        sizes.kv_length = sizes.q_length
    if position_ids is not None and attention_mask is None and cache is None:
        batch_size = ops.shape(inputs_embeds)[0]
        sizes.packed = find_packed_sequence_indices(_expand_batch(position_ids, batch_size))
    return sizes


@takes_older_names
def _preprocess_mask_arguments(
    config: Any,
    inputs_embeds: Tensor,
    attention_mask: Tensor | None,
    cache: Cache | None,
    position_ids: Tensor | None,
    layer_idx: int | None,
    encoder_hidden_states: Tensor | None = None,
) -> tuple[Any, ...]:
    """`measure` as upstream's tuple, for the models that call it.

    Returns:
        Whether the mask is final, the mask, the packed sequences [b, q], the query and key
        lengths, the query and key offsets.
    """
    sizes = measure(
        config,
        inputs_embeds,
        attention_mask,
        cache,
        position_ids,
        layer_idx,
        encoder_hidden_states,
    )
    if sizes.done:
        return True, sizes.mask, None, None, None, None, None
    lengths = (sizes.q_length, sizes.kv_length, sizes.q_offset, sizes.kv_offset)
    return False, sizes.mask, sizes.packed, *lengths


def make(
    config: Any,
    embeds: Tensor,
    sizes: Sizes,
    pattern: MaskFunction,
    position_ids: Tensor | None = None,
    or_mask_function: MaskFunction | None = None,
    and_mask_function: MaskFunction | None = None,
    block_sequence_ids: Tensor | None = None,
    local_size: int | None = None,
    skip: bool = False,
) -> Tensor | None:
    """The mask of a pattern with the caller's changes; blocks end where packed sequences do."""
    batch_size = ops.shape(embeds)[0]
    if or_mask_function is not None:
        pattern, skip = or_masks(pattern, or_mask_function), False
    if and_mask_function is not None:
        pattern, skip = and_masks(pattern, and_mask_function), False
    if sizes.packed is not None:
        positions = _expand_batch(position_ids, batch_size)
        pattern = remap_positions_for_packed_sequence(pattern, positions)
    if block_sequence_ids is not None:
        blocks = maybe_pad_block_sequence_ids(
            block_sequence_ids, sizes.mask, sizes.kv_length, sizes.kv_offset
        )
        pattern = or_masks(pattern, blockwise_overlay(blocks))
    if sizes.packed is not None:
        pattern = and_masks(pattern, packed_sequence_mask_function(sizes.packed))
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


def setting(config: Any, name: str) -> int:
    """A number of tokens that the config must have."""
    value = getattr(config, name, None)
    if value is None:
        raise ValueError(
            f"Expected `{name}` in the config for this mask; {type(config).__name__} has none. "
            f"Set config.{name} to a number of tokens."
        )
    return value
