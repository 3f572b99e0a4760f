"""ViT's encoder with its pooler, written by hand."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

from handwritten.attention import SelfAttention


class Block(layers.Layer):
    """Attention and a gelu network, each behind a norm."""

    def __init__(self, config: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        width, epsilon = config.hidden_size, config.layer_norm_eps
        self.norm = layers.LayerNormalization(epsilon=epsilon)
        self.attention = SelfAttention(width, config.num_attention_heads)
        self.mix = layers.Dense(width)
        self.second_norm = layers.LayerNormalization(epsilon=epsilon)
        self.up = layers.Dense(config.intermediate_size)
        self.down = layers.Dense(width)

    def call(self, x: Any) -> Any:
        x = x + self.mix(self.attention(self.norm(x)))
        inner = ops.gelu(self.up(self.second_norm(x)), approximate=False)
        return x + self.down(inner)


class ViT(keras.Model):
    """Gives the last hidden states, [b, q, m], and the pooled first one, [b, m]."""

    def __init__(self, config: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        width, patch = config.hidden_size, config.patch_size
        count = (config.image_size // patch) ** 2
        self.patches = layers.Conv2D(width, patch, strides=patch)
        self.first = self.add_weight(shape=(1, 1, width), name="first")
        self.positions = self.add_weight(shape=(1, count + 1, width), name="positions")
        self.blocks = [Block(config) for _ in range(config.num_hidden_layers)]
        self.norm = layers.LayerNormalization(epsilon=config.layer_norm_eps)
        self.pooler = layers.Dense(width)

    def call(self, inputs: dict[str, Any]) -> tuple[Any, Any]:
        images = ops.transpose(inputs["pixel_values"], (0, 2, 3, 1))
        x = self.patches(images)
        x = ops.reshape(x, (-1, x.shape[1] * x.shape[2], x.shape[3]))
        first = ops.broadcast_to(self.first, (x.shape[0], 1, x.shape[2]))
        x = ops.concatenate([first, x], axis=1) + self.positions
        for block in self.blocks:
            x = block(x)
        x = self.norm(x)
        return x, ops.tanh(self.pooler(x[:, 0]))

    def torch_layers(self) -> dict[str, layers.Layer]:
        """Every layer with weights under torch's path."""
        found: dict[str, layers.Layer] = {
            "embeddings.patch_embeddings.projection": self.patches,
            "layernorm": self.norm,
            "pooler.dense": self.pooler,
        }
        for index, block in enumerate(self.blocks):
            parts = (
                block.norm, block.attention.query, block.attention.key, block.attention.value,
                block.mix, block.second_norm, block.up, block.down,
            )  # fmt: skip
            found |= {
                f"layers.{index}.{path}": part
                for path, part in zip(BLOCK_PATHS, parts, strict=True)
            }
        return found

    def torch_variables(self) -> dict[str, keras.Variable]:
        """Weights that no layer owns."""
        return {
            "embeddings.cls_token": self.first,
            "embeddings.position_embeddings": self.positions,
        }


BLOCK_PATHS = (
    "layernorm_before",
    "attention.q_proj",
    "attention.k_proj",
    "attention.v_proj",
    "attention.o_proj",
    "layernorm_after",
    "mlp.fc1",
    "mlp.fc2",
)
