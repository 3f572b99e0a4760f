"""The networks that are timed: configurations, inputs, and both their names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Inputs = dict[str, np.ndarray]


@dataclass(frozen=True)
class Network:
    """One network.

    Args:
        name: Transformers' model type.
        torch_name: the PyTorch class.
        full: fields of its config.
        small: fields that differ with `--tiny`.
        make_inputs: the inputs, from the config.
        by_hand: builds the hand-written network.
        flags: what a call of the port and of torch is told.
    """

    name: str
    torch_name: str
    full: dict[str, Any]
    small: dict[str, Any]
    make_inputs: Callable[[Any, bool], Inputs]
    by_hand: Callable[[Any], Any]
    flags: dict[str, Any] = field(default_factory=dict)

    def config(self, tiny: bool) -> Any:
        """The configuration."""
        from transformers import CONFIG_MAPPING

        return CONFIG_MAPPING[self.name](**{**self.full, **(self.small if tiny else {})})

    def inputs(self, tiny: bool) -> Inputs:
        """The inputs."""
        return self.make_inputs(self.config(tiny), tiny)


def text(config: Any, tiny: bool) -> Inputs:
    """8 rows of 128 tokens, of which the last ones are padding in half of the rows."""
    batch, length = (2, 6) if tiny else (8, 128)
    rng = np.random.default_rng(0)
    mask = np.ones((batch, length), "int64")
    mask[::2, length - length // 4 :] = 0
    return {
        "input_ids": rng.integers(0, config.vocab_size, (batch, length)),
        "attention_mask": mask,
    }


def images(config: Any, tiny: bool) -> Inputs:
    """8 images."""
    size, batch = config.image_size, 2 if tiny else 8
    rng = np.random.default_rng(0)
    return {"pixel_values": rng.normal(size=(batch, 3, size, size)).astype("float32")}


def _bert(config: Any) -> Any:
    from handwritten.bert import Bert

    return Bert(config)


def _gpt2(config: Any) -> Any:
    from handwritten.gpt2 import GPT2

    return GPT2(config)


def _vit(config: Any) -> Any:
    from handwritten.vit import ViT

    return ViT(config)


def _convnext(config: Any) -> Any:
    from handwritten.convnext import ConvNeXt

    return ConvNeXt(config)


def _llama(config: Any) -> Any:
    from handwritten.llama import Llama

    return Llama(config)


SMALL = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4,
         "intermediate_size": 40, "vocab_size": 50}  # fmt: skip
ROWS = (
    Network("bert", "BertModel", {}, SMALL, text, _bert),
    Network("gpt2", "GPT2Model", {}, {"n_embd": 24, "n_layer": 2, "n_head": 4, "vocab_size": 50},
            text, _gpt2, {"use_cache": False}),
    Network("vit", "ViTModel", {}, {**SMALL, "image_size": 32, "patch_size": 8}, images, _vit),
    Network("convnext", "ConvNextModel", {},
            {"hidden_sizes": [8, 12, 16, 20], "depths": [1, 2, 1, 1], "image_size": 64},
            images, _convnext),
    Network("llama", "LlamaModel",
            {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
             "num_key_value_heads": 4, "intermediate_size": 2048, "vocab_size": 32000},
            {**SMALL, "num_key_value_heads": 2}, text, _llama, {"use_cache": False}),
)  # fmt: skip
NETWORKS = {network.name: network for network in ROWS}
