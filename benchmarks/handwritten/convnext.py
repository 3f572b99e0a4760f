"""ConvNeXt with its pooled output, written by hand; images are channels-last inside."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops


class Block(layers.Layer):
    """A depthwise convolution, a norm, a gelu network, a scale and a residual."""

    def __init__(self, width: int, epsilon: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.spread = layers.DepthwiseConv2D(7, padding="same")
        self.norm = layers.LayerNormalization(epsilon=epsilon)
        self.up = layers.Dense(4 * width)
        self.down = layers.Dense(width)
        self.scale = self.add_weight(shape=(width,), name="scale")

    def call(self, x: Any) -> Any:
        inner = self.norm(self.spread(x))
        inner = self.down(ops.gelu(self.up(inner), approximate=False))
        return x + inner * self.scale


class ConvNeXt(keras.Model):
    """Gives the last feature map, [b, c, h, w], and its pooled norm, [b, c]."""

    def __init__(self, config: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        sizes = config.hidden_sizes
        self.stem = layers.Conv2D(sizes[0], config.patch_size, strides=config.patch_size)
        self.stem_norm = layers.LayerNormalization(epsilon=1e-6)
        self.norms = [layers.LayerNormalization(epsilon=1e-6) for _ in sizes[1:]]
        self.shrinks = [layers.Conv2D(size, 2, strides=2) for size in sizes[1:]]
        self.stages = [
            [Block(size, 1e-6) for _ in range(depth)]
            for size, depth in zip(sizes, config.depths, strict=True)
        ]
        self.norm = layers.LayerNormalization(epsilon=config.layer_norm_eps)

    def call(self, inputs: dict[str, Any]) -> tuple[Any, Any]:
        x = ops.transpose(inputs["pixel_values"], (0, 2, 3, 1))
        x = self.stem_norm(self.stem(x))
        for index, blocks in enumerate(self.stages):
            if index:
                x = self.shrinks[index - 1](self.norms[index - 1](x))
            for block in blocks:
                x = block(x)
        pooled = self.norm(ops.mean(x, axis=(1, 2)))
        return ops.transpose(x, (0, 3, 1, 2)), pooled

    def torch_layers(self) -> dict[str, layers.Layer]:
        """Every layer with weights under torch's path."""
        found: dict[str, layers.Layer] = {
            "embeddings.patch_embeddings": self.stem,
            "embeddings.layernorm": self.stem_norm,
            "layernorm": self.norm,
        }
        for index, blocks in enumerate(self.stages):
            path = f"encoder.stages.{index}"
            if index:
                found[f"{path}.downsampling_layer.0"] = self.norms[index - 1]
                found[f"{path}.downsampling_layer.1"] = self.shrinks[index - 1]
            for place, block in enumerate(blocks):
                found |= {
                    f"{path}.layers.{place}.dwconv": block.spread,
                    f"{path}.layers.{place}.layernorm": block.norm,
                    f"{path}.layers.{place}.pwconv1": block.up,
                    f"{path}.layers.{place}.pwconv2": block.down,
                }
        return found

    def torch_variables(self) -> dict[str, keras.Variable]:
        """Weights that no layer owns."""
        return {
            f"encoder.stages.{index}.layers.{place}.layer_scale_parameter": block.scale
            for index, blocks in enumerate(self.stages)
            for place, block in enumerate(blocks)
        }
