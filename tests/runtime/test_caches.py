"""Caches against upstream's: the same states, sizes and answers after the same updates."""

from __future__ import annotations

import copy
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import torch
from keras import ops
from transformers import cache_utils

from keraform.runtime import caches

BATCH, HEADS, SIZE = 2, 3, 4


def states(length: int, seed: int = 0):
    values = np.random.default_rng(seed).normal(size=(BATCH, HEADS, length, SIZE))
    values = values.astype("float32")
    return ops.convert_to_tensor(values), torch.tensor(values)


def assert_same(ours, theirs):
    if theirs is None:
        assert ours is None
    else:
        np.testing.assert_array_equal(ops.convert_to_numpy(ours), theirs.numpy())


def update_both(ours, theirs, length, layer=0, seed=0):
    keys, torch_keys = states(length, seed)
    values, torch_values = states(length, seed + 100)
    found = ours.update(keys, values, layer)
    wanted = theirs.update(torch_keys, torch_values, layer)
    for a, b in zip(found, wanted, strict=True):
        assert_same(a, b)


def linear(theirs):
    """Which layers are scans and nothing else; older releases count some that also attend."""
    return [
        isinstance(layer, cache_utils.LinearAttentionCacheLayerMixin)
        and not isinstance(layer, cache_utils.CacheLayerMixin)
        for layer in theirs.layers
    ]


def assert_same_answers(ours, theirs, layers=(0,)):
    for layer in layers:
        assert int(ours.get_seq_length(layer)) == int(theirs.get_seq_length(layer))
        assert int(ours.get_query_offset(layer)) == int(theirs.get_query_offset(layer))
        for query in (1, 5):
            assert ours.get_mask_sizes(query, layer) == theirs.get_mask_sizes(query, layer)
        assert ours.get_max_length(layer) == theirs.get_max_length(layer)
    for answer in ("is_sliding", "is_dummy", "is_compileable", "is_initialized"):
        assert getattr(ours, answer) == getattr(theirs, answer), answer
    assert ours.is_linear == linear(theirs)
    assert len(ours) == len(theirs) and repr(ours) == repr(theirs)


LAYERS = {
    "dynamic": ("DynamicLayer", {}),
    "sliding": ("DynamicSlidingWindowLayer", {"sliding_window": 4}),
    "static": ("StaticLayer", {"max_cache_len": 12}),
    "static sliding": ("StaticSlidingWindowLayer", {"max_cache_len": 12, "sliding_window": 4}),
    "indexed": ("DynamicIndexedLayer", {}),
    "static indexed": ("StaticIndexedLayer", {"max_cache_len": 12}),
    "hybrid": ("LinearAttentionAndFullAttentionLayer", {}),
    "hybrid sliding": ("LinearAttentionAndSlidingWindowAttentionLayer", {"sliding_window": 4}),
    "hybrid static": ("LinearAttentionAndStaticFullAttentionLayer", {"max_cache_len": 12}),
    "hybrid static sliding": (
        "LinearAttentionAndStaticSlidingWindowAttentionLayer",
        {"max_cache_len": 12, "sliding_window": 4},
    ),
}


def pair(kind: str):
    name, kwargs = LAYERS[kind]
    return (
        caches.Cache(layers=[getattr(caches, name)(**kwargs)]),
        cache_utils.Cache(layers=[getattr(cache_utils, name)(**kwargs)]),
    )


@pytest.mark.parametrize("kind", list(LAYERS))
@pytest.mark.parametrize("lengths", [(1,) * 6, (3, 1, 1), (6, 1, 2), (2, 5), (4, 1), (12,)])
def test_attention_layers(kind, lengths):
    ours, theirs = pair(kind)
    for step, length in enumerate(lengths):
        assert_same_answers(ours, theirs)
        update_both(ours, theirs, length, seed=step)
    assert_same_answers(ours, theirs)
    for name in ("keys", "values"):
        assert_same(getattr(ours.layers[0], name), getattr(theirs.layers[0], name))
    order = np.array([1, 0])
    ours.reorder_cache(ops.convert_to_tensor(order))
    theirs.reorder_cache(torch.tensor(order))
    assert_same(ours.layers[0].keys, theirs.layers[0].keys)
    ours.reset()
    theirs.reset()
    assert_same_answers(ours, theirs)
    update_both(ours, theirs, 2)


@pytest.mark.parametrize("kind", ["dynamic", "sliding", "indexed"])
@pytest.mark.parametrize("lengths", [(3,), (6, 2)])
@pytest.mark.parametrize("remove", [0, -1, -2])
def test_crop_and_rows(kind, lengths, remove):
    ours, theirs = pair(kind)
    for cache in (ours, theirs):
        cache.activate_past_recording()
    for step, length in enumerate(lengths):
        update_both(ours, theirs, length, seed=step)
    ours.crop(remove)
    theirs.crop(remove)
    assert_same_answers(ours, theirs)
    assert_same(ours.layers[0].keys, theirs.layers[0].keys)
    ours.batch_repeat_interleave(2)
    theirs.batch_repeat_interleave(2)
    assert_same(ours.layers[0].values, theirs.layers[0].values)
    chosen = np.array([0, 3, 1])
    ours.batch_select_indices(ops.convert_to_tensor(chosen))
    theirs.batch_select_indices(torch.tensor(chosen))
    assert_same(ours.layers[0].values, theirs.layers[0].values)


