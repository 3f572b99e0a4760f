"""One side of generation.py: answers each number of rows with what a call of `generate` took.

python benchmarks/generation_side.py SIDE NETWORK FOLDER SIZE PROMPT NEW

Runs in Transformers 4.57's environment, too, which has neither torch nor Keraform.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

# What a token does not read: rows of tables are looked up, and an encoder has run already.
UNREAD = {
    "gpt2": ("wpe",),
    "llama": ("embed_tokens",),
    "t5": ("encoder.", "EncDecAttention.k", "EncDecAttention.v", "relative_attention_bias"),
}


@dataclass(frozen=True)
class Network:
    """One network: type, class, config, what is smaller with `--tiny`, whether v4 had it."""

    model_type: str
    name: str
    full: dict[str, Any]
    small: dict[str, Any]
    in_v4: bool = True


_NEVER_ENDS = {"eos_token_id": None, "bos_token_id": 1, "pad_token_id": 0}
NETWORKS = {
    "gpt2": Network(
        "gpt2",
        "GPT2LMHeadModel",
        {},
        {"n_embd": 32, "n_layer": 2, "n_head": 4, "vocab_size": 199},
    ),
    "t5": Network(
        "t5",
        "T5ForConditionalGeneration",
        {"d_model": 768, "d_ff": 3072, "num_layers": 12, "num_heads": 12,
         "decoder_start_token_id": 0},
        {"d_model": 32, "d_ff": 48, "num_layers": 2, "num_heads": 4, "d_kv": 8, "vocab_size": 199},
    ),
    "llama": Network(
        "llama",
        "LlamaForCausalLM",
        {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12,
         "num_attention_heads": 12, "num_key_value_heads": 12, "tie_word_embeddings": False},
        {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
         "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 199},
        in_v4=False,
    ),
}  # fmt: skip


def main() -> None:
    """Make the checkpoint, or load it and answer until there are no more questions."""
    side, name, folder, size, prompt, new = sys.argv[1:]
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    network = NETWORKS[name]
    if side == "make":
        print(json.dumps(make(network, folder, size == "tiny")))
        return
    kind, _, form = side.partition("+")
    answers = sys.stdout
    sys.stdout = sys.stderr  # what libraries print is no answer
    model = {"port": port, "torch": torch_model, "v4": v4}[kind](network, folder, form)
    vocabulary = {**network.full, **(network.small if size == "tiny" else {})}.get("vocab_size")
    for line in sys.stdin:
        rows = int(line)
        ids = np.random.default_rng(rows).integers(3, vocabulary or 30000, (rows, int(prompt)))
        start, work = time.perf_counter(), time.process_time()
        tokens = model(ids, int(new))
        found = {
            "seconds": time.perf_counter() - start,
            "processor": time.process_time() - work,
            "tokens": np.asarray(tokens)[:, -int(new) :].tolist(),
            "width": {"bfloat16": 2, "int8": 1}.get(form, 4),
        }
        print(json.dumps(found), file=answers, flush=True)


def make(network: Network, folder: str, tiny: bool) -> dict[str, Any]:
    """Write the checkpoint that all sides read, whose sequences never end.

    Returns:
        How many bytes of weights, in float32, one token needs.
    """
    import torch
    import transformers

    torch.manual_seed(0)
    fields = {**network.full, **(network.small if tiny else {}), **_NEVER_ENDS}
    config = transformers.CONFIG_MAPPING[network.model_type](**fields)
    model = getattr(transformers, network.name)(config)
    model.save_pretrained(folder)
    read = {
        name: parameter.numel()
        for name, parameter in model.named_parameters()
        if not any(each in name for each in UNREAD[network.model_type])
    }
    return {"bytes": 4 * sum(read.values())}


def port(network: Network, folder: str, form: str) -> Callable[[np.ndarray, int], Any]:
    """Keraform's model."""
    import keraform

    options = {"dtype": "bfloat16"} if form == "bfloat16" else {}
    model = getattr(keraform, f"TF{network.name}").from_pretrained(folder, **options)
    if form == "int8":
        model.quantize("int8")
    return lambda ids, new: model.generate(ids, max_new_tokens=new, do_sample=False)


def torch_model(network: Network, folder: str, form: str) -> Callable[[np.ndarray, int], Any]:
    """PyTorch's model, eager."""
    import torch
    import transformers

    options = {"dtype": torch.bfloat16} if form == "bfloat16" else {}
    model = getattr(transformers, network.name).from_pretrained(folder, **options).eval()
    return lambda ids, new: model.generate(
        torch.from_numpy(ids), max_new_tokens=new, do_sample=False
    )


def v4(network: Network, folder: str, form: str) -> Callable[[np.ndarray, int], Any]:
    """The TensorFlow class of Transformers 4.57, compiled by XLA as its documentation says."""
    import tensorflow as tf
    import transformers
    from safetensors.numpy import load_file
    from transformers.modeling_tf_pytorch_utils import load_pytorch_state_dict_in_tf2_model

    config = transformers.AutoConfig.from_pretrained(folder)
    model = getattr(transformers, f"TF{network.name}")(config)
    model.build_in_name_scope()
    weights = load_file(f"{folder}/model.safetensors")  # what v4 opens itself fails by now
    load_pytorch_state_dict_in_tf2_model(model, weights, tf_inputs=False, allow_missing_keys=True)
    generate = tf.function(model.generate, jit_compile=True)
    return lambda ids, new: generate(
        tf.constant(ids, "int32"), max_new_tokens=new, do_sample=False
    ).numpy()


if __name__ == "__main__":
    main()
