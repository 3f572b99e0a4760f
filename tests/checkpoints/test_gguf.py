"""GGUF files are read as transformers reads them, without torch."""

from __future__ import annotations

import numpy as np
import pytest

import keraform
from keraform.checkpoints import torch_state
from keraform.errors import KeraformError

gguf = pytest.importorskip("gguf")
torch = pytest.importorskip("torch")

FIELDS = {
    "context_length": 64,
    "embedding_length": 64,
    "block_count": 2,
    "feed_forward_length": 96,
    "attention.head_count": 4,
    "attention.head_count_kv": 2,
    "vocab_size": 99,
    "rope.dimension_count": 16,
}


def write(path, architecture, fields, shapes, kind):
    """A GGUF file with random weights, those with several axes quantised."""
    rng = np.random.default_rng(0)
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_name("tiny")
    for name, value in fields.items():
        add = writer.add_float32 if isinstance(value, float) else writer.add_uint32
        add(f"{architecture}.{name}", value)
    for name, shape in shapes.items():
        values = rng.normal(size=shape).astype("float32")
        if len(shape) == 1:
            writer.add_tensor(name, values)
        else:
            writer.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def written(path, kind, tied=False, architecture="llama"):
    """A GGUF file of a small Llama with random weights."""
    fields = {**FIELDS, "attention.layer_norm_rms_epsilon": 1e-5, "rope.freq_base": 5e4}
    shapes = {"token_embd.weight": (99, 64), "output_norm.weight": (64,)}
    if not tied:
        shapes["output.weight"] = (99, 64)
    for layer in range(2):
        for name, shape in (
            ("attn_norm", (64,)),
            ("ffn_norm", (64,)),
            ("attn_q", (64, 64)),
            ("attn_k", (32, 64)),
            ("attn_v", (32, 64)),
            ("attn_output", (64, 64)),
            ("ffn_gate", (96, 64)),
            ("ffn_up", (96, 64)),
            ("ffn_down", (64, 96)),
        ):
            shapes[f"blk.{layer}.{name}.weight"] = shape
    write(path, architecture, fields, shapes, kind)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("kind", ["F32", "F16", "Q8_0", "Q4_1"])
def test_a_llama_is_the_one_that_transformers_reads(tmp_path, kind, tied):
    from transformers import AutoModelForCausalLM
    from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint

    written(tmp_path / "tiny.gguf", gguf.GGMLQuantizationType[kind], tied)
    model, report = keraform.TFAutoModelForCausalLM.from_pretrained(
        tmp_path, gguf_file="tiny.gguf", output_loading_info=True
    )
    assert not any(report.values())
    assert model.config.rope_parameters["rope_theta"] == 5e4
    theirs = AutoModelForCausalLM.from_config(model.config)
    wanted = load_gguf_checkpoint(
        str(tmp_path / "tiny.gguf"), return_tensors=True, model_to_load=theirs
    )["tensors"]
    found = {key: tensor.read() for key, tensor in torch_state(model, False).items()}
    assert found.keys() == wanted.keys()
    assert tied == ("lm_head.weight" not in wanted)
    for key, value in found.items():
        np.testing.assert_array_equal(value, wanted[key].numpy(), err_msg=key)


def written_experts(path, kind):
    """A GGUF file of a small mixture of experts with random weights."""
    fields = {
        "context_length": 64,
        "embedding_length": 64,
        "block_count": 1,
        "feed_forward_length": 96,
        "attention.head_count": 4,
        "attention.head_count_kv": 2,
        "attention.key_length": 16,
        "vocab_size": 99,
        "expert_count": 3,
        "expert_used_count": 2,
    }
    shapes = {
        "token_embd": (99, 64),
        "output_norm": (64,),
        "output": (99, 64),
        "blk.0.attn_norm": (64,),
        "blk.0.ffn_norm": (64,),
        "blk.0.attn_q": (64, 64),
        "blk.0.attn_k": (32, 64),
        "blk.0.attn_v": (32, 64),
        "blk.0.attn_q_norm": (16,),
        "blk.0.attn_k_norm": (16,),
        "blk.0.attn_output": (64, 64),
        "blk.0.ffn_gate_inp": (3, 64),
        "blk.0.ffn_down_exps": (3, 64, 32),
        "blk.0.ffn_up_exps": (3, 32, 64),
        "blk.0.ffn_gate_exps": (3, 32, 64),
    }
    shapes = {f"{name}.weight": shape for name, shape in shapes.items()}
    write(path, "qwen3moe", fields, shapes, kind)


@pytest.mark.parametrize("kind", ["F32", "Q8_0"])
def test_experts_are_those_that_transformers_reads(tmp_path, kind):
    from transformers import AutoModelForCausalLM
    from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint

    written_experts(tmp_path / "tiny.gguf", gguf.GGMLQuantizationType[kind])
    model, report = keraform.TFAutoModelForCausalLM.from_pretrained(
        tmp_path, gguf_file="tiny.gguf", moe_intermediate_size=32, output_loading_info=True
    )
    assert not any(report.values())
    theirs = AutoModelForCausalLM.from_config(model.config)
    wanted = load_gguf_checkpoint(
        str(tmp_path / "tiny.gguf"), return_tensors=True, model_to_load=theirs
    )["tensors"]
    found = {key: tensor.read() for key, tensor in torch_state(model, False).items()}
    assert found.keys() == wanted.keys()
    for key, value in found.items():
        np.testing.assert_array_equal(value, wanted[key].numpy(), err_msg=key)


def test_by_a_class_with_a_dtype_and_with_another_field(tmp_path):
    written(tmp_path / "tiny.gguf", gguf.GGMLQuantizationType.F16)
    model = keraform.TFLlamaModel.from_pretrained(
        tmp_path, gguf_file="tiny.gguf", dtype="bfloat16", attention_dropout=0.5
    )
    assert model.config.attention_dropout == 0.5
    assert {weight.dtype for weight in model.weights} == {"bfloat16"}


def test_bad_files(tmp_path):
    load = keraform.TFLlamaModel.from_pretrained
    with pytest.raises(KeraformError, match=r"tiny\.gguf in .*\ngot: no such file"):
        load(tmp_path, gguf_file="tiny.gguf")
    path = tmp_path / "tiny.gguf"
    written(path, gguf.GGMLQuantizationType.F16)
    whole = path.read_bytes()
    for kept in (0, 10, 200, len(whole) // 2):
        path.write_bytes(whole[:kept])
        with pytest.raises(KeraformError, match=rf"tiny\.gguf \({kept} bytes\)"):
            load(tmp_path, gguf_file="tiny.gguf")
    written(path, gguf.GGMLQuantizationType.F16, architecture="nothing")
    with pytest.raises(KeraformError, match="nothing is not supported"):
        load(tmp_path, gguf_file="tiny.gguf")