@pytest.mark.parametrize("kind", ["static", "static sliding", "static indexed"])
def test_a_static_cache_that_forgot_is_one_that_never_knew(kind):
    """Older releases of Transformers cannot crop these."""
    (forgot, _), (never, _) = pair(kind), pair(kind)
    for cache, lengths in ((forgot, (2, 1)), (never, (2,))):
        for step, length in enumerate(lengths):
            keys = states(length, step)[0]
            cache.update(keys, keys, 0)
            if "indexed" in kind:
                cache.update_indexer(keys[:, 0], 0)
    forgot.crop(-1)
    keys = states(1, 7)[0]
    found, wanted = forgot.update(keys, keys, 0)[0], never.update(keys, keys, 0)[0]
    assert int(forgot.get_seq_length()) == int(never.get_seq_length()) == 3
    assert_same(found, torch.tensor(ops.convert_to_numpy(wanted)))
    if "indexed" in kind:
        found = forgot.update_indexer(keys[:, 0], 0)
        assert_same(found, torch.tensor(ops.convert_to_numpy(never.update_indexer(keys[:, 0], 0))))
    with pytest.raises(ValueError, match=r"Call crop\(-n\)"):
        forgot.crop(1)
    assert forgot.is_croppable is (kind != "static sliding")
    if kind == "static sliding":  # what has left the window does not come back
        forgot.update(*(states(2)[0],) * 2, 0)
        with pytest.raises(RuntimeError, match="5 tokens in a window of 4"):
            forgot.crop(-1)


def test_values_may_have_another_dtype_than_keys():
    cache, _ = pair("static")
    keys = states(2)[0]
    cache.update(keys, ops.cast(keys, "float16"), 0)
    assert keras.backend.standardize_dtype(cache.layers[0].keys.dtype) == "float32"
    assert keras.backend.standardize_dtype(cache.layers[0].values.dtype) == "float16"


@pytest.mark.parametrize("record", [False, True])
@pytest.mark.parametrize("kernel", [None, 4])
@pytest.mark.parametrize("lengths", [(4, 1, 1), (2, 1, 3), (7, 2)])
def test_linear_layers(record, kernel, lengths):
    if kernel is None:
        lengths = (4, *lengths[1:])
    ours = caches.Cache(layers=[caches.LinearAttentionLayer(number_of_states=2)])
    theirs = cache_utils.Cache(layers=[cache_utils.LinearAttentionLayer(number_of_states=2)])
    if record:
        ours.activate_past_recording()
        theirs.activate_past_recording()
    assert ours.has_previous_state() is theirs.has_previous_state() is False
    assert ours.get_conv_state(0) is None and ours.get_recurrent_state(0) is None
    kwargs = {} if kernel is None else {"conv_kernel_size": kernel}
    for step, length in enumerate(lengths):
        for state in (0, 1):
            rng = np.random.default_rng(step + state)
            values = rng.normal(size=(2, 5, length)).astype("float32")
            assert_same(
                ours.update_conv_state(ops.convert_to_tensor(values), 0, state, **kwargs),
                theirs.update_conv_state(torch.tensor(values), 0, state, **kwargs),
            )
            assert_same(ours.get_conv_state(0, state), theirs.get_conv_state(0, state))
            assert_same(
                ours.update_recurrent_state(ops.convert_to_tensor(values[..., :1]), 0, state),
                theirs.update_recurrent_state(torch.tensor(values[..., :1]), 0, state),
            )
            assert ours.has_previous_state(0, state) and theirs.has_previous_state(0, state)
    assert ours.has_previous_state(0) is True
    assert ours.is_recording_past(0) is record
    assert ours.is_linear == theirs.is_linear == [True]
    assert ours.is_compileable is not record  # what is kept grows
    order = np.array([1, 1])
    ours.reorder_cache(ops.convert_to_tensor(order))
    theirs.reorder_cache(torch.tensor(order))
    assert_same(ours.get_recurrent_state(0, 1), theirs.get_recurrent_state(0, 1))
    if record:
        ours.crop(-1)
        theirs.crop(-1)
        assert_same(ours.get_conv_state(0), theirs.get_conv_state(0))
    ours.reset()
    assert ours.get_conv_state(0) is None


def test_indexer_keys():
    for kind in ("indexed", "static indexed"):
        ours, theirs = pair(kind)
        for step, length in enumerate((3, 1)):
            values = np.random.default_rng(step).normal(size=(2, length, 6)).astype("float32")
            assert_same(
                ours.update_indexer(ops.convert_to_tensor(values), 0),
                theirs.update_indexer(torch.tensor(values), 0),
            )


