"""Rotary tables against upstream's, in float64 under lifted casts and in float32."""

from __future__ import annotations

import contextlib
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import torch
from keras import ops
from torch.overrides import TorchFunctionMode
from transformers import LlamaConfig, modeling_rope_utils

from keraform.runtime import layers, rotary
from keraform.runtime.precision import lift_casts


class Lifted(TorchFunctionMode):
    """Reads float32 as float64 in torch, as `lift_casts` does in Keras."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if kwargs.get("dtype") is torch.float32:
            kwargs["dtype"] = torch.float64
        args = tuple(torch.float64 if arg is torch.float32 else arg for arg in args)
        if func is torch.Tensor.float:
            func = torch.Tensor.double
        return func(*args, **kwargs)


LONG = {"long_factor": list(np.linspace(1.5, 4, 6)), "short_factor": list(np.linspace(1, 1.3, 6))}
CASES = {
    "linear": {"rope_type": "linear", "factor": 3.0},
    "dynamic": {"rope_type": "dynamic", "factor": 2.5},
    "yarn": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16},
    "yarn mscale": {
        "rope_type": "yarn",
        "factor": 4.0,
        "original_max_position_embeddings": 16,
        "mscale": 0.7,
        "mscale_all_dim": 1.2,
        "beta_fast": 8,
        "beta_slow": 2,
        "truncate": False,
    },
    "yarn no factor": {
        "rope_type": "yarn",
        "factor": None,
        "original_max_position_embeddings": 16,
        "attention_factor": 1.5,
    },
    "longrope": {"rope_type": "longrope", "original_max_position_embeddings": 16, **LONG},
    "longrope factor": {
        "rope_type": "longrope",
        "factor": 8.0,
        "original_max_position_embeddings": 16,
        **LONG,
    },
    "llama3": {
        "rope_type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 16,
    },
    "proportional": {"rope_type": "proportional", "factor": 2.0, "partial_rotary_factor": 0.5},
    "linear part": {"rope_type": "linear", "factor": 3.0, "partial_rotary_factor": 0.5},
}


def config(case: str):
    made = LlamaConfig(
        hidden_size=24, num_attention_heads=2, head_dim=12, max_position_embeddings=64
    )
    made.rope_parameters = {"rope_theta": 10000.0, **CASES[case]}
    return made


def test_every_type_of_upstream_is_here():
    assert set(rotary.ROPE_INIT_FUNCTIONS) == set(modeling_rope_utils.ROPE_INIT_FUNCTIONS)


@pytest.mark.parametrize("case", list(CASES))
@pytest.mark.parametrize("seq_len", [None, 10, 100])
@pytest.mark.parametrize("lifted", [True, False])
def test_tables_equal_upstreams(case, seq_len, lifted):
    if lifted and keras.backend.result_type("float64", float) != "float64":
        pytest.skip("Keras computes in float32 on JAX")
    name = CASES[case]["rope_type"]
    with lift_casts() if lifted else contextlib.nullcontext():
        ours, ours_factor = rotary.ROPE_INIT_FUNCTIONS[name](config(case), seq_len=seq_len)
    with Lifted() if lifted else contextlib.nullcontext():
        theirs, factor = modeling_rope_utils.ROPE_INIT_FUNCTIONS[name](
            config(case), device="cpu", seq_len=seq_len
        )
    assert ours_factor == factor
    expected = "float64" if lifted else "float32"
    assert keras.backend.standardize_dtype(ours.dtype) == expected
    assert theirs.dtype == getattr(torch, expected)
    error = np.abs(ops.convert_to_numpy(ours) - theirs.numpy()).max()
    assert error <= (1e-15 if lifted else 1e-7)


def test_tables_by_layer_type():
    nested = LlamaConfig(hidden_size=24, num_attention_heads=2, head_dim=12, num_hidden_layers=2)
    nested.layer_types = ["full_attention", "sliding_attention"]
    nested.rope_parameters = {
        "full_attention": {"rope_theta": 1e6, "rope_type": "linear", "factor": 2.0},
        "sliding_attention": {"rope_theta": 1e4, "rope_type": "linear", "factor": 1.0},
    }
    for layer_type in nested.layer_types:
        ours, _ = rotary.ROPE_INIT_FUNCTIONS["linear"](nested, layer_type=layer_type)
        theirs, _ = modeling_rope_utils.ROPE_INIT_FUNCTIONS["linear"](nested, layer_type=layer_type)
        np.testing.assert_allclose(ops.convert_to_numpy(ours), theirs.numpy(), atol=1e-7)


class Rotary(layers.Layer):
    def __init__(self, settings, **kwargs):
        super().__init__(**kwargs)
        self.config = settings
        self.rope_type = settings.rope_parameters["rope_type"]
        self.original_max_seq_len = self.max_seq_len_cached = settings.max_position_embeddings
        inv_freq, self.attention_scaling = rotary.ROPE_INIT_FUNCTIONS[self.rope_type](settings)
        self.inv_freq = layers.buffer(inv_freq)
        self.original_inv_freq = self.inv_freq

    @rotary.dynamic_rope_update
    def call(self, x, position_ids):
        positions = ops.cast(position_ids, "float32")
        return positions[:, :, None] * self.inv_freq[None, None, :] * self.attention_scaling


class TorchRotary(torch.nn.Module):
    def __init__(self, settings):
        super().__init__()
        self.config = settings
        self.rope_type = settings.rope_parameters["rope_type"]
        self.original_max_seq_len = self.max_seq_len_cached = settings.max_position_embeddings
        make = modeling_rope_utils.ROPE_INIT_FUNCTIONS[self.rope_type]
        inv_freq, self.attention_scaling = make(settings, "cpu")
        self.register_buffer("inv_freq", inv_freq, persistent=False)
        self.register_buffer("original_inv_freq", inv_freq.clone(), persistent=False)

    @modeling_rope_utils.dynamic_rope_update
    def forward(self, x, position_ids):
        positions = position_ids.float()
        return positions[:, :, None] * self.inv_freq[None, None, :] * self.attention_scaling


@pytest.mark.parametrize("case", ["dynamic", "longrope", "linear"])
@pytest.mark.parametrize("length", [5, 17, 64, 65, 120])
@pytest.mark.parametrize("graph", [False, True])
def test_calls_choose_their_table(case, length, graph):
    positions = np.arange(length)[None]
    layer = Rotary(config(case))
    before = layer.inv_freq
    run = layer
    if graph and keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        signature = [tf.TensorSpec(()), tf.TensorSpec((None, None), "int64")]
        run = tf.function(layer, input_signature=signature)
    elif graph:
        import jax

        run = jax.jit(lambda x, p: layer(x, p))
    found = run(ops.ones(()), ops.convert_to_tensor(positions))
    wanted = TorchRotary(config(case))(torch.ones(()), torch.tensor(positions))
    np.testing.assert_allclose(ops.convert_to_numpy(found), wanted.numpy(), atol=1e-5, rtol=1e-6)
    assert layer.inv_freq is before


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="asks TensorFlow for XLA")
def test_xla_computes_the_cosines_once():
    import tensorflow as tf

    class Tables:
        rope_type = "default"

        @rotary.dynamic_rope_update
        def call(self, x, position_ids):
            angles = ops.cast(position_ids, "float32")[..., None] * x
            return ops.cos(angles), ops.sin(angles)

    def layers(x, positions):
        cos, sin = Tables().call(x, positions)
        heads = ops.ones((2, 3, 7, 4))
        for _ in range(4):
            heads = ops.matmul(heads * cos[:, None] + heads * sin[:, None], ops.ones((4, 4)))
        return heads

    x, positions = tf.constant([0.1, 0.2, 0.3, 0.4]), tf.range(7)[None]
    compiled = tf.function(layers, jit_compile=True)
    np.testing.assert_allclose(compiled(x, positions), layers(x, positions), rtol=1e-5)
    program = compiled.experimental_get_compiler_ir(x, positions)(stage="optimized_hlo")
    assert program.count(" cosine(") == 1


def test_plain_types_are_passed_through():
    seen = []

    @rotary.dynamic_rope_update
    def call(self, x, position_ids, layer_type=None):
        seen.append(layer_type)

    call(SimpleNamespace(rope_type="default"), None, None)
    call(SimpleNamespace(rope_type={"full_attention": "yarn"}), None, None, "full_attention")
    assert seen == [None, "full_attention"]
