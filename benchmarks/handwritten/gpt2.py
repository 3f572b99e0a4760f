"""GPT-2's decoder, written by hand."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

from handwritten.attention import attend, causal_bias, split_heads


class Block(layers.Layer):
    """Attention and a gelu network, each behind a norm."""

    def __init__(self, config: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        width, epsilon = config.n_embd, config.layer_norm_epsilon
        self.heads = config.n_head
        self.norm = layers.LayerNormalization(epsilon=epsilon)
        self.qkv = layers.Dense(3 * width)
        self.mix = layers.Dense(width)
        self.second_norm = layers.LayerNormalization(epsilon=epsilon)
        self.up = layers.Dense(4 * width)
        self.down = layers.Dense(width)

    def call(self, x: Any, bias: Any) -> Any:
        parts = ops.split(self.qkv(self.norm(x)), 3, axis=-1)
        query, key, value = (split_heads(part, self.heads) for part in parts)
        x = x + self.mix(attend(query, key, value, bias))
        inner = ops.gelu(self.up(self.second_norm(x)), approximate=True)
        return x + self.down(inner)


class GPT2(keras.Model):
    """Gives the last hidden states, [b, q, m]."""

    def __init__(self, config: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.words = layers.Embedding(config.vocab_size, config.n_embd)
        self.positions = layers.Embedding(config.n_positions, config.n_embd)
        self.blocks = [Block(config) for _ in range(config.n_layer)]
        self.norm = layers.LayerNormalization(epsilon=config.layer_norm_epsilon)

    def call(self, inputs: dict[str, Any]) -> Any:
        ids = inputs["input_ids"]
        x = self.words(ids) + self.positions(ops.arange(ids.shape[1]))
        bias = causal_bias(inputs["attention_mask"])
        for block in self.blocks:
            x = block(x, bias)
        return self.norm(x)

    def torch_layers(self) -> dict[str, layers.Layer]:
        """Every layer with weights under torch's path."""
        found: dict[str, layers.Layer] = {
            "wte": self.words, "wpe": self.positions, "ln_f": self.norm,
        }  # fmt: skip
        for index, block in enumerate(self.blocks):
            path = f"h.{index}"
            found |= {
                f"{path}.ln_1": block.norm,
                f"{path}.attn.c_attn.t": block.qkv,
                f"{path}.attn.c_proj.t": block.mix,
                f"{path}.ln_2": block.second_norm,
                f"{path}.mlp.c_fc.t": block.up,
                f"{path}.mlp.c_proj.t": block.down,
            }
        return found

    def torch_variables(self) -> dict[str, keras.Variable]:
        """Weights that no layer owns: none."""
        return {}
