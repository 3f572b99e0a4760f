"""Mask functions: which key each query may see, said by index; True is open everywhere here.

A mask function takes four index tensors that broadcast against each other, batch [b, 1, 1, 1],
head [1, 1, 1, 1], query [1, 1, q, 1] and key [1, 1, 1, k] (all int32), and returns booleans.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import ml_dtypes
from keras import ops

from keraform.runtime.layers import Tensor

MaskFunction = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


def minimum_of(dtype: Any) -> float:
    """The most negative finite number of `dtype`, which closes a position in a float mask."""
    return float(ml_dtypes.finfo(keras.backend.standardize_dtype(dtype)).min)


def closed(dtype: Any) -> Tensor:
    """`minimum_of` as a scalar of `dtype` (a cast would go through float32, and overflow)."""
    return ops.convert_to_tensor(minimum_of(dtype), dtype=keras.backend.standardize_dtype(dtype))


def to_float(mask: Tensor, dtype: Any) -> Tensor:
    """0 where `mask` is True, the minimum of `dtype` where it is False."""
    return ops.where(mask, ops.cast(0.0, dtype), closed(dtype))


def at(tensor: Tensor, batch_idx: Tensor, idx: Tensor) -> Tensor:
    """tensor[batch_idx, idx] for a tensor [b, n] and index tensors of one broadcast shape."""
    length = ops.shape(tensor)[1]
    flat = ops.reshape(tensor, (-1,))
    index = ops.cast(batch_idx, "int32") * length + ops.cast(idx, "int32")
    return ops.take(flat, index, axis=0)


def _checked(mask_functions: tuple[Any, ...]) -> tuple[MaskFunction, ...]:
    wrong = [type(function).__name__ for function in mask_functions if not callable(function)]
    if wrong:
        raise RuntimeError(
            f"Expected mask functions (callables); got {wrong}. "
            f"Pass functions of (batch_idx, head_idx, q_idx, kv_idx)."
        )
    return mask_functions


def and_masks(*mask_functions: MaskFunction) -> MaskFunction:
    """Open where all of these are."""
    functions = _checked(mask_functions)

    def and_mask(batch_idx: Tensor, head_idx: Tensor, q_idx: Tensor, kv_idx: Tensor) -> Tensor:
        result: Any = True
        for function in functions:
            result = ops.logical_and(result, function(batch_idx, head_idx, q_idx, kv_idx))
        return result

    return and_mask


def or_masks(*mask_functions: MaskFunction) -> MaskFunction:
    """Open where any of these is."""
    functions = _checked(mask_functions)

    def or_mask(batch_idx: Tensor, head_idx: Tensor, q_idx: Tensor, kv_idx: Tensor) -> Tensor:
        result: Any = False
        for function in functions:
            result = ops.logical_or(result, function(batch_idx, head_idx, q_idx, kv_idx))
        return result

    return or_mask


def causal_mask_function(
    batch_idx: Tensor, head_idx: Tensor, q_idx: Tensor, kv_idx: Tensor
) -> Tensor:
    """Open for the query itself and all before it."""
    return kv_idx <= q_idx


def bidirectional_mask_function(
    batch_idx: Tensor, head_idx: Tensor, q_idx: Tensor, kv_idx: Tensor
) -> Tensor:
    """Open everywhere."""
    return q_idx >= 0


def sliding_window_overlay(sliding_window: int) -> MaskFunction:
    """Open for the last `sliding_window` positions (and all later ones; combine with causal)."""

    def inner_mask(batch_idx: Tensor, head_idx: Tensor, q_idx: Tensor, kv_idx: Tensor) -> Tensor:
        return kv_idx > q_idx - sliding_window

    return inner_mask


def chunked_overlay(chunk_size: int, left_padding: Tensor) -> MaskFunction:
    """Open within one chunk of `chunk_size`, counted from where the row's padding [b] ends."""

    def inner_mask(batch_idx: Tensor, head_idx: Tensor, q_idx: Tensor, kv_idx: Tensor) -> Tensor:
        start = ops.take(ops.cast(left_padding, "int32"), batch_idx, axis=0)
        return ops.equal((kv_idx - start) // chunk_size, (q_idx - start) // chunk_size)

    return inner_mask


def blockwise_overlay(block_sequence_ids: Tensor) -> MaskFunction:
    """Open within one block (equal ids [b, n] that are not -1), in both directions."""

    def inner_mask(batch_idx: Tensor, head_idx: Tensor, q_idx: Tensor, kv_idx: Tensor) -> Tensor:
        q_block = at(block_sequence_ids, batch_idx, q_idx)
        kv_block = at(block_sequence_ids, batch_idx, kv_idx)
        return ops.logical_and(ops.equal(q_block, kv_block), q_block >= 0)

    return inner_mask


def sliding_window_causal_mask_function(sliding_window: int) -> MaskFunction:
    """Open for the query itself and the `sliding_window` - 1 positions before it."""
    return and_masks(sliding_window_overlay(sliding_window), causal_mask_function)


def sliding_window_bidirectional_overlay(sliding_window: int) -> MaskFunction:
    """Open up to `sliding_window` positions away on either side."""

    def inner_mask(batch_idx: Tensor, head_idx: Tensor, q_idx: Tensor, kv_idx: Tensor) -> Tensor:
        return ops.abs(q_idx - kv_idx) <= sliding_window

    return inner_mask


def sliding_window_bidirectional_mask_function(sliding_window: int) -> MaskFunction:
    """As the overlay of the same name."""
    return and_masks(
        sliding_window_bidirectional_overlay(sliding_window), bidirectional_mask_function
    )


def chunked_causal_mask_function(chunk_size: int, left_padding: Tensor) -> MaskFunction:
    """Open for earlier positions of the same chunk."""
    return and_masks(chunked_overlay(chunk_size, left_padding), causal_mask_function)


def padding_mask_function(padding_mask: Tensor) -> MaskFunction:
    """Open for the keys where the padding mask [b, k] is not 0."""

    def inner_mask(batch_idx: Tensor, head_idx: Tensor, q_idx: Tensor, kv_idx: Tensor) -> Tensor:
        return ops.cast(at(padding_mask, batch_idx, kv_idx), "bool")

    return inner_mask


def packed_sequence_mask_function(packed_sequence_mask: Tensor) -> MaskFunction:
    """Open within one of several sequences packed in a row; [b, n] counts the sequences."""

    def inner_mask(batch_idx: Tensor, head_idx: Tensor, q_idx: Tensor, kv_idx: Tensor) -> Tensor:
        q_sequence = at(packed_sequence_mask, batch_idx, q_idx)
        return ops.equal(q_sequence, at(packed_sequence_mask, batch_idx, kv_idx))

    return inner_mask


def remap_positions_for_packed_sequence(
    mask_function: MaskFunction, position_ids: Tensor
) -> MaskFunction:
    """`mask_function` on each token's position in its own sequence (`position_ids` [b, n])."""
    positions = ops.cast(position_ids, "int32")

    def inner_mask(batch_idx: Tensor, head_idx: Tensor, q_idx: Tensor, kv_idx: Tensor) -> Tensor:
        q_position = at(positions, batch_idx, q_idx)
        return mask_function(batch_idx, head_idx, q_position, at(positions, batch_idx, kv_idx))

    return inner_mask


def packed_sequence_compatibility_function(
    mask_function: MaskFunction, position_ids: Tensor, packed_sequence_mask: Tensor
) -> MaskFunction:
    """`mask_function` within each packed sequence, by positions of that sequence."""
    return and_masks(
        packed_sequence_mask_function(packed_sequence_mask),
        remap_positions_for_packed_sequence(mask_function, position_ids),
    )


def add_offsets_to_mask_function(
    mask_function: MaskFunction, q_offset: Any, kv_offset: Any
) -> MaskFunction:
    """`mask_function` with both indices moved."""

    def inner_mask(batch_idx: Tensor, head_idx: Tensor, q_idx: Tensor, kv_idx: Tensor) -> Tensor:
        return mask_function(batch_idx, head_idx, q_idx + q_offset, kv_idx + kv_offset)

    return inner_mask
