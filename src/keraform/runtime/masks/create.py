"""The masks models ask for: causal, bidirectional, sliding, chunked and recurrent."""

from __future__ import annotations

from typing import Any

from keras import ops

from keraform.runtime.caches import Cache
from keraform.runtime.layers import Tensor
from keraform.runtime.masks.functions import (
    MaskFunction,
    bidirectional_mask_function,
    causal_mask_function,
    chunked_causal_mask_function,
    sliding_window_bidirectional_mask_function,
    sliding_window_causal_mask_function,
)
from keraform.runtime.masks.measure import (
    find_first_full_attention_index,
    first_sliding_index,
    make,
    measure,
    setting,
)
from keraform.runtime.renamed import takes_older_names
from keraform.runtime.tracing import is_known


@takes_older_names
def create_causal_mask(
    config: Any,
    inputs_embeds: Tensor,
    attention_mask: Tensor | None,
    cache: Cache | None = None,
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
        attention_mask: [b, k], not 0 where a key is no padding; [b, 1, q, k] is returned as it is,
            booleans as 0 and 1.
        cache: a cache, which then tells the key length and offsets.
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
            cache=cache,
            or_mask_function=or_mask_function,
            and_mask_function=and_mask_function,
            allow_is_bidirectional_skip=allow_is_causal_skip,
        )
    if layer_idx is None:
        layer_idx = find_first_full_attention_index(cache)
    sizes = measure(config, inputs_embeds, attention_mask, cache, position_ids, layer_idx)
    if sizes.done:
        return sizes.mask
    return make(
        config,
        inputs_embeds,
        sizes,
        causal_mask_function,
        position_ids,
        or_mask_function,
        and_mask_function,
        block_sequence_ids,
    )


@takes_older_names
def create_bidirectional_mask(
    config: Any,
    inputs_embeds: Tensor,
    attention_mask: Tensor | None,
    encoder_hidden_states: Tensor | None = None,
    cache: Cache | None = None,
    or_mask_function: MaskFunction | None = None,
    and_mask_function: MaskFunction | None = None,
    allow_is_bidirectional_skip: bool = True,
    **kwargs: Any,
) -> Tensor | None:
    """The mask of attention in both directions, [b, 1, q, k]; None when nothing is closed.

    In a graph the numbers of `attention_mask` cannot be read, so that a mask is made (of zeros,
    if there is no padding). With `encoder_hidden_states` [b, k, m] the keys are the encoder's.
    """
    layer_idx = find_first_full_attention_index(cache)
    sizes = measure(
        config,
        inputs_embeds,
        attention_mask,
        cache,
        None,
        layer_idx,
        encoder_hidden_states,
    )
    if sizes.done:
        return sizes.mask
    return make(
        config,
        inputs_embeds if encoder_hidden_states is None else encoder_hidden_states,
        sizes,
        bidirectional_mask_function,
        or_mask_function=or_mask_function,
        and_mask_function=and_mask_function,
        skip=allow_is_bidirectional_skip,
    )


@takes_older_names
def create_sliding_window_causal_mask(
    config: Any,
    inputs_embeds: Tensor,
    attention_mask: Tensor | None,
    cache: Cache | None = None,
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
            cache=cache,
            or_mask_function=or_mask_function,
            and_mask_function=and_mask_function,
            allow_is_bidirectional_skip=allow_is_causal_skip,
        )
    if layer_idx is None:
        layer_idx = first_sliding_index(cache)
    sizes = measure(config, inputs_embeds, attention_mask, cache, position_ids, layer_idx)
    if sizes.done:
        return sizes.mask
    window = setting(config, "sliding_window")
    return make(
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


@takes_older_names
def create_bidirectional_sliding_window_mask(
    config: Any,
    inputs_embeds: Tensor,
    attention_mask: Tensor | None,
    encoder_hidden_states: Tensor | None = None,
    cache: Cache | None = None,
    or_mask_function: MaskFunction | None = None,
    and_mask_function: MaskFunction | None = None,
    allow_is_bidirectional_skip: bool = True,
    **kwargs: Any,
) -> Tensor | None:
    """As `create_bidirectional_mask`, open up to `config.sliding_window` positions away."""
    sizes = measure(
        config,
        inputs_embeds,
        attention_mask,
        cache,
        None,
        first_sliding_index(cache),
        encoder_hidden_states,
    )
    if sizes.done:
        return sizes.mask
    window = setting(config, "sliding_window")
    return make(
        config,
        inputs_embeds if encoder_hidden_states is None else encoder_hidden_states,
        sizes,
        sliding_window_bidirectional_mask_function(window),
        or_mask_function=or_mask_function,
        and_mask_function=and_mask_function,
        local_size=window,
        skip=allow_is_bidirectional_skip,
    )


@takes_older_names
def create_chunked_causal_mask(
    config: Any,
    inputs_embeds: Tensor,
    attention_mask: Tensor | None,
    cache: Cache | None = None,
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
        layer_idx = first_sliding_index(cache)
    sizes = measure(config, inputs_embeds, attention_mask, cache, position_ids, layer_idx)
    if sizes.done:
        return sizes.mask
    chunk_size = setting(config, "attention_chunk_size")
    if sizes.mask is not None:
        seen = ops.cumsum(ops.cast(sizes.mask, "int32"), axis=-1)
        left_padding = ops.sum(ops.cast(ops.equal(seen, 0), "int32"), axis=-1)  # [b]
    else:
        left_padding = ops.zeros((ops.shape(inputs_embeds)[0],), dtype="int32")
    return make(
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


@takes_older_names
def create_recurrent_attention_mask(
    config: Any,
    inputs_embeds: Tensor,
    attention_mask: Tensor | None,
    cache: Cache | None = None,
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
    new = ops.shape(inputs_embeds)[1]
    layers = [] if cache is None else cache.layers
    static = next((layer for layer in layers if getattr(layer, "is_static", False)), None)
    if static is not None:  # the mask covers the room that there is, not the tokens
        start = static.get_seq_length()
        return attention_mask[:, start : start + new]
    start = ops.shape(attention_mask)[1] - new
    start = max(start, 0) if isinstance(start, int) else ops.maximum(start, 0)
    return attention_mask[:, start:]
