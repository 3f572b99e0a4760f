"""Mixtures of experts against upstream's eager loops, in float64."""

from __future__ import annotations

from types import SimpleNamespace

import keras
import numpy as np
import pytest
import torch
from keras import ops
from transformers.models.gpt_oss.configuration_gpt_oss import GptOssConfig
from transformers.models.gpt_oss.modeling_gpt_oss import GptOssExperts
from transformers.models.mixtral.configuration_mixtral import MixtralConfig
from transformers.models.mixtral.modeling_mixtral import MixtralExperts

from keraform.runtime import experts
from keraform.runtime.activations import ACT2FN
from keraform.runtime.layers import Layer

EXPERTS, CHOICES, WIDTH, INNER = 5, 2, 6, 4


@pytest.fixture(autouse=True)
def float64():
    if keras.backend.result_type("float64", float) != "float64":
        pytest.skip("Keras computes in float32 on JAX")
    before = keras.config.dtype_policy(), keras.config.floatx()
    keras.config.set_dtype_policy("float64")
    keras.config.set_floatx("float64")
    yield
    keras.config.set_dtype_policy(before[0])
    keras.config.set_floatx(before[1])


@experts.use_experts_implementation
class Concatenated(Layer):
    """Mixtral's experts."""

    def __init__(self, config, **kwargs):
        super().__init__(**kwargs)
        self.config = config
        self.num_experts = EXPERTS
        self.gate_up_proj = self.add_weight(shape=(EXPERTS, 2 * INNER, WIDTH), name="gate_up_proj")
        self.down_proj = self.add_weight(shape=(EXPERTS, WIDTH, INNER), name="down_proj")
        self.act_fn = ACT2FN["silu"]

    def call(self, hidden_states, top_k_index, top_k_weights):
        raise AssertionError("the decorator replaces the loop")


@experts.use_experts_implementation(is_concatenated=False, is_transposed=True, has_bias=True)
class Interleaved(Layer):
    """GPT-OSS's experts."""

    def __init__(self, config, **kwargs):
        super().__init__(**kwargs)
        self.config = config
        self.num_experts, self.alpha, self.limit = EXPERTS, config.swiglu_alpha, config.swiglu_limit
        both = 2 * INNER
        self.gate_up_proj = self.add_weight(shape=(EXPERTS, WIDTH, both), name="gate_up_proj")
        self.gate_up_proj_bias = self.add_weight(shape=(EXPERTS, both), name="gate_up_proj_bias")
        self.down_proj = self.add_weight(shape=(EXPERTS, INNER, WIDTH), name="down_proj")
        self.down_proj_bias = self.add_weight(shape=(EXPERTS, WIDTH), name="down_proj_bias")

    def _apply_gate(self, gate_up):
        gate, up = gate_up[..., ::2], gate_up[..., 1::2]
        gate = ops.minimum(gate, self.limit)
        up = ops.clip(up, -self.limit, self.limit)
        return (up + 1) * (gate * ops.sigmoid(gate * self.alpha))

    def call(self, hidden_states, router_indices=None, routing_weights=None):
        raise AssertionError("the decorator replaces the loop")


def twins(kind: str, implementation: str | None):
    """A layer of ours and upstream's module with eager experts, with the same random weights."""
    sizes = {"hidden_size": WIDTH, "intermediate_size": INNER, "num_local_experts": EXPERTS}
    ours_class, torch_class, config_class = {
        "mixtral": (Concatenated, MixtralExperts, MixtralConfig),
        "gpt_oss": (Interleaved, GptOssExperts, GptOssConfig),
    }[kind]
    config = config_class(**sizes)
    config._experts_implementation = "eager"
    theirs = torch_class(config).double()
    settings = SimpleNamespace(
        _experts_implementation=implementation,
        swiglu_alpha=getattr(config, "swiglu_alpha", None),
        swiglu_limit=getattr(config, "swiglu_limit", None),
    )
    ours = ours_class(settings)
    rng = np.random.default_rng(0)
    for name, parameter in theirs.named_parameters():
        value = rng.normal(size=tuple(parameter.shape))
        parameter.data = torch.tensor(value)
        getattr(ours, name).assign(value)
    return ours, theirs


def routed(tokens: int, seed: int = 0):
    rng = np.random.default_rng(seed)
    index = np.stack([rng.permutation(EXPERTS)[:CHOICES] for _ in range(tokens)])
    return rng.normal(size=(tokens, WIDTH)), index, rng.uniform(size=(tokens, CHOICES))


