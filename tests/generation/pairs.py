"""Tiny models of several types, torch's and ours with the same random weights, in float64."""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

import numpy as np
import torch
import transformers

from generation.option_sets import NEW_TOKENS, OptionSet
from keraform.verify.eager import eager
from keraform.verify.port import Port
from keraform.verify.rungs.speaks import Speakers
from keraform.verify.targets import load_state, port_class
from keraform.verify.twin import random_twin

VOCABULARY = 61
SMALL = {
    "vocab_size": VOCABULARY,
    "hidden_size": 24,
    "intermediate_size": 20,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 6,
    "pad_token_id": 1,
    "eos_token_id": None,
    "bos_token_id": 0,
}
WINDOWS = {
    "sliding_window": 5,
    "layer_types": ["sliding_attention", "full_attention"],
    "tie_word_embeddings": False,
}
_ENCODED = {
    "vocab_size": VOCABULARY,
    "d_model": 24,
    "pad_token_id": 1,
    "eos_token_id": None,
    "decoder_start_token_id": 2,
}
CONFIGS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("LlamaForCausalLM", SMALL),
    "gpt2": (
        "GPT2LMHeadModel",
        {
            "vocab_size": VOCABULARY,
            "n_embd": 24,
            "n_layer": 2,
            "n_head": 4,
            "n_positions": 40,
            "pad_token_id": 1,
            "eos_token_id": None,
            "bos_token_id": 0,
        },
    ),
    "mistral": ("MistralForCausalLM", SMALL | {"sliding_window": 5}),
    "gemma2": ("Gemma2ForCausalLM", SMALL | WINDOWS),
    "gemma3": ("Gemma3ForCausalLM", SMALL | WINDOWS),
    "mixtral": ("MixtralForCausalLM", SMALL | {"num_local_experts": 4, "num_experts_per_tok": 2}),
    "t5": (
        "T5ForConditionalGeneration",
        _ENCODED | {"d_kv": 6, "d_ff": 20, "num_layers": 2, "num_heads": 4},
    ),
    "bart": (
        "BartForConditionalGeneration",
        _ENCODED
        | {
            "encoder_layers": 2,
            "decoder_layers": 2,
            "encoder_attention_heads": 4,
            "decoder_attention_heads": 4,
            "encoder_ffn_dim": 20,
            "decoder_ffn_dim": 20,
            "max_position_embeddings": 40,
            "bos_token_id": 0,
            "forced_eos_token_id": None,
        },
    ),
}
CALL_BY_CALL = {"disable_compile": True}
LOUDNESS = 3.0  # of all matrices, so that what is said depends on what was said


@cache
def pair(name: str) -> Speakers:
    """Both models of a type."""
    class_name, fields = CONFIGS[name]
    torch_class = getattr(transformers, class_name)
    config = torch_class.config_class(**fields)
    twin = random_twin(torch_class, config)
    for key, value in twin.state.items():
        if value.ndim > 1 and len(value) > 1:
            twin.state[key] = value * LOUDNESS
    find = port_class(torch_class.__module__, class_name)
    port = Port(lambda: find(eager(copy.deepcopy(config), class_name)), load_state, twin.state)
    return Speakers(twin.build("float64", True), port.build("float64", True))


def prompt(padded: bool = False) -> dict[str, np.ndarray]:
    """Two prompts of seven tokens, the second with four of padding on its left."""
    ids = np.random.default_rng(5).integers(3, VOCABULARY, (2, 7))
    mask = np.ones_like(ids)  # 1 is a real token
    if padded:
        ids[1, :4], mask[1, :4] = 1, 0
    return {"input_ids": ids, "attention_mask": mask}


def options_of(sides: Speakers, inputs: dict[str, np.ndarray], made: OptionSet) -> dict[str, Any]:
    """The options of a set for these inputs, with the lengths and without chance."""
    fixed = {"max_new_tokens": NEW_TOKENS, "do_sample": False}
    greedy = sides.search_torch(inputs, **fixed)
    return fixed | made(greedy[:, -NEW_TOKENS:].tolist())


def as_numbers(value: Any) -> np.ndarray:
    """A tensor of either side."""
    return value.detach().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)
