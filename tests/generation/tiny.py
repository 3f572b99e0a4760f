"""A tiny Llama of torch and ours with its weights, for tests of what `generate` does around it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch
import transformers

import keraform

VOCABULARY = 97
LLAMA = {
    "vocab_size": VOCABULARY,
    "hidden_size": 24,
    "intermediate_size": 20,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": None,
    "attn_implementation": "eager",
}


def torch_model(name: str = "LlamaForCausalLM", seed: int = 0, **options: Any) -> Any:
    """A model of torch, all of whose weights are random."""
    torch.manual_seed(seed)
    model = getattr(transformers, name)
    model = model(model.config_class(**LLAMA | options)).eval()
    for parameter in model.parameters():
        parameter.data = torch.randn_like(parameter) * 0.3
    return model


def ours(model: Any) -> Any:
    """Our model with the weights of torch's."""
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(Path(folder))
        port = getattr(keraform, f"TF{type(model).__name__}")
        return port.from_pretrained(Path(folder), attn_implementation="eager")
