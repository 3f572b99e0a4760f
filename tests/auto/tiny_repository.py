"""A repository with modeling code of its own, as people put them on the Hub: three files that
import each other, each of which leaves a mark in the environment when it is run.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

CONFIGURATION = """
import os

from transformers import PretrainedConfig

os.environ["TINY_RAN"] = os.environ.get("TINY_RAN", "") + "configuration "


class TinyConfig(PretrainedConfig):
    model_type = "tiny-mixer"

    def __init__(self, vocab_size=37, hidden_size=16, num_hidden_layers=2, eps=1e-5, **kwargs):
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.num_hidden_layers = num_hidden_layers
        self.eps = eps
        super().__init__(**kwargs)
"""

LAYERS = '''
import os

import torch
from torch import nn

os.environ["TINY_RAN"] = os.environ.get("TINY_RAN", "") + "layers "


class TinyNorm(nn.Module):
    def __init__(self, size, eps):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.weight * x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps)


def shift(x: torch.Tensor) -> torch.Tensor:
    """Every token sees the one before it."""
    return torch.cat([torch.zeros_like(x[:, :1]), x[:, :-1]], dim=1)
'''

MODELING = """
import os

import torch
from torch import nn
from torch.nn import functional as F
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput, SequenceClassifierOutput

from .configuration_tiny import TinyConfig
from .layers_tiny import TinyNorm, shift

MARK = os.environ.get("TINY_RAN", "") + "modeling "
os.environ["TINY_RAN"] = MARK


class TinyBlock(nn.Module):
    def __init__(self, config: TinyConfig):
        super().__init__()
        self.norm = TinyNorm(config.hidden_size, config.eps)
        self.up = nn.Linear(config.hidden_size, 3 * config.hidden_size)
        self.down = nn.Linear(3 * config.hidden_size, config.hidden_size, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        # the half of a token is that of the one before it
        h = self.norm(x)
        return x + self.down(F.gelu(self.up(0.5 * (h + shift(h)))))


class TinyPreTrainedModel(PreTrainedModel):
    config_class = TinyConfig
    base_model_prefix = "tiny"

    def _init_weights(self, module):
        if isinstance(module, nn.Linear):
            module.weight.data.normal_(mean=0.0, std=0.02)


class TinyModel(TinyPreTrainedModel):
    def __init__(self, config):
        super().__init__(config)
        self.embed = nn.Embedding(config.vocab_size, config.hidden_size)
        self.blocks = nn.ModuleList([TinyBlock(config) for _ in range(config.num_hidden_layers)])
        self.post_init()

    def forward(self, input_ids: torch.LongTensor, attention_mask: torch.Tensor = None, **kwargs):
        x = self.embed(input_ids)
        for block in self.blocks:
            x = block(x)
        if attention_mask is not None:
            x = x * attention_mask[:, :, None].to(x.dtype)
        return BaseModelOutput(last_hidden_state=x)


class TinyForSequenceClassification(TinyPreTrainedModel):
    def __init__(self, config):
        super().__init__(config)
        self.num_labels = config.num_labels
        self.tiny = TinyModel(config)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    def forward(self, input_ids: torch.LongTensor, attention_mask: torch.Tensor = None, **kwargs):
        hidden = self.tiny(input_ids, attention_mask=attention_mask).last_hidden_state
        return SequenceClassifierOutput(logits=self.classifier(hidden.mean(dim=1)))
"""

CONFIG = {
    "model_type": "tiny-mixer",
    "architectures": ["TinyForSequenceClassification"],
    "num_labels": 3,
    "auto_map": {
        "AutoConfig": "configuration_tiny.TinyConfig",
        "AutoModel": "modeling_tiny.TinyModel",
        "AutoModelForSequenceClassification": "modeling_tiny.TinyForSequenceClassification",
    },
}


def write(folder: Path, modeling: str = MODELING) -> Path:
    """The repository, without weights.

    Args:
        folder: An existing directory.
        modeling: The text of the modeling file.
    """
    (folder / "configuration_tiny.py").write_text(CONFIGURATION)
    (folder / "layers_tiny.py").write_text(LAYERS)
    (folder / "modeling_tiny.py").write_text(modeling)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    return folder


def write_weights(folder: Path) -> None:
    """Random weights beside the code, of the classifier."""
    rng, size = np.random.default_rng(0), 16
    shapes = {"tiny.embed.weight": (37, size)}
    shapes |= {"classifier.weight": (3, size), "classifier.bias": (3,)}
    for n in range(2):
        shapes[f"tiny.blocks.{n}.norm.weight"] = (size,)
        shapes[f"tiny.blocks.{n}.up.weight"] = (3 * size, size)
        shapes[f"tiny.blocks.{n}.up.bias"] = (3 * size,)
        shapes[f"tiny.blocks.{n}.down.weight"] = (size, 3 * size)
    state = {key: rng.normal(size=shape).astype("float32") for key, shape in shapes.items()}
    save_file(state, folder / "model.safetensors", {"format": "pt"})
