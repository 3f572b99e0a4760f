"""The tuned attention against the eager attention that upstream's models write."""

from __future__ import annotations

from types import SimpleNamespace

import keras
import numpy as np
import pytest
import torch
from keras import ops

from keraform.runtime import attention, layers, masks

B, H, Q, K, D, E = 2, 6, 5, 7, 4, 3


def torch_eager(module, query, key, value, mask, scaling, groups):
    """Attention as modeling files have it (modeling_llama's, for one)."""
    key = key.repeat_interleave(groups, dim=1)
    value = value.repeat_interleave(groups, dim=1)
    weights = torch.matmul(query, key.transpose(2, 3)) * scaling
    if mask is not None:
        weights = weights + mask
    dtype = torch.float64 if query.dtype is torch.float64 else torch.float32
    weights = torch.softmax(weights, dim=-1, dtype=dtype).to(query.dtype)
    return torch.matmul(weights, value).transpose(1, 2).contiguous()


def arrays(groups, dtype="float64"):
    rng = np.random.default_rng(0)
    shapes = ((B, H, Q, D), (B, H // groups, K, D), (B, H // groups, K, E))
    values = [rng.normal(size=shape).astype("float32") for shape in shapes]
    return (
        [ops.cast(ops.convert_to_tensor(v), dtype) for v in values],
        [torch.tensor(v).to(getattr(torch, dtype)) for v in values],
    )


def padding(dtype, heads=1):
    open_keys = np.ones((B, heads, Q, K), bool)
    open_keys[0, :, :, :2] = False
    open_keys[1, :, 3] = False  # a row without any open key
    return masks.functions.to_float(ops.convert_to_tensor(open_keys), dtype)


def float64_or_skip():
    if keras.backend.result_type("float64", float) != "float64":
        pytest.skip("Keras computes in float32 on JAX")


@pytest.mark.parametrize("groups", [1, 2, 6])
@pytest.mark.parametrize("mask_heads", [None, 1, H])
@pytest.mark.parametrize("scaling", [None, 0.3])
def test_equals_eager_in_float64(groups, mask_heads, scaling):
    float64_or_skip()
    (query, key, value), torch_values = arrays(groups)
    mask = None if mask_heads is None else padding("float64", mask_heads)
    module = SimpleNamespace(num_key_value_groups=groups, is_causal=False)
    found, weights = attention.sdpa_attention_forward(
        module, query, key, value, mask, scaling=scaling
    )
    torch_mask = None if mask is None else torch.tensor(ops.convert_to_numpy(mask))
    wanted = torch_eager(None, *torch_values, torch_mask, scaling or D**-0.5, groups)
    assert weights is None and tuple(found.shape) == (B, Q, H, E)
    np.testing.assert_allclose(ops.convert_to_numpy(found), wanted.numpy(), rtol=0, atol=1e-14)


@pytest.mark.parametrize(("dtype", "error"), [("float16", 2e-3), ("bfloat16", 2e-2)])
def test_half_precision_keeps_its_dtype(dtype, error):
    (query, key, value), torch_values = arrays(2, dtype)
    module = SimpleNamespace(num_key_value_groups=2, is_causal=False)
    found, _ = attention.sdpa_attention_forward(module, query, key, value, padding(dtype))
    mask = torch.tensor(ops.convert_to_numpy(ops.cast(padding(dtype), "float32")))
    wanted = torch_eager(None, *torch_values, mask.to(torch_values[0].dtype), D**-0.5, 2)
    assert keras.backend.standardize_dtype(found.dtype) == dtype
    found = ops.convert_to_numpy(ops.cast(found, "float32"))
    np.testing.assert_allclose(found, wanted.float().numpy(), atol=error)


def test_boolean_masks_and_causality():
    (query, key, value), _ = arrays(1, "float32")
    key, value = key[:, :, :Q], value[:, :, :Q]
    module = SimpleNamespace(is_causal=True)
    causal, _ = attention.sdpa_attention_forward(module, query, key, value, None)
    triangle = ops.convert_to_tensor(np.tril(np.ones((1, 1, Q, Q), bool)))
    given, _ = attention.sdpa_attention_forward(module, query, key, value, triangle)
    np.testing.assert_allclose(ops.convert_to_numpy(causal), ops.convert_to_numpy(given), atol=1e-6)
    last, _ = attention.sdpa_attention_forward(module, query[:, :, -1:], key, value, None)
    np.testing.assert_allclose(
        ops.convert_to_numpy(causal)[:, -1:], ops.convert_to_numpy(last), atol=1e-6
    )


def test_position_bias_is_added():
    (query, key, value), _ = arrays(2, "float32")
    module = SimpleNamespace(num_key_value_groups=2, is_causal=False)
    bias = ops.convert_to_tensor(np.random.default_rng(1).normal(size=(1, H, Q, K)).astype("f4"))
    mask = padding("float32")
    one, _ = attention.sdpa_attention_forward(module, query, key, value, mask, position_bias=bias)
    two, _ = attention.sdpa_attention_forward(module, query, key, value, mask + bias)
    np.testing.assert_allclose(ops.convert_to_numpy(one), ops.convert_to_numpy(two), atol=1e-6)


def test_dropout_needs_and_uses_a_seed_generator():
    (query, key, value), _ = arrays(1, "float32")
    module = SimpleNamespace(is_causal=False)
    with pytest.raises(ValueError, match="Expected a seed generator"):
        attention.sdpa_attention_forward(module, query, key, value, None, dropout=0.5)
    module.seed_generator = keras.random.SeedGenerator(3)
    one, _ = attention.sdpa_attention_forward(module, query, key, value, None, dropout=0.5)
    two, _ = attention.sdpa_attention_forward(module, query, key, value, None, dropout=0.5)
    assert np.abs(ops.convert_to_numpy(one - two)).max() > 0.1


def test_softcap_is_refused():
    with pytest.raises(ValueError, match='attn_implementation="eager"'):
        attention.sdpa_attention_forward(None, None, None, None, None, softcap=30.0)


def test_the_table_knows_eager_and_names_the_rest():
    table = attention.ALL_ATTENTION_FUNCTIONS

    def own(*args, **kwargs):
        return None

    assert table.get_interface("eager", own) is own and table.get_interface(None, own) is own
    assert table.get_interface("sdpa", own) is table["sdpa"] is attention.sdpa_attention_forward
    with pytest.raises(KeyError, match=r"got 'flash_attention_2'\. Use one of \['eager', 'sdpa'\]"):
        table.get_interface("flash_attention_2", own)
    local = attention.AttentionInterface()
    local["mine"] = own
    assert "mine" in local and "mine" not in table and len(local) == 2
    attention.AttentionInterface.register("everywhere", own)
    try:
        assert table.get_interface("everywhere", None) is own and "everywhere" in local
    finally:
        attention.AttentionInterface._global_mapping.pop("everywhere")


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="tf.function")
@pytest.mark.parametrize("jit", [False, True])
def test_graphs_with_unknown_sizes(jit):
    import tensorflow as tf

    module = SimpleNamespace(num_key_value_groups=2, is_causal=True)

    def run(query, key, value, mask):
        with_mask = attention.sdpa_attention_forward(module, query, key, value, mask)[0]
        return with_mask, attention.sdpa_attention_forward(module, query, key, value, None)[0]

    spec = [tf.TensorSpec((None, n, None, d)) for n, d in ((H, D), (H // 2, D), (H // 2, E))]
    graph = tf.function(
        run, jit_compile=jit, input_signature=[*spec, tf.TensorSpec((None, 1, None, None))]
    )
    (query, key, value), _ = arrays(2, "float32")
    for rows, q_length in ((2, 5), (1, 1), (2, 3)):
        arguments = (query[:rows, :, :q_length], key[:rows], value[:rows])
        mask = padding("float32")[:rows, :, :q_length]
        masked, causal = graph(*arguments, mask)
        wanted, _ = attention.sdpa_attention_forward(module, *arguments, mask)
        np.testing.assert_allclose(masked, wanted, atol=1e-6)
        if q_length > 1:
            wanted, _ = attention.sdpa_attention_forward(module, *arguments, None)
            np.testing.assert_allclose(causal, wanted, atol=1e-6)


def test_layer_can_hold_the_seed_generator():
    class Attention(layers.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.seed_generator = keras.random.SeedGenerator(1)
            self.is_causal = False

        def call(self, query, key, value):
            rate = 0.0 if not self.training else 0.5
            return attention.sdpa_attention_forward(self, query, key, value, None, dropout=rate)[0]

    (query, key, value), _ = arrays(1, "float32")
    layer = Attention()
    calm = ops.convert_to_numpy(layer(query, key, value))
    np.testing.assert_array_equal(calm, ops.convert_to_numpy(layer(query, key, value)))
    assert np.abs(calm - ops.convert_to_numpy(layer(query, key, value, training=True))).max() > 0.1
