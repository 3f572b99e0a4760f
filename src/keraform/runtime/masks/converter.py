"""Upstream's older mask functions, for the models that still call them."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keraform.runtime.layers import Tensor
from keraform.runtime.masks.functions import closed, to_float


class AttentionMaskConverter:
    """Float masks [b, 1, q, k] (0 open, the dtype's minimum closed) from padding masks [b, k]."""

    def __init__(self, is_causal: bool, sliding_window: int | None = None) -> None:
        if sliding_window is not None and sliding_window <= 0:
            raise ValueError(
                f"Expected a sliding window of at least 1 token; got {sliding_window}. "
                f"Pass sliding_window=None for attention over all tokens."
            )
        self.is_causal = is_causal
        self.sliding_window = sliding_window

    def to_causal_4d(
        self, batch_size: Any, query_length: Any, key_value_length: Any, dtype: Any, **kwargs: Any
    ) -> Tensor | None:
        """The causal mask alone; None for one query and no window."""
        if not self.is_causal:
            raise ValueError(
                "Expected a converter with is_causal=True for a causal mask; got is_causal=False. "
                "Call AttentionMaskConverter(is_causal=True).to_causal_4d(...)."
            )
        if not self._has_pattern(query_length):
            return None
        past = key_value_length - query_length
        return self._make_causal_mask(
            (batch_size, query_length),
            dtype,
            past_key_values_length=past,
            sliding_window=self.sliding_window,
        )

    def to_4d(
        self,
        attention_mask_2d: Tensor,
        query_length: Any,
        dtype: Any,
        key_value_length: Any = None,
    ) -> Tensor:
        """The padding mask, with the causal pattern on top where this converter has one."""
        dtype = keras.backend.standardize_dtype(dtype)
        padding = self._expand_mask(attention_mask_2d, dtype, tgt_len=query_length)
        if not (self._has_pattern(query_length) and self.is_causal):
            if self.sliding_window is not None:
                raise NotImplementedError(
                    "Expected a causal mask with a sliding window; got is_causal=False. "
                    "Call create_bidirectional_sliding_window_mask instead."
                )
            return padding
        if key_value_length is None:
            raise ValueError(
                "Expected `key_value_length` for a causal mask; got None. "
                "Pass key_value_length=query_length + past_length."
            )
        causal = self._make_causal_mask(
            (ops.shape(attention_mask_2d)[0], query_length),
            dtype,
            past_key_values_length=key_value_length - query_length,
            sliding_window=self.sliding_window,
        )
        return ops.where(ops.cast(padding, "bool"), closed(dtype), causal)

    def _has_pattern(self, query_length: Any) -> bool:
        one = isinstance(query_length, int) and query_length == 1
        return not one or self.sliding_window is not None

    @staticmethod
    def _make_causal_mask(
        input_ids_shape: tuple,
        dtype: Any,
        device: Any = None,
        past_key_values_length: Any = 0,
        sliding_window: int | None = None,
    ) -> Tensor:
        batch_size, q_length = input_ids_shape
        kv_length = q_length + past_key_values_length
        rows = ops.arange(q_length, dtype="int32")[:, None] + past_key_values_length
        columns = ops.arange(kv_length, dtype="int32")[None, :]
        is_open = columns <= rows
        if sliding_window is not None:  # this one counts `sliding_window` keys before the query
            is_open = ops.logical_and(is_open, columns >= rows - sliding_window)
        mask = to_float(is_open, keras.backend.standardize_dtype(dtype))
        return ops.broadcast_to(mask[None, None], (batch_size, 1, q_length, kv_length))

    @staticmethod
    def _expand_mask(mask: Tensor, dtype: Any, tgt_len: Any = None) -> Tensor:
        dtype = keras.backend.standardize_dtype(dtype)
        batch_size, kv_length = ops.shape(mask)
        q_length = kv_length if tgt_len is None else tgt_len
        padding = ops.cast(1.0, dtype) - ops.cast(mask, dtype)
        padding = ops.where(ops.cast(padding, "bool"), closed(dtype), padding)
        return ops.broadcast_to(padding[:, None, None, :], (batch_size, 1, q_length, kv_length))


def _prepare_4d_causal_attention_mask(
    attention_mask: Tensor | None,
    input_shape: tuple,
    inputs_embeds: Tensor,
    past_key_values_length: Any,
    sliding_window: int | None = None,
) -> Tensor | None:
    """A causal float mask from a padding mask [b, k], a 0-1 mask [b, 1, q, k], or none."""
    converter = AttentionMaskConverter(is_causal=True, sliding_window=sliding_window)
    dtype = keras.backend.standardize_dtype(inputs_embeds.dtype)
    kv_length = input_shape[-1] + past_key_values_length
    if attention_mask is None:
        return converter.to_causal_4d(input_shape[0], input_shape[-1], kv_length, dtype=dtype)
    if len(attention_mask.shape) == 2:
        return converter.to_4d(
            attention_mask, input_shape[-1], key_value_length=kv_length, dtype=dtype
        )
    expected = (input_shape[0], 1, input_shape[1], kv_length)
    found = ops.shape(attention_mask)
    pairs = zip(expected, found, strict=True)
    if any(isinstance(e, int) and isinstance(f, int) and e != f for e, f in pairs):
        raise ValueError(
            f"Expected a 4D attention mask of shape {expected}; got {tuple(found)}. "
            f"Pass a mask [batch, keys], or one for every query and key."
        )
    padding = 1.0 - ops.cast(attention_mask, dtype)
    return ops.where(ops.cast(padding, "bool"), closed(dtype), padding)


def _prepare_4d_attention_mask(mask: Tensor, dtype: Any, tgt_len: Any = None) -> Tensor:
    """A float mask [b, 1, q, k] in both directions from a padding mask [b, k]."""
    return AttentionMaskConverter._expand_mask(mask=mask, dtype=dtype, tgt_len=tgt_len)


# eager numbers for both names: where torch's sdpa takes None, a mask of zeros is the same
_prepare_4d_causal_attention_mask_for_sdpa = _prepare_4d_causal_attention_mask
_prepare_4d_attention_mask_for_sdpa = _prepare_4d_attention_mask


def _create_4d_causal_attention_mask(
    input_shape: tuple,
    dtype: Any,
    device: Any = None,
    past_key_values_length: Any = 0,
    sliding_window: int | None = None,
) -> Tensor | None:
    """A causal float mask [b, 1, q, k] without padding."""
    converter = AttentionMaskConverter(is_causal=True, sliding_window=sliding_window)
    kv_length = past_key_values_length + input_shape[-1]
    return converter.to_causal_4d(input_shape[0], input_shape[-1], kv_length, dtype=dtype)
