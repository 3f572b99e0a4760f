"""Masks from mask functions: booleans for every query and key, then floats to add to the scores."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from keras import ops

from keraform.runtime.interface import GeneralInterface
from keraform.runtime.layers import Tensor
from keraform.runtime.masks.functions import (
    MaskFunction,
    and_masks,
    causal_mask_function,
    padding_mask_function,
    to_float,
)
from keraform.runtime.tracing import is_known


def prepare_padding_mask(
    attention_mask: Tensor | None, kv_length: Any, kv_offset: Any
) -> Tensor | None:
    """The padding mask [b, n], made longer with closed keys up to the last key in use."""
    return attention_mask if attention_mask is None else _pad(attention_mask, kv_length, kv_offset)


def maybe_pad_block_sequence_ids(
    block_sequence_ids: Tensor, attention_mask: Tensor | None, kv_length: Any, kv_offset: Any
) -> Tensor:
    """The block ids [b, n], made longer with -1 (no block) up to the last key in use."""
    return _pad(block_sequence_ids, kv_length, kv_offset, value=-1)


def _pad(tensor: Tensor, kv_length: Any, kv_offset: Any, value: int = 0) -> Tensor:
    batch, length = ops.shape(tensor)
    missing = kv_length + kv_offset - length
    if isinstance(missing, int):
        if missing <= 0:
            return tensor
    else:
        missing = ops.maximum(missing, 0)
    tail = ops.cast(ops.full((batch, missing), value, dtype="int32"), tensor.dtype)
    return ops.concatenate([tensor, tail], axis=-1)


def _nothing_to_mask(padding_mask: Tensor | None, kv_length: Any, local_size: int | None) -> bool:
    """Whether a bidirectional mask would be all open; in a graph only where shapes tell."""
    if padding_mask is not None:
        if not is_known(padding_mask) or not bool(ops.all(ops.cast(padding_mask, "bool"))):
            return False
    if local_size is None:
        return True
    return isinstance(kv_length, int) and kv_length < local_size


def boolean_mask(
    batch_size: Any,
    q_length: Any,
    kv_length: Any,
    q_offset: Any = 0,
    kv_offset: Any = 0,
    mask_function: MaskFunction = causal_mask_function,
    attention_mask: Tensor | None = None,
    local_size: int | None = None,
    allow_is_bidirectional_skip: bool = False,
    **kwargs: Any,
) -> Tensor | None:
    """Booleans [b, 1, q, k], True is open; None when everything is and that may be left out."""
    padding_mask = prepare_padding_mask(attention_mask, kv_length, kv_offset)
    if allow_is_bidirectional_skip and _nothing_to_mask(padding_mask, kv_length, local_size):
        return None
    if padding_mask is not None:
        mask_function = and_masks(mask_function, padding_mask_function(padding_mask))
    batch_idx = ops.reshape(ops.arange(batch_size, dtype="int32"), (-1, 1, 1, 1))
    head_idx = ops.zeros((1, 1, 1, 1), dtype="int32")
    q_idx = ops.reshape(_range(q_length, q_offset), (1, 1, -1, 1))
    kv_idx = ops.reshape(_range(kv_length, kv_offset), (1, 1, 1, -1))
    mask = mask_function(batch_idx, head_idx, q_idx, kv_idx)
    return ops.broadcast_to(mask, (batch_size, 1, q_length, kv_length))  # [b, 1, q, k]


def _range(length: Any, offset: Any) -> Tensor:
    indices = ops.arange(length, dtype="int32")
    if isinstance(offset, int) and offset == 0:
        return indices
    return indices + ops.cast(offset, "int32")


def eager_mask(
    batch_size: Any,
    q_length: Any,
    kv_length: Any,
    q_offset: Any = 0,
    kv_offset: Any = 0,
    mask_function: MaskFunction = causal_mask_function,
    attention_mask: Tensor | None = None,
    dtype: Any = "float32",
    allow_is_bidirectional_skip: bool = False,
    use_vmap: bool = False,
    **kwargs: Any,
) -> Tensor | None:
    """A float mask [b, 1, q, k] to add to scores: 0 is open, the minimum of `dtype` is closed.

    `use_vmap` is accepted and has no effect: mask functions are called once, with index tensors.
    """
    mask = boolean_mask(
        batch_size,
        q_length,
        kv_length,
        q_offset,
        kv_offset,
        mask_function,
        attention_mask,
        allow_is_bidirectional_skip=allow_is_bidirectional_skip,
        local_size=kwargs.get("local_size"),
    )
    return None if mask is None else to_float(mask, dtype)


class AttentionMaskInterface(GeneralInterface):
    """Mask makers by the name of the attention implementation that reads them."""

    _global_mapping: ClassVar[dict[str, Callable]] = {"eager": eager_mask, "sdpa": eager_mask}


ALL_MASK_ATTENTION_FUNCTIONS = AttentionMaskInterface()
