"""Multi-head attention as a Keras user writes it: dense layers, einsum, softmax."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


def split_heads(x: Any, heads: int) -> Any:
    """[b, q, m] to [b, q, h, d]."""
    return ops.reshape(x, (-1, x.shape[1], heads, x.shape[2] // heads))


def attend(query: Any, key: Any, value: Any, bias: Any | None) -> Any:
    """softmax(q k' / sqrt(d) + bias) v over [b, q, h, d], heads joined again."""
    size = query.shape[-1]
    scores = ops.einsum("bqhd,bkhd->bhqk", query * size**-0.5, key)
    if bias is not None:
        scores = scores + bias
    mixed = ops.einsum("bhqk,bkhd->bqhd", ops.softmax(scores, axis=-1), value)
    return ops.reshape(mixed, (-1, mixed.shape[1], mixed.shape[2] * size))  # [b, q, m]


def padding_bias(attention_mask: Any) -> Any:
    """0 where the mask is 1, very low elsewhere; [b, 1, 1, k]."""
    keep = ops.cast(attention_mask, "float32")[:, None, None, :]
    return (1.0 - keep) * -1e9


def causal_bias(attention_mask: Any) -> Any:
    """The padding's bias and that of later keys; [b, 1, q, k]."""
    length = attention_mask.shape[1]
    order = ops.arange(length)
    later = ops.cast(order[None, :] > order[:, None], "float32")
    return ops.minimum(padding_bias(attention_mask), later[None, None] * -1e9)


class SelfAttention(keras.layers.Layer):
    """Query, key and value of one input, and the mixture; the output's dense layer is outside."""

    def __init__(self, width: int, heads: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.heads = heads
        self.query = keras.layers.Dense(width)
        self.key = keras.layers.Dense(width)
        self.value = keras.layers.Dense(width)

    def call(self, x: Any, bias: Any | None = None) -> Any:
        query, key, value = (
            split_heads(part(x), self.heads) for part in (self.query, self.key, self.value)
        )
        return attend(query, key, value, bias)
