"""Captured outputs against upstream's hooks, on a small model with a model inside it."""

from __future__ import annotations

import copy
import gc
from dataclasses import dataclass

import keras
import numpy as np
import pytest
import torch
from keras import ops
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel
from transformers.utils import ModelOutput as TorchModelOutput
from transformers.utils import generic, output_capturing

from keraform.runtime import capture
from keraform.runtime.layers import Layer, Tensor
from keraform.runtime.outputs import ModelOutput

WIDTH, DEPTH = 3, 4


class Config(PretrainedConfig):
    model_type = "capture_test"

    def __init__(self, num_hidden_layers=DEPTH, **kwargs):
        self.num_hidden_layers = num_hidden_layers
        super().__init__(**kwargs)


@dataclass
class Output(ModelOutput):
    last_hidden_state: Tensor | None = None
    inner: object | None = None
    hidden_states: tuple | None = None
    attentions: tuple | None = None
    cross_attentions: tuple | None = None
    router_logits: tuple | None = None


@dataclass
class TorchOutput(TorchModelOutput):
    last_hidden_state: torch.Tensor | None = None
    inner: object | None = None
    hidden_states: tuple | None = None
    attentions: tuple | None = None
    cross_attentions: tuple | None = None
    router_logits: tuple | None = None


def table(attention, block, router, recorder):
    """One `_can_record_outputs`, written with either side's classes."""
    return {
        "hidden_states": block,
        "attentions": recorder(attention, index=1, layer_name="self_attn"),
        "cross_attentions": recorder(attention, index=1, layer_name="cross_attn"),
        "router_logits": [recorder(target_class=router, index=0)],
    }


