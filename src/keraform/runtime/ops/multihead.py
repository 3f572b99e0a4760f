"""Attention of several heads with the weights given (torch's `multi_head_attention_forward`)."""

from __future__ import annotations

import math
from typing import Any

from keras import ops

from keraform.runtime.ops import dtypes
from keraform.runtime.ops.products import linear
from keraform.runtime.ops.randomness import dropout
from keraform.runtime.ops.tensors import Tensor, as_tensor, rank, refuse, sizes


def multi_head_attention_forward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Tensor | None,
    in_proj_bias: Tensor | None,
    bias_k: None,
    bias_v: None,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Tensor,
    out_proj_bias: Tensor | None,
    training: bool = True,
    key_padding_mask: Tensor | None = None,
    need_weights: bool = True,
    attn_mask: Tensor | None = None,
    use_separate_proj_weight: bool = False,
    q_proj_weight: Tensor | None = None,
    k_proj_weight: Tensor | None = None,
    v_proj_weight: Tensor | None = None,
    average_attn_weights: bool = True,
) -> tuple[Tensor, Tensor | None]:
    """Returns the attended values [q, b, m] and the weights [b, q, k] (or [b, h, q, k]), or None.

    In both masks True means "may not attend", and floats are added to the scores.

    Args:
        query: [q, b, m].
        key: [k, b, m].
        value: [k, b, m].
        embed_dim_to_check: m.
        num_heads: How many heads.
        in_proj_weight: [3 m, m], unless each has its own.
        in_proj_bias: [3 m].
        bias_k: None.
        bias_v: None.
        add_zero_attn: False.
        dropout_p: Probability of dropping a weight.
        out_proj_weight: [m, m].
        out_proj_bias: [m].
        training: Whether weights are dropped.
        key_padding_mask: [b, k].
        need_weights: Whether to give the weights.
        attn_mask: [q, k] or [b h, q, k].
        use_separate_proj_weight: Whether q, k and v have weights of their own.
        q_proj_weight: [m, m].
        k_proj_weight: [m, m].
        v_proj_weight: [m, m].
        average_attn_weights: Give the mean over the heads.
    """
    if bias_k is not None or bias_v is not None or add_zero_attn:
        raise refuse("no further key and value", "bias_k, bias_v or add_zero_attn", "bias_k=None")
    weights = (q_proj_weight, k_proj_weight, v_proj_weight)
    if not use_separate_proj_weight:
        weights = ops.split(as_tensor(in_proj_weight), 3, axis=0)
    biases: Any = (None,) * 3
    if in_proj_bias is not None:
        biases = ops.split(as_tensor(in_proj_bias), 3, axis=0)
    b = sizes(query)[1]
    q, k, v = (
        _heads(linear(x, weight, bias), num_heads)
        for x, weight, bias in zip((query, key, value), weights, biases, strict=True)
    )  # [b, h, length, d]
    scores = ops.matmul(q / math.sqrt(q.shape[-1]), ops.swapaxes(k, -1, -2))  # [b, h, q, k]
    if attn_mask is not None:
        mask = _additive(attn_mask, scores.dtype)
        scores = scores + (ops.reshape(mask, sizes(scores)) if rank(mask) == 3 else mask)
    if key_padding_mask is not None:
        scores = scores + ops.expand_dims(_additive(key_padding_mask, scores.dtype), (1, 2))
    attention = dropout(ops.softmax(scores, axis=-1), dropout_p, training)
    outputs = ops.transpose(ops.matmul(attention, v), (2, 0, 1, 3))  # [q, b, h, d]
    outputs = ops.reshape(outputs, (-1, b, embed_dim_to_check))
    outputs = linear(outputs, out_proj_weight, out_proj_bias)
    if not need_weights:
        return outputs, None
    return outputs, ops.mean(attention, axis=1) if average_attn_weights else attention


def _heads(x: Tensor, heads: int) -> Tensor:
    length, b, width = sizes(x)
    return ops.transpose(ops.reshape(x, (length, b, heads, width // heads)), (1, 2, 0, 3))


def _additive(mask: Tensor, dtype: Any) -> Tensor:
    """A mask to add to scores."""
    if dtypes.name_of(mask.dtype) == "bool":
        closed = ops.cast(float("-inf"), dtype)
        return ops.where(mask, closed, ops.cast(0.0, dtype))
    return ops.cast(mask, dtype)