@pytest.mark.parametrize("kind", ["mixtral", "gpt_oss"])
@pytest.mark.parametrize("implementation", [None, "eager", "batched_mm", "grouped_mm", "dense"])
@pytest.mark.parametrize("tokens", [1, 2, 9])
def test_equals_the_eager_loop(kind, implementation, tokens):
    ours, theirs = twins(kind, implementation)
    values = routed(tokens)
    found = ours(*(ops.convert_to_tensor(v) for v in values))
    wanted = theirs(*(torch.tensor(v) for v in values)).detach().numpy()
    np.testing.assert_allclose(ops.convert_to_numpy(found), wanted, rtol=1e-13, atol=1e-13)


def test_arguments_may_be_named_as_the_class_names_them():
    ours, theirs = twins("gpt_oss", "eager")
    hidden, index, weights = routed(3)
    found = ours(
        ops.convert_to_tensor(hidden),
        router_indices=ops.convert_to_tensor(index),
        routing_weights=ops.convert_to_tensor(weights),
    )
    wanted = theirs(torch.tensor(hidden), torch.tensor(index), torch.tensor(weights))
    np.testing.assert_allclose(ops.convert_to_numpy(found), wanted.detach().numpy(), atol=1e-13)


@pytest.mark.parametrize("implementation", ["batched_mm", "dense"])
def test_an_index_past_the_last_expert_counts_for_nothing(implementation):
    ours, theirs = twins("mixtral", implementation)
    hidden, index, weights = routed(6)
    index[1, 0] = index[4, 1] = EXPERTS
    found = ours(*(ops.convert_to_tensor(v) for v in (hidden, index, weights)))
    wanted = theirs(*(torch.tensor(v) for v in (hidden, index, weights))).detach().numpy()
    np.testing.assert_allclose(ops.convert_to_numpy(found), wanted, rtol=1e-13, atol=1e-13)


def test_leading_axes_are_kept():
    ours, _ = twins("mixtral", "eager")
    hidden, index, weights = (ops.convert_to_tensor(v) for v in routed(6))
    flat = ours(hidden, index, weights)
    shaped = ours(
        *(ops.reshape(v, (2, 3, -1)) for v in (hidden, index, weights)),
    )
    np.testing.assert_allclose(
        ops.convert_to_numpy(shaped).reshape(6, WIDTH), ops.convert_to_numpy(flat), atol=1e-14
    )


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="GradientTape")
@pytest.mark.parametrize("kind", ["mixtral", "gpt_oss"])
@pytest.mark.parametrize("implementation", ["batched_mm", "dense"])
def test_gradients_equal_torchs(kind, implementation):
    import tensorflow as tf

    ours, theirs = twins(kind, implementation)
    hidden, index, weights = routed(7)
    x, w = tf.Variable(hidden), tf.Variable(weights)
    with tf.GradientTape() as tape:
        loss = ops.sum(ops.square(ours(x, index, w)))
    sources = [x, w, *(getattr(ours, name).value for name, _ in theirs.named_parameters())]
    found = [tf.convert_to_tensor(gradient) for gradient in tape.gradient(loss, sources)]
    leaves = [torch.tensor(hidden, requires_grad=True), torch.tensor(weights, requires_grad=True)]
    theirs(leaves[0], torch.tensor(index), leaves[1]).square().sum().backward()
    wanted = [*leaves, *theirs.parameters()]
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a.numpy(), b.grad.numpy(), rtol=1e-10, atol=1e-10)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="tf.function")
@pytest.mark.parametrize("jit", [False, True])
def test_graphs_with_an_unknown_number_of_tokens(jit):
    import tensorflow as tf

    ours, theirs = twins("mixtral", "eager")
    signature = [
        tf.TensorSpec((None, WIDTH), "float64"),
        tf.TensorSpec((None, CHOICES), "int64"),
        tf.TensorSpec((None, CHOICES), "float64"),
    ]
    graph = tf.function(ours, jit_compile=jit, input_signature=signature)
    for tokens in (1, 8):
        values = routed(tokens, tokens)
        wanted = theirs(*(torch.tensor(v) for v in values)).detach().numpy()
        np.testing.assert_allclose(graph(*values).numpy(), wanted, rtol=1e-12, atol=1e-12)


def test_unknown_forms_are_named():
    ours, _ = twins("mixtral", "sonicmoe")
    with pytest.raises(KeyError, match="got 'sonicmoe'"):
        ours(*(ops.convert_to_tensor(v) for v in routed(2)))
