"""torch's `MultiheadAttention`, with its keys."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from keraform.runtime.layers.base import Layer, Tensor
from keraform.runtime.layers.linear import Dense
from keraform.runtime.tree import read


class MultiheadAttention(Layer):
    """Scaled dot-product attention with projections: `in_proj_weight`, `out_proj` and biases.

    Args:
        embed_dim: size `m` of queries and outputs, `num_heads` times the head size.
        num_heads: number of heads.
        dropout: rate on the attention weights.
        bias: whether the projections have biases.
        add_bias_kv: whether a learnt key and value are appended.
        add_zero_attn: whether a zero key and value are appended.
        kdim: size of keys, when not `embed_dim`.
        vdim: size of values, when not `embed_dim`.
        batch_first: whether tensors are `[b, length, m]` and not `[length, b, m]`.
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if embed_dim % num_heads:
            raise ValueError(
                f"expected embed_dim divisible by num_heads; got {embed_dim} and {num_heads}; "
                "choose another number of heads."
            )
        self.embed_dim, self.num_heads, self.dropout = embed_dim, num_heads, dropout
        self.head_dim = embed_dim // num_heads
        self.kdim = embed_dim if kdim is None else kdim
        self.vdim = embed_dim if vdim is None else vdim
        self.batch_first, self.add_zero_attn = batch_first, add_zero_attn
        if dropout > 0:
            self.seed_generator = keras.random.SeedGenerator()
        sizes = (embed_dim, self.kdim, self.vdim)
        self._qkv_same_embed_dim = sizes == (embed_dim,) * 3
        if self._qkv_same_embed_dim:
            self.in_proj_weight = self._matrix("in_proj_weight", (3 * embed_dim, embed_dim))
        else:
            names = ("q_proj_weight", "k_proj_weight", "v_proj_weight")
            for name, size in zip(names, sizes, strict=True):
                setattr(self, name, self._matrix(name, (embed_dim, size)))
        self.in_proj_bias = None
        if bias:
            self.in_proj_bias = self._matrix("in_proj_bias", (3 * embed_dim,), "zeros")
        self.out_proj = Dense(
            embed_dim, embed_dim, use_bias=bias, bias_initializer="zeros", name="out_proj"
        )
        self.bias_k = self.bias_v = None
        if add_bias_kv:
            self.bias_k = self._matrix("bias_k", (1, 1, embed_dim))
            self.bias_v = self._matrix("bias_v", (1, 1, embed_dim))

    def _matrix(self, name: str, shape: tuple[int, ...], how: Any = "glorot_uniform") -> Any:
        return self.add_weight(name=name, shape=shape, initializer=how)

    def call(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Attend; in both masks True means "may not attend", and floats are added to the scores.

        Call arguments:
            query: `[b, q, m]`, or as `batch_first` says.
            key: `[b, k, kdim]`.
            value: `[b, k, vdim]`.
            key_padding_mask: `[b, k]`.
            need_weights: whether to give the attention weights.
            attn_mask: `[q, k]` or `[b * h, q, k]`.
            average_attn_weights: give the mean over heads `[b, q, k]`, not `[b, h, q, k]`.
            is_causal: a hint in torch; `attn_mask` says the same.

        Returns:
            The output `[b, q, m]` and the weights or None.
        """
        batched = len(query.shape) == 3
        if not batched:
            query, key, value = (ops.expand_dims(x, 0) for x in (query, key, value))
            if key_padding_mask is not None:
                key_padding_mask = ops.expand_dims(key_padding_mask, 0)
        elif not self.batch_first:
            query, key, value = (ops.transpose(x, (1, 0, 2)) for x in (query, key, value))
        outputs, weights = self._attend(query, key, value, key_padding_mask, attn_mask)
        if not batched:
            outputs, weights = ops.squeeze(outputs, 0), ops.squeeze(weights, 0)
        elif not self.batch_first:
            outputs = ops.transpose(outputs, (1, 0, 2))
        if not need_weights:
            return outputs, None
        return outputs, ops.mean(weights, axis=-3) if average_attn_weights else weights

    def _projected(self, query: Tensor, key: Tensor, value: Tensor) -> list[Tensor]:
        if self._qkv_same_embed_dim:
            weights = ops.split(read(self.in_proj_weight), 3, axis=0)
        else:
            weights = [self.q_proj_weight, self.k_proj_weight, self.v_proj_weight]
        inputs = [self.cast_input(x) for x in (query, key, value)]
        parts = [
            ops.matmul(x, ops.transpose(weight)) for x, weight in zip(inputs, weights, strict=True)
        ]
        if self.in_proj_bias is None:
            return parts
        biases = ops.split(read(self.in_proj_bias), 3, axis=0)
        return [part + bias for part, bias in zip(parts, biases, strict=True)]

    def _attend(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        padding: Tensor | None,
        mask: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        query, key, value = self._projected(query, key, value)
        extra = 0
        for wanted, ends in (
            (self.bias_k is not None, (self.bias_k, self.bias_v)),
            (self.add_zero_attn, (None, None)),
        ):
            if wanted:
                extra += 1
                key, value = (_append(x, end) for x, end in zip((key, value), ends, strict=True))
        query, key, value = (self._heads(x) for x in (query, key, value))  # [b, h, length, d]
        scores = ops.matmul(query / math.sqrt(self.head_dim), ops.transpose(key, (0, 1, 3, 2)))
        b, h, q, k = ops.shape(scores)
        if mask is not None:
            mask = _additive(mask, extra, scores.dtype)
            if len(mask.shape) == 3:
                mask = ops.reshape(mask, (b, h, q, k))
            scores = scores + mask  # [b, h, q, k]
        if padding is not None:
            padding = _additive(padding, extra, scores.dtype)
            scores = scores + ops.expand_dims(padding, (1, 2))  # [b, h, q, k]
        weights = ops.softmax(scores, axis=-1)
        if self.dropout and self.training:
            weights = keras.random.dropout(weights, self.dropout, seed=self.seed_generator)
        outputs = ops.transpose(ops.matmul(weights, value), (0, 2, 1, 3))  # [b, q, h, d]
        return self.out_proj(ops.reshape(outputs, (b, q, self.embed_dim))), weights

    def _heads(self, x: Tensor) -> Tensor:
        b, length, _ = ops.shape(x)
        return ops.transpose(
            ops.reshape(x, (b, length, self.num_heads, self.head_dim)), (0, 2, 1, 3)
        )  # [b, h, length, d]


def _append(x: Tensor, end: Tensor | None) -> Tensor:
    """`x` with one more position: `end` `[1, 1, m]`, or zeros."""
    last = ops.zeros_like(x[:, :1])
    if end is not None:
        last = last + read(end)
    return ops.concatenate([x, last], axis=1)


def _additive(mask: Tensor, extra: int, dtype: Any) -> Tensor:
    """A mask to add to scores, `extra` open positions longer."""
    if keras.backend.standardize_dtype(mask.dtype) == "bool":
        closed = ops.cast(float("-inf"), dtype)
        mask = ops.where(mask, closed, ops.cast(0.0, dtype))
    widths = [(0, 0)] * (len(mask.shape) - 1) + [(0, extra)]
    return ops.pad(ops.cast(mask, dtype), widths) if extra else ops.cast(mask, dtype)
