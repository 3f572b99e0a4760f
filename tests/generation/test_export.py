"""`generate` in graphs and SavedModels: open shapes, plain TensorFlow, static shapes for XLA and LiteRT."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import numpy as np
import pytest
import tensorflow as tf
from transformers import LlamaConfig, T5Config

import keraform

NEW = 5
SPECIAL = {"vocab_size": 61, "pad_token_id": 0, "eos_token_id": 5}
PROMPTS = ((2, 6), (3, 4), (1, 9))  # batch, length


def llama():
    keraform_config = LlamaConfig(
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        bos_token_id=1,
        **SPECIAL,
    )
    return randomised(keraform.TFLlamaForCausalLM(keraform_config))


def t5():
    config = T5Config(
        d_model=16,
        d_kv=4,
        d_ff=24,
        num_layers=2,
        num_heads=4,
        decoder_start_token_id=0,
        **SPECIAL,
    )
    return randomised(keraform.TFT5ForConditionalGeneration(config))


def randomised(model):
    rng = np.random.default_rng(0)
    for variable in model.variables:
        variable.assign(variable.numpy() + 0.2 * rng.normal(size=variable.shape))
    return model


def prompt(batch, length, left=True):
    rng = np.random.default_rng(length)
    ids = rng.integers(6, SPECIAL["vocab_size"], (batch, length))
    mask = np.ones_like(ids)
    if batch > 1:
        mask[1, slice(0, 2) if left else slice(-2, None)] = 0
    return {"input_ids": ids * mask, "attention_mask": mask}


def tensors(inputs, dtype="int64"):
    return {name: tf.constant(value, dtype) for name, value in inputs.items()}


@pytest.fixture(scope="module")
def model():
    return llama()


@pytest.fixture(scope="module")
def saved(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("export") / "greedy"
    model.export_generate(path, max_new_tokens=NEW, do_sample=False, verbose=False)
    return path


def test_a_saved_model_takes_every_batch_and_length(model, saved):
    served = tf.saved_model.load(str(saved))
    for size in PROMPTS:
        inputs = prompt(*size)
        found = served.serve(tensors(inputs))["sequences"].numpy()
        assert found.dtype == "int32"
        wanted = model.generate(inputs, max_new_tokens=NEW, do_sample=False, disable_compile=True)
        np.testing.assert_array_equal(found, wanted.numpy())


def test_weights_are_saved_once(model, saved):
    (data,) = (saved / "variables").glob("variables.data*")
    weights = sum(variable.numpy().nbytes for variable in model.variables)
    assert weights < data.stat().st_size < weights + 20_000
    assert (saved / "saved_model.pb").stat().st_size < 2_000_000