def test_caches_follow_the_config():
    from transformers import Gemma2Config, LlamaConfig, MistralConfig, Qwen3NextConfig, Zamba2Config

    for cls in (LlamaConfig, MistralConfig, Gemma2Config, Qwen3NextConfig, Zamba2Config):
        config = cls() if cls is Zamba2Config else cls(num_hidden_layers=4)
        ours, theirs = caches.DynamicCache(config=config), cache_utils.DynamicCache(config=config)
        assert repr(ours) == repr(theirs)
        assert repr(caches.StaticCache(config, 8)) == repr(cache_utils.StaticCache(config, 8))
        assert ours.is_sliding == theirs.is_sliding and ours.is_linear == linear(theirs)


def test_encoder_decoder_cache():
    ours = caches.EncoderDecoderCache(caches.DynamicCache(), caches.DynamicCache())
    theirs = cache_utils.EncoderDecoderCache(cache_utils.DynamicCache(), cache_utils.DynamicCache())
    for layer in (0, 1):
        update_both(ours.self_attention_cache, theirs.self_attention_cache, 2, layer)
        update_both(ours.cross_attention_cache, theirs.cross_attention_cache, 5, layer)
    assert len(ours) == 2 and ours.get_seq_length() == 2
    rebuilt = caches.EncoderDecoderCache(ours.self_attention_cache, ours.cross_attention_cache)
    wanted = cache_utils.EncoderDecoderCache(
        theirs.self_attention_cache, theirs.cross_attention_cache
    )
    assert rebuilt.is_updated == wanted.is_updated == {0: True, 1: True}
    for a, b in zip(ours, theirs, strict=True):
        for x, y in zip(a, b, strict=True):
            assert_same(x, y)
    again = caches.EncoderDecoderCache([row[:2] + row[3:5] for row in ours])
    wanted = theirs.cross_attention_cache.layers[1].keys
    assert_same(again.cross_attention_cache.layers[1].keys, wanted)
    ours.reset()
    assert ours.get_seq_length() == 0


def test_errors_say_what_to_do():
    cache = caches.DynamicCache()
    cache.update(*(states(2)[0],) * 2, 0)
    with pytest.raises(ValueError, match="layer 0 is a DynamicLayer"):
        cache.get_conv_state(0)
    with pytest.raises(NotImplementedError, match="Leave it out"):
        caches.DynamicCache(offloading=True)
    with pytest.raises(NotImplementedError, match=r"Use DynamicCache\(config=config\)"):
        caches.QuantizedCache("hqq", None)
    with pytest.raises(TypeError, match="Expected two caches"):
        caches.EncoderDecoderCache(cache, SimpleNamespace())
    with pytest.raises(ValueError, match=r"Call crop\(-n\)"):
        cache.crop(1)
    with pytest.raises(NotImplementedError, match="keeps no cache"):
        caches.DummyLayer().update(1, 2)


def test_layer_types_of_modeling_files_join_the_table():
    class OwnLayer(caches.DynamicLayer):
        _layer_type = "own_for_test"

    assert caches.DYNAMIC_LAYER_TYPE_MAPPING.pop("own_for_test") is OwnLayer


def test_copies_are_independent_and_trees_see_a_leaf():
    cache = caches.DynamicCache()
    cache.update(*(states(2)[0],) * 2, 0)
    copied = copy.deepcopy(cache)
    copied.update(*(states(1)[0],) * 2, 0)
    assert (cache.get_seq_length(), copied.get_seq_length()) == (2, 3)
    assert keras.tree.flatten({"cache": cache}) == [cache]


def decoded(step, kind: str):
    """Feed four lengths through a compiled step that takes and returns a cache."""
    ours, theirs = pair(kind)
    for turn, length in enumerate((3, 1, 1, 1)):
        keys, torch_keys = states(length, turn)
        got, ours = step(keys, ours)
        want, _ = theirs.update(torch_keys, torch_keys, 0)
        assert_same(got, want)
    assert int(ours.get_seq_length()) == 6


def one_step(keys, cache):
    cache = cache.copy()
    return cache.update(keys, keys, 0)[0], cache


KINDS = ["dynamic", "sliding", "static", "static sliding", "hybrid", "indexed"]


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="tf.function")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("jit", [False, True])
def test_tf_function_takes_and_returns_a_cache(kind, jit):
    import tensorflow as tf

    decoded(tf.function(one_step, jit_compile=jit), kind)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="tf.function")
def test_a_static_step_is_traced_once():
    import tensorflow as tf

    step = tf.function(one_step, jit_compile=True)
    ours, _ = pair("static")
    for turn in range(4):
        _, ours = step(states(1, turn)[0], ours)
    assert step.experimental_get_tracing_count() == 2  # empty, then filled


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="jax.jit")
@pytest.mark.parametrize("kind", KINDS)
def test_jit_takes_and_returns_a_cache(kind):
    import jax

    decoded(jax.jit(one_step), kind)
