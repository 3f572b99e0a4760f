"""The masks of a whole model, by the layer types its config lists."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from keraform.runtime.caches import Cache
from keraform.runtime.layers import Tensor
from keraform.runtime.masks.create import (
    create_causal_mask,
    create_chunked_causal_mask,
    create_recurrent_attention_mask,
    create_sliding_window_causal_mask,
)
from keraform.runtime.masks.functions import MaskFunction
from keraform.runtime.renamed import takes_older_names

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


@takes_older_names
def create_masks_for_generate(
    config: Any,
    inputs_embeds: Tensor,
    attention_mask: Tensor | None,
    cache: Cache | None = None,
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
        "cache": cache,
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
