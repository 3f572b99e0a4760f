"""A Llama decoder with grouped key-value heads, written by hand."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers, ops

from handwritten.attention import causal_bias, split_heads


def rotary_tables(length: int, size: int, base: float) -> tuple[np.ndarray, np.ndarray]:
    """Cosines and sines of position times frequency, [1, q, 1, d]."""
    frequencies = base ** -(np.arange(0, size, 2) / size)
    angles = np.arange(length)[:, None] * np.concatenate([frequencies, frequencies])
    return (
        np.cos(angles)[None, :, None].astype("float32"),
        np.sin(angles)[None, :, None].astype("float32"),
    )


def rotate(x: Any, cos: Any, sin: Any) -> Any:
    """Turn the halves of each head, [b, q, h, d]."""
    left, right = ops.split(x, 2, axis=-1)
    return x * cos + ops.concatenate([-right, left], axis=-1) * sin


class Block(layers.Layer):
    """Grouped attention and a gated network, each behind a norm."""

    def __init__(self, config: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        width, epsilon = config.hidden_size, config.rms_norm_eps
        self.heads, self.groups = config.num_attention_heads, config.num_key_value_heads
        size = width // self.heads
        self.norm = layers.RMSNormalization(epsilon=epsilon)
        self.query = layers.Dense(width, use_bias=False)
        self.key = layers.Dense(self.groups * size, use_bias=False)
        self.value = layers.Dense(self.groups * size, use_bias=False)
        self.mix = layers.Dense(width, use_bias=False)
        self.second_norm = layers.RMSNormalization(epsilon=epsilon)
        self.gate = layers.Dense(config.intermediate_size, use_bias=False)
        self.up = layers.Dense(config.intermediate_size, use_bias=False)
        self.down = layers.Dense(width, use_bias=False)

    def call(self, x: Any, bias: Any, cos: Any, sin: Any) -> Any:
        inner = self.norm(x)
        query = rotate(split_heads(self.query(inner), self.heads), cos, sin)
        key = rotate(split_heads(self.key(inner), self.groups), cos, sin)
        value = split_heads(self.value(inner), self.groups)
        x = x + self.mix(self.attend(query, key, value, bias))
        inner = self.second_norm(x)
        return x + self.down(ops.silu(self.gate(inner)) * self.up(inner))

    def attend(self, query: Any, key: Any, value: Any, bias: Any) -> Any:
        """The query heads of a group (r of them) share its keys and values."""
        length, size = query.shape[1], query.shape[-1]
        query = ops.reshape(query, (-1, length, self.groups, self.heads // self.groups, size))
        scores = ops.einsum("bqgrd,bkgd->bgrqk", query * size**-0.5, key) + bias[:, None]
        mixed = ops.einsum("bgrqk,bkgd->bqgrd", ops.softmax(scores, axis=-1), value)
        return ops.reshape(mixed, (-1, length, self.heads * size))  # [b, q, m]


class Llama(keras.Model):
    """Gives the last hidden states, [b, q, m]."""

    def __init__(self, config: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.size = config.hidden_size // config.num_attention_heads
        self.base = float(config.rope_parameters["rope_theta"])
        self.words = layers.Embedding(config.vocab_size, config.hidden_size)
        self.blocks = [Block(config) for _ in range(config.num_hidden_layers)]
        self.norm = layers.RMSNormalization(epsilon=config.rms_norm_eps)

    def call(self, inputs: dict[str, Any]) -> Any:
        ids = inputs["input_ids"]
        x = self.words(ids)
        bias = causal_bias(inputs["attention_mask"])
        cos, sin = rotary_tables(ids.shape[1], self.size, self.base)
        for block in self.blocks:
            x = block(x, bias, cos, sin)
        return self.norm(x)

    def torch_layers(self) -> dict[str, layers.Layer]:
        """Every layer with weights under torch's path."""
        found: dict[str, layers.Layer] = {"embed_tokens": self.words, "norm": self.norm}
        for index, block in enumerate(self.blocks):
            path = f"layers.{index}"
            found |= {
                f"{path}.input_layernorm": block.norm,
                f"{path}.self_attn.q_proj": block.query,
                f"{path}.self_attn.k_proj": block.key,
                f"{path}.self_attn.v_proj": block.value,
                f"{path}.self_attn.o_proj": block.mix,
                f"{path}.post_attention_layernorm": block.second_norm,
                f"{path}.mlp.gate_proj": block.gate,
                f"{path}.mlp.up_proj": block.up,
                f"{path}.mlp.down_proj": block.down,
            }
        return found

    def torch_variables(self) -> dict[str, keras.Variable]:
        """Weights that no layer owns: none."""
        return {}
