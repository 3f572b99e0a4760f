"""Tiny models whose weights NumPy makes from a seed, as checkpoints with PyTorch's names.

Imported by `record_contrastive.py`, which runs where Transformers v4 is, and by the test: it needs
nothing but NumPy, safetensors and a `transformers` of any release.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

V, M, F, LAYERS, HEADS, POSITIONS = 97, 32, 48, 2, 4, 64  # vocabulary, model, inner size
_TOKENS = {"vocab_size": V, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 96}

CONFIGS: dict[str, dict[str, Any]] = {
    "GPT2LMHeadModel": {
        "model_type": "gpt2",
        "n_embd": M,
        "n_layer": LAYERS,
        "n_head": HEADS,
        "n_positions": POSITIONS,
        **_TOKENS,
    },
    "OPTForCausalLM": {
        "model_type": "opt",
        "hidden_size": M,
        "word_embed_proj_dim": M,
        "ffn_dim": F,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "max_position_embeddings": POSITIONS,
        **_TOKENS,
    },
    # v4 has no Llama for TensorFlow; Mistral without its window is the same computation
    "MistralForCausalLM": {
        "model_type": "mistral",
        "hidden_size": M,
        "intermediate_size": F,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": 2,
        "head_dim": M // HEADS,
        "max_position_embeddings": POSITIONS,
        "sliding_window": None,
        "tie_word_embeddings": False,
        **_TOKENS,
    },
    "T5ForConditionalGeneration": {
        "model_type": "t5",
        "d_model": M,
        "d_kv": M // HEADS,
        "d_ff": F,
        "num_layers": LAYERS,
        "num_heads": HEADS,
        "decoder_start_token_id": 0,
        **_TOKENS,
    },
}


def write(name: str, folder: Path) -> None:
    """Writes config.json and model.safetensors of a class."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {"architectures": [name], **CONFIGS[name]}
    (folder / "config.json").write_text(json.dumps(config))
    rng = np.random.default_rng(len(name))
    weights = {
        key: (rng.normal(size=shape) * 0.3 + _mean(key)).astype("float32")
        for key, shape in _SHAPES[name]()
    }
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def _mean(key: str) -> float:
    is_scale = key.endswith("weight") and any(part in key for part in ("norm", "ln_"))
    return 1.0 if is_scale else 0.0


Shapes = Iterator[tuple[str, tuple[int, ...]]]


def _with_bias(key: str, *shape: int, size: int | None = None) -> Shapes:
    yield f"{key}.weight", shape
    yield f"{key}.bias", (shape[0] if size is None else size,)


def _gpt2() -> Shapes:
    yield "transformer.wte.weight", (V, M)
    yield "transformer.wpe.weight", (POSITIONS, M)
    for layer in (f"transformer.h.{number}" for number in range(LAYERS)):
        for norm in ("ln_1", "ln_2"):
            yield from _with_bias(f"{layer}.{norm}", M)
        for part, (rows, columns) in {
            "attn.c_attn": (M, 3 * M),
            "attn.c_proj": (M, M),
            "mlp.c_fc": (M, 4 * M),
            "mlp.c_proj": (4 * M, M),
        }.items():
            yield from _with_bias(f"{layer}.{part}", rows, columns, size=columns)
    yield from _with_bias("transformer.ln_f", M)


def _opt() -> Shapes:
    yield "model.decoder.embed_tokens.weight", (V, M)
    yield "model.decoder.embed_positions.weight", (POSITIONS + 2, M)
    for layer in (f"model.decoder.layers.{number}" for number in range(LAYERS)):
        for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
            yield from _with_bias(f"{layer}.self_attn.{part}", M, M)
        for norm in ("self_attn_layer_norm", "final_layer_norm"):
            yield from _with_bias(f"{layer}.{norm}", M)
        yield from _with_bias(f"{layer}.fc1", F, M)
        yield from _with_bias(f"{layer}.fc2", M, F)
    yield from _with_bias("model.decoder.final_layer_norm", M)


def _mistral() -> Shapes:
    yield "model.embed_tokens.weight", (V, M)
    for layer in (f"model.layers.{number}" for number in range(LAYERS)):
        for part, rows in (("q", M), ("k", M // 2), ("v", M // 2), ("o", M)):
            yield f"{layer}.self_attn.{part}_proj.weight", (rows, M)
        for part, shape in {"gate": (F, M), "up": (F, M), "down": (M, F)}.items():
            yield f"{layer}.mlp.{part}_proj.weight", shape
        for norm in ("input_layernorm", "post_attention_layernorm"):
            yield f"{layer}.{norm}.weight", (M,)
    yield "model.norm.weight", (M,)
    yield "lm_head.weight", (V, M)


def _t5() -> Shapes:
    yield "shared.weight", (V, M)
    for stack, attentions in (
        ("encoder", ("SelfAttention",)),
        ("decoder", ("SelfAttention", "EncDecAttention")),
    ):
        for number in range(LAYERS):
            block = f"{stack}.block.{number}.layer"
            for place, attention in enumerate(attentions):
                for part in "qkvo":
                    yield f"{block}.{place}.{attention}.{part}.weight", (M, M)
                yield f"{block}.{place}.layer_norm.weight", (M,)
            inner = f"{block}.{len(attentions)}"
            yield f"{inner}.DenseReluDense.wi.weight", (F, M)
            yield f"{inner}.DenseReluDense.wo.weight", (M, F)
            yield f"{inner}.layer_norm.weight", (M,)
        bias = f"{stack}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
        yield bias, (32, HEADS)
        yield f"{stack}.final_layer_norm.weight", (M,)


_SHAPES = {
    "GPT2LMHeadModel": _gpt2,
    "OPTForCausalLM": _opt,
    "MistralForCausalLM": _mistral,
    "T5ForConditionalGeneration": _t5,
}
