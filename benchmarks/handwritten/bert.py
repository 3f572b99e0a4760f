"""BERT's encoder with its pooler, written by hand."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

from handwritten.attention import SelfAttention, padding_bias


class Block(layers.Layer):
    """Attention and a gelu network, each with a residual and a norm behind it."""

    def __init__(self, config: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        width, epsilon = config.hidden_size, config.layer_norm_eps
        self.attention = SelfAttention(width, config.num_attention_heads)
        self.mix = layers.Dense(width)
        self.norm = layers.LayerNormalization(epsilon=epsilon)
        self.up = layers.Dense(config.intermediate_size)
        self.down = layers.Dense(width)
        self.last_norm = layers.LayerNormalization(epsilon=epsilon)

    def call(self, x: Any, bias: Any) -> Any:
        x = self.norm(x + self.mix(self.attention(x, bias)))
        inner = ops.gelu(self.up(x), approximate=False)
        return self.last_norm(x + self.down(inner))


class Bert(keras.Model):
    """Gives the last hidden states, [b, q, m], and the pooled first one, [b, m]."""

    def __init__(self, config: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        width = config.hidden_size
        self.words = layers.Embedding(config.vocab_size, width)
        self.positions = layers.Embedding(config.max_position_embeddings, width)
        self.types = layers.Embedding(config.type_vocab_size, width)
        self.norm = layers.LayerNormalization(epsilon=config.layer_norm_eps)
        self.blocks = [Block(config) for _ in range(config.num_hidden_layers)]
        self.pooler = layers.Dense(width)

    def call(self, inputs: dict[str, Any]) -> tuple[Any, Any]:
        ids = inputs["input_ids"]
        x = self.words(ids) + self.positions(ops.arange(ids.shape[1])) + self.types(ids * 0)
        x = self.norm(x)
        bias = padding_bias(inputs["attention_mask"])
        for block in self.blocks:
            x = block(x, bias)
        return x, ops.tanh(self.pooler(x[:, 0]))

    def torch_layers(self) -> dict[str, layers.Layer]:
        """Every layer with weights under torch's path."""
        found: dict[str, layers.Layer] = {
            "embeddings.word_embeddings": self.words,
            "embeddings.position_embeddings": self.positions,
            "embeddings.token_type_embeddings": self.types,
            "embeddings.LayerNorm": self.norm,
            "pooler.dense": self.pooler,
        }
        for index, block in enumerate(self.blocks):
            path = f"encoder.layer.{index}"
            found |= {
                f"{path}.attention.self.query": block.attention.query,
                f"{path}.attention.self.key": block.attention.key,
                f"{path}.attention.self.value": block.attention.value,
                f"{path}.attention.output.dense": block.mix,
                f"{path}.attention.output.LayerNorm": block.norm,
                f"{path}.intermediate.dense": block.up,
                f"{path}.output.dense": block.down,
                f"{path}.output.LayerNorm": block.last_norm,
            }
        return found

    def torch_variables(self) -> dict[str, keras.Variable]:
        """Weights that no layer owns: none."""
        return {}