class Attention(Layer):
    def __init__(self, factor, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor

    def call(self, hidden):
        return hidden * self.factor, hidden + self.factor


class Router(Layer):
    def call(self, hidden):
        return hidden * 10


class Block(Layer):
    def __init__(self, index, **kwargs):
        super().__init__(**kwargs)
        self.self_attn = Attention(index + 2.0)
        self.cross_attn = Attention(index + 3.0)
        self.router = Router()

    def call(self, hidden):
        hidden, _ = self.self_attn(hidden)
        hidden, _ = self.cross_attn(hidden)
        return (hidden + self.router(hidden), None)


class Pretrained(Layer):
    _is_pretrained_model = True
    _can_record_outputs = table(Attention, Block, Router, capture.OutputRecorder)

    def __init__(self, config, **kwargs):
        super().__init__(**kwargs)
        self.config = config


class Inner(Pretrained):
    _can_record_outputs = {"hidden_states": Block, "attentions": "self_attn"}  # noqa: RUF012

    def __init__(self, config, **kwargs):
        super().__init__(config, **kwargs)
        self.layer = [Block(i) for i in range(2)]

    @capture.merge_with_config_defaults
    @capture.capture_outputs(tie_last_hidden_states=False)
    def call(self, hidden, **kwargs):
        for block in self.layer:
            hidden = block(hidden)[0]
        return Output(last_hidden_state=hidden + 1)


class Outer(Pretrained):
    def __init__(self, config, **kwargs):
        super().__init__(config, **kwargs)
        self.tower = Inner(copy.deepcopy(config))
        self.layer = [Block(i) for i in range(config.num_hidden_layers)]

    @capture.merge_with_config_defaults
    @capture.capture_outputs
    def call(self, hidden, **kwargs):
        inner = self.tower(hidden, **kwargs)
        hidden = inner.last_hidden_state
        for block in self.layer:
            hidden = block(hidden)[0]
        return Output(last_hidden_state=hidden - 1, inner=inner)


class TorchAttention(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, hidden):
        return hidden * self.factor, hidden + self.factor


class TorchRouter(nn.Module):
    def forward(self, hidden):
        return hidden * 10


class TorchBlock(nn.Module):
    def __init__(self, index):
        super().__init__()
        self.self_attn = TorchAttention(index + 2.0)
        self.cross_attn = TorchAttention(index + 3.0)
        self.router = TorchRouter()

    def forward(self, hidden):
        hidden, _ = self.self_attn(hidden)
        hidden, _ = self.cross_attn(hidden)
        return (hidden + self.router(hidden), None)


class TorchInner(PreTrainedModel):
    config_class = Config
    _can_record_outputs = {"hidden_states": TorchBlock, "attentions": "self_attn"}  # noqa: RUF012

    def __init__(self, config):
        super().__init__(config)
        self.layer = nn.ModuleList([TorchBlock(i) for i in range(2)])

    @generic.merge_with_config_defaults
    @output_capturing.capture_outputs(tie_last_hidden_states=False)
    def forward(self, hidden, **kwargs):
        for block in self.layer:
            hidden = block(hidden)[0]
        return TorchOutput(last_hidden_state=hidden + 1)


class TorchOuter(PreTrainedModel):
    config_class = Config
    _can_record_outputs = table(
        TorchAttention, TorchBlock, TorchRouter, output_capturing.OutputRecorder
    )

    def __init__(self, config):
        super().__init__(config)
        self.tower = TorchInner(copy.deepcopy(config))
        self.layer = nn.ModuleList([TorchBlock(i) for i in range(config.num_hidden_layers)])

    @generic.merge_with_config_defaults
    @output_capturing.capture_outputs
    def forward(self, hidden, **kwargs):
        inner = self.tower(hidden, **kwargs)
        hidden = inner.last_hidden_state
        for block in self.layer:
            hidden = block(hidden)[0]
        return TorchOutput(last_hidden_state=hidden - 1, inner=inner)


X = np.random.default_rng(0).normal(size=(2, WIDTH)).astype("float32")


def assert_same(ours, theirs):
    if theirs is None:
        assert ours is None
    elif isinstance(theirs, TorchModelOutput):
        assert list(ours) == list(theirs)
        for key in theirs:
            assert_same(ours[key], theirs[key])
    elif isinstance(theirs, tuple):
        assert isinstance(ours, tuple) and len(ours) == len(theirs)
        for a, b in zip(ours, theirs, strict=True):
            assert_same(a, b)
    else:
        np.testing.assert_allclose(ops.convert_to_numpy(ours), theirs.numpy(), rtol=1e-6)


REQUESTS = [
    {},
    {"output_hidden_states": True},
    {"output_attentions": True},
    {"output_router_logits": True},
    {"output_hidden_states": True, "output_attentions": True, "output_router_logits": True},
    {"output_hidden_states": -1},
    {"output_hidden_states": 1},
    {"output_hidden_states": [0, -2]},
    {"output_hidden_states": [99, 2]},
    {"output_hidden_states": True, "return_dict": False},
    {"output_hidden_states": False},
]


@pytest.mark.parametrize("request_", REQUESTS)
def test_equals_upstream(request_):
    ours = Outer(Config())(ops.convert_to_tensor(X), **request_)
    theirs = TorchOuter(Config())(torch.tensor(X), **request_)
    assert_same(ours, theirs)


@pytest.mark.parametrize(
    "settings",
    [
        {"output_hidden_states": True},
        {"output_attentions": True},
        {"output_hidden_states": True, "tie_last_hidden_states": False},
        {"output_router_logits": True},
    ],
)
def test_the_config_may_ask(settings):
    config = Config(**settings)
    assert_same(
        Outer(config)(ops.convert_to_tensor(X)), TorchOuter(Config(**settings))(torch.tensor(X))
    )


def test_calls_do_not_add_up():
    model = Outer(Config())
    for _ in range(2):
        out = model(ops.convert_to_tensor(X), output_hidden_states=True)
        assert len(out.hidden_states) == DEPTH + 1 and len(out.inner.hidden_states) == 3
    # in a block: itself, two attentions and the router; in the tower's: itself and self_attn
    assert len(capture._plans[model]) == 4 * DEPTH + 2 * 2


def test_the_plan_is_made_once_and_goes_with_its_model():
    model = Outer(Config())
    before = len(capture._plans)
    model(ops.convert_to_tensor(X), output_attentions=True)
    plan = capture._plans[model]
    model(ops.convert_to_tensor(X), output_attentions=True)
    assert capture._plans[model] is plan and len(capture._plans) == before + 2
    del model
    keras.backend.clear_session()
    gc.collect()
    assert len(capture._plans) <= before


def test_wrappers_do_not_lengthen_paths():
    class Wrapper(Pretrained):
        main_layer = "self_attn"
        _can_record_outputs = {  # noqa: RUF012
            "hidden_states": capture.OutputRecorder(Block, layer_name="self_attn")
        }

        def __init__(self, config, **kwargs):
            super().__init__(config, **kwargs)
            self.self_attn = [Block(0)]

        @capture.capture_outputs(tie_last_hidden_states=False)
        def call(self, hidden, **kwargs):
            return Output(last_hidden_state=self.self_attn[0](hidden)[0])

    out = Wrapper(Config())(ops.convert_to_tensor(X), output_hidden_states=True)
    assert len(out.hidden_states) == 2  # a list under the name is no wrapper's main layer


def test_negative_indices_need_a_count():
    config = Config()
    del config.num_hidden_layers
    with pytest.raises(ValueError, match="Pass non-negative indices"):
        Inner(config)(ops.convert_to_tensor(X), output_hidden_states=-1)


def test_select_hidden_states_asks_for_what_a_method_uses():
    class Features(Outer):
        @capture.select_hidden_states("layer")
        def features(self, hidden, layer=-1, **kwargs):
            return self(hidden, **kwargs)

        @capture.select_hidden_states(lambda self: [0, 1])
        def first(self, hidden, **kwargs):
            return self(hidden, **kwargs)

    model = Features(Config())
    x = ops.convert_to_tensor(X)
    kept = [state is not None for state in model.features(x).hidden_states]
    assert kept == [False] * DEPTH + [True]
    kept = [state is not None for state in model.first(x).hidden_states]
    assert kept == [True, True] + [False] * (DEPTH - 1)
    kept = [s is not None for s in model.first(x, output_hidden_states=True).hidden_states]
    assert all(kept)


def test_can_return_tuple_and_return_dict():
    class Head(Pretrained):
        def __init__(self, config, **kwargs):
            super().__init__(config, **kwargs)
            self.model = Inner(Config())

        @capture.can_return_tuple
        def call(self, hidden, **kwargs):
            return self.model(hidden, **kwargs)

    x = ops.convert_to_tensor(X)
    assert isinstance(Head(Config())(x), Output)
    assert isinstance(Head(Config())(x, return_dict=None), Output)
    assert isinstance(Head(Config())(x, return_dict=False), tuple)
    assert isinstance(Head(Config(return_dict=False))(x), tuple)


def test_config_defaults_reach_the_call():
    seen = {}

    class Model(Pretrained):
        @capture.merge_with_config_defaults
        def call(self, hidden, use_cache=None, **kwargs):
            seen.update(use_cache=use_cache, causal=self.config.is_causal, **kwargs)
            return hidden

    config = Config()
    config.use_cache, config.vision_feature_select_strategy, config.is_causal = True, "full", True
    model, x = Model(config), ops.convert_to_tensor(X)
    model(x)
    assert seen["use_cache"] is True and seen["vision_feature_select_strategy"] == "full"
    model(x, False, is_causal=False)
    assert seen["use_cache"] is False and seen["is_causal"] is seen["causal"] is False
    assert config.is_causal is True
    with pytest.raises(ValueError, match="got 'some'"):
        model(x, vision_feature_select_strategy="some")
    del config.is_causal
    seen.clear()
    with pytest.raises(AttributeError):
        model(x)
    model(x, is_causal=True)
    assert not hasattr(config, "is_causal")


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="tf.function")
@pytest.mark.parametrize("jit", [False, True])
def test_graphs_capture_too(jit):
    import tensorflow as tf

    model = Outer(Config())
    graph = tf.function(
        lambda x: model(x, output_hidden_states=True, output_attentions=True),
        jit_compile=jit,
        input_signature=[tf.TensorSpec((None, WIDTH))],
    )
    for rows in (2, 1):
        wanted = TorchOuter(Config())(
            torch.tensor(X[:rows]), output_hidden_states=True, output_attentions=True
        )
        assert_same(graph(X[:rows]), wanted)


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="jax.jit")
def test_jit_captures_too():
    import jax

    model = Outer(Config())
    asked = {"output_hidden_states": True, "output_attentions": True}
    found = jax.jit(lambda x: model(x, **asked))(X)
    assert_same(found, TorchOuter(Config())(torch.tensor(X), **asked))


def test_functional_models_capture_too():
    inputs = keras.Input((WIDTH,))
    out = Outer(Config())(inputs, output_hidden_states=True)
    assert len(out.hidden_states) == DEPTH + 1
    model = keras.Model(inputs, out.hidden_states[1])
    theirs = TorchOuter(Config())(torch.tensor(X), output_hidden_states=True)
    assert_same(model(ops.convert_to_tensor(X)), theirs.hidden_states[1])


def test_modalities_get_their_own_arguments():
    def features(self, pixels=None, image_sizes=None, **kwargs):
        return pixels, image_sizes, kwargs

    given = {
        "pixels": 1,
        "image_sizes": 2,
        "image_cu_seqlens": 3,
        "video_cu_seqlens": 4,
        "cu_seq_lens_q": 5,
        "other": 6,
    }
    ours = capture.accepts_precomputed_kwargs("image")(features)(None, **given)
    theirs = generic.accepts_precomputed_kwargs("image")(features)(None, **given)
    assert ours == theirs == (1, 2, {"cu_seqlens": 3, "other": 6})
