"""Masks against upstream's eager masks: equal everywhere, and None where upstream has None."""

from __future__ import annotations

import importlib.util
import inspect
import itertools
import os
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import torch
from keras import ops
from transformers import cache_utils, masking_utils

from keraform.runtime import caches, masks
from keraform.runtime.renamed import RENAMED

BATCH, LENGTH, WIDTH = 3, 7, 5

# what the installed release calls the cache; ours has all names
CACHE = next(
    name
    for name in (*RENAMED, *RENAMED.values())
    if name in inspect.signature(masking_utils.create_causal_mask).parameters
)
NO_CACHE = {CACHE: None}
# the older mask functions, in the releases that have them
OLD_MASKS = "modeling_attn_mask_utils"
if importlib.util.find_spec(f"transformers.{OLD_MASKS}") is None:
    OLD_MASKS = ""

PADDING = {
    "none": None,
    "full": np.ones((BATCH, LENGTH), "int64"),
    "right": np.array([[1] * 7, [1] * 5 + [0] * 2, [1] * 2 + [0] * 5]),
    "left": np.array([[1] * 7, [0] * 3 + [1] * 4, [0] * 6 + [1]]),
    "one row closed": np.array([[1] * 7, [0] * 7, [1] * 6 + [0]]),
}
FUNCTIONS = (
    "create_causal_mask",
    "create_bidirectional_mask",
    "create_sliding_window_causal_mask",
    "create_bidirectional_sliding_window_mask",
    "create_chunked_causal_mask",
    "create_recurrent_attention_mask",
)
DTYPES = ["float32", "float16", "bfloat16"]
if keras.backend.backend() != "jax" or os.environ.get("JAX_ENABLE_X64"):
    DTYPES.append("float64")


def config(**settings):
    return SimpleNamespace(
        **{
            "_attn_implementation": "eager",
            "sliding_window": 3,
            "attention_chunk_size": 4,
            **settings,
        }
    )


def embeds(length: int = LENGTH, dtype: str = "float32"):
    """The same zeros [b, q, m] for Keras and for torch."""
    return (
        ops.zeros((BATCH, length, WIDTH), dtype=dtype),
        torch.zeros(BATCH, length, WIDTH, dtype=getattr(torch, dtype)),
    )


def both(value):
    if value is None:
        return None, None
    return ops.convert_to_tensor(value), torch.tensor(value)


def assert_same(ours, theirs):
    if theirs is None:
        assert ours is None
        return
    assert ours is not None
    assert keras.backend.standardize_dtype(ours.dtype) == str(theirs.dtype).removeprefix("torch.")
    wide = "float64" if theirs.dtype is torch.float64 else "float32"
    found = ops.convert_to_numpy(ops.cast(ours, wide))
    wanted = theirs.to(getattr(torch, wide)).numpy()
    assert found.shape == wanted.shape
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize(
    ("function", "padding", "dtype"), list(itertools.product(FUNCTIONS, PADDING, DTYPES))
)
def test_equals_upstream_without_cache(function, padding, dtype):
    ours_embeds, theirs_embeds = embeds(dtype=dtype)
    mask, torch_mask = both(PADDING[padding])
    ours = getattr(masks, function)(config(), ours_embeds, mask, **NO_CACHE)
    theirs = getattr(masking_utils, function)(config(), theirs_embeds, torch_mask, **NO_CACHE)
    if function == "create_recurrent_attention_mask" and ours is not None:
        np.testing.assert_array_equal(ops.convert_to_numpy(ours), theirs.numpy())
    else:
        assert_same(ours, theirs)


def caches_of(kind: str, seen: tuple[int, ...]):
    """A cache of ours and of upstream's, after updates of these lengths."""
    settings = {"sliding": {"sliding_window": 3}, "full": {}, "static": {}, "static sliding": {}}
    from transformers import LlamaConfig, MistralConfig

    base = MistralConfig if "sliding" in kind else LlamaConfig
    model_config = base(
        num_hidden_layers=2, hidden_size=8, num_attention_heads=2, **settings.get(kind, {})
    )
    if kind == "static sliding":
        model_config.sliding_window = 3
    if kind.startswith("static"):
        ours = caches.StaticCache(model_config, max_cache_len=16)
        theirs = cache_utils.StaticCache(model_config, max_cache_len=16)
    else:
        ours = caches.DynamicCache(config=model_config)
        theirs = cache_utils.DynamicCache(config=model_config)
    rng = np.random.default_rng(0)
    for length, layer in itertools.product(seen, range(2)):
        keys = rng.normal(size=(BATCH, 2, length, 4)).astype("float32")
        got = ours.update(ops.convert_to_tensor(keys), ops.convert_to_tensor(keys + 1), layer)
        want = theirs.update(torch.tensor(keys), torch.tensor(keys + 1), layer)
        for a, b in zip(got, want, strict=True):
            np.testing.assert_array_equal(ops.convert_to_numpy(a), b.numpy())
    return ours, theirs


@pytest.mark.parametrize("kind", ["full", "sliding", "static", "static sliding"])
@pytest.mark.parametrize("seen", [(), (2,), (5,), (2, 1, 1), (2, 4)])
@pytest.mark.parametrize("new", [1, 4])
@pytest.mark.parametrize("padded", [False, True])
def test_equals_upstream_with_cache(kind, seen, new, padded):
    ours_cache, theirs_cache = caches_of(kind, seen)
    total = sum(seen) + new
    padding = None
    if padded:
        padding = np.ones((BATCH, total), "int64")
        padding[1, :2] = 0
        padding[2] = 0
    mask, torch_mask = both(padding)
    ours_embeds, theirs_embeds = embeds(new)
    name = "create_sliding_window_causal_mask" if "sliding" in kind else "create_causal_mask"
    names = [name, "create_chunked_causal_mask"] if "sliding" in kind else [name]
    for name in names:
        ours = getattr(masks, name)(config(), ours_embeds, mask, ours_cache)
        theirs = getattr(masking_utils, name)(config(), theirs_embeds, torch_mask, theirs_cache)
        assert_same(ours, theirs)


@pytest.mark.parametrize("function", ["create_causal_mask", "create_sliding_window_causal_mask"])
def test_packed_sequences_are_told_apart_by_position_ids(function):
    ours_embeds, theirs_embeds = embeds()
    packed = np.array([[0, 1, 2, 0, 1, 0, 1]] * BATCH)
    plain = np.arange(LENGTH)[None]
    for positions in (packed, packed[:1], plain):
        ours_ids, theirs_ids = both(positions)
        ours = getattr(masks, function)(config(), ours_embeds, None, None, position_ids=ours_ids)
        theirs = getattr(masking_utils, function)(
            config(), theirs_embeds, None, None, position_ids=theirs_ids
        )
        assert_same(ours, theirs)


def test_four_dimensional_masks_are_returned_as_they_are():
    ours_embeds, _ = embeds()
    given = ops.zeros((BATCH, 1, LENGTH, LENGTH))
    for function in FUNCTIONS[:-1]:
        assert getattr(masks, function)(config(), ours_embeds, given, **NO_CACHE) is given


def test_four_dimensional_booleans_are_what_torch_adds_of_them():
    ours_embeds, _ = embeds()
    given = np.tri(LENGTH, dtype="bool") & np.ones((BATCH, 1, 1, LENGTH), "bool")
    ours = masks.create_bidirectional_mask(config(), ours_embeds, ops.array(given), **NO_CACHE)
    scores = np.random.default_rng(0).normal(size=given.shape).astype("float32")
    added = torch.from_numpy(scores) + torch.from_numpy(given)
    np.testing.assert_array_equal(ops.convert_to_numpy(ops.array(scores) + ours), added.numpy())


def test_config_can_make_a_decoder_bidirectional():
    ours_embeds, theirs_embeds = embeds()
    mask, torch_mask = both(PADDING["left"])
    settings = config(is_causal=False)
    for function in ("create_causal_mask", "create_sliding_window_causal_mask"):
        ours = getattr(masks, function)(settings, ours_embeds, mask, None)
        theirs = getattr(masking_utils, function)(settings, theirs_embeds, torch_mask, None)
        assert_same(ours, theirs)


def test_cross_attention_masks_have_the_encoders_length():
    ours_embeds, theirs_embeds = embeds(2)
    ours_encoder, theirs_encoder = embeds()
    for padding in PADDING.values():
        mask, torch_mask = both(padding)
        ours = masks.create_bidirectional_mask(
            config(), ours_embeds, mask, encoder_hidden_states=ours_encoder
        )
        theirs = masking_utils.create_bidirectional_mask(
            config(), theirs_embeds, torch_mask, encoder_hidden_states=theirs_encoder
        )
        assert_same(ours, theirs)


def test_extra_mask_functions_and_blocks():
    ours_embeds, theirs_embeds = embeds()
    mask, torch_mask = both(PADDING["right"])
    blocks = np.array([[-1, 0, 0, 0, -1, 1, 1]] * BATCH)
    ours_blocks, theirs_blocks = both(blocks)

    def even(batch_idx, head_idx, q_idx, kv_idx):
        return kv_idx % 2 == 0

    for extra in ({"or_mask_function": even}, {"and_mask_function": even}):
        ours = masks.create_causal_mask(config(), ours_embeds, mask, None, **extra)
        theirs = masking_utils.create_causal_mask(
            config(), theirs_embeds, torch_mask, None, **extra
        )
        assert_same(ours, theirs)
    for function in ("create_causal_mask", "create_sliding_window_causal_mask"):
        ours = getattr(masks, function)(
            config(), ours_embeds, mask, None, block_sequence_ids=ours_blocks
        )
        theirs = getattr(masking_utils, function)(
            config(), theirs_embeds, torch_mask, None, block_sequence_ids=theirs_blocks
        )
        assert_same(ours, theirs)


def test_masks_for_generate_are_keyed_by_layer_type():
    from transformers import Gemma2Config, LlamaConfig

    ours_embeds, theirs_embeds = embeds()
    mask, torch_mask = both(PADDING["left"])
    for cls in (Gemma2Config, LlamaConfig):
        settings = cls(num_hidden_layers=2, sliding_window=3)
        settings._attn_implementation = "eager"
        ours = masks.create_masks_for_generate(settings, ours_embeds, mask, None)
        theirs = masking_utils.create_masks_for_generate(settings, theirs_embeds, torch_mask, None)
        if not isinstance(theirs, dict):
            ours, theirs = {"": ours}, {"": theirs}
        assert set(ours) == set(theirs)
        for key, wanted in theirs.items():
            assert_same(ours[key], wanted)


def test_packed_sequences_stay_apart_when_blocks_reach_over_them():
    ours_embeds, _ = embeds()
    positions, _ = both(np.array([[0, 1, 2, 0, 1, 0, 1]] * BATCH))
    blocks, _ = both(np.array([[-1, 0, 0, 0, -1, 1, 1]] * BATCH))
    made = masks.create_causal_mask(
        config(), ours_embeds, None, None, positions, block_sequence_ids=blocks
    )
    is_open = ops.convert_to_numpy(made)[0, 0] == 0
    assert is_open[1, 2] and is_open[5, 6]  # blocks look ahead
    assert not is_open[2, 3] and not is_open[3, 2]  # but not into another sequence


@pytest.mark.parametrize("older", RENAMED)
def test_the_cache_goes_by_its_older_names_too(older):
    ours_embeds, _ = embeds(1)
    cache, _ = caches_of("full", (2, 4))
    by_name = masks.create_causal_mask(config(), ours_embeds, None, **{older: cache})
    assert by_name.shape[-1] == 7
    assert_same(by_name, torch.tensor(ops.convert_to_numpy(by_name) * 0))


def newer_causal(mask, length, past, window):
    """The older function's mask, said by today's functions: its window counts one key more."""
    pattern = masking_utils.causal_mask_function
    if window is not None:
        pattern = masking_utils.sliding_window_causal_mask_function(window + 1)
    return masking_utils.eager_mask(
        BATCH, length, length + past, past, 0, pattern, mask, allow_is_causal_skip=False
    )


def newer_bidirectional(mask, length):
    pattern = masking_utils.bidirectional_mask_function
    return masking_utils.eager_mask(BATCH, length, LENGTH, 0, 0, pattern, mask)


@pytest.mark.filterwarnings("ignore:The attention mask API")
@pytest.mark.parametrize("padding", list(PADDING))
@pytest.mark.parametrize("past", [0, 3])
@pytest.mark.parametrize("window", [None, 2])
def test_older_mask_functions(padding, past, window):
    ours_embeds, theirs_embeds = embeds(LENGTH - past)
    mask, torch_mask = both(PADDING[padding])
    length = LENGTH - past
    shape = (BATCH, length)
    as_bool = None if torch_mask is None else torch_mask.bool()
    causal = masks._prepare_4d_causal_attention_mask(mask, shape, ours_embeds, past, window)
    assert_same(causal, newer_causal(as_bool, length, past, window))
    if mask is not None:
        both_ways = masks._prepare_4d_attention_mask(mask, "float32", tgt_len=length)
        assert_same(both_ways, newer_bidirectional(as_bool, length))
    if not OLD_MASKS:
        return
    old = importlib.import_module(f"transformers.{OLD_MASKS}")
    made = old._prepare_4d_causal_attention_mask(torch_mask, shape, theirs_embeds, past, window)
    assert_same(causal, made)
    if mask is not None:
        made = old._prepare_4d_attention_mask(torch_mask, torch.float32, length)
        assert_same(both_ways, made)


def test_a_wrong_setting_is_named():
    ours_embeds, _ = embeds()
    with pytest.raises(ValueError, match=r"Set config\.sliding_window to a number of tokens"):
        masks.create_sliding_window_causal_mask(
            config(sliding_window=None), ours_embeds, None, None
        )
    with pytest.raises(RuntimeError, match="Pass functions of"):
        masks.and_masks(masks.causal_mask_function, 3)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="tf.function")
@pytest.mark.parametrize("jit", [False, True])
def test_graphs_with_unknown_sizes_give_the_same_masks(jit):
    import tensorflow as tf

    def run(inputs, mask):
        sizes = config()
        return [
            getattr(masks, function)(sizes, inputs, mask, **NO_CACHE) for function in FUNCTIONS[:-1]
        ]

    graph = tf.function(
        run,
        jit_compile=jit,
        input_signature=[
            tf.TensorSpec((None, None, WIDTH), "float32"),
            tf.TensorSpec((None, None), "int64"),
        ],
    )
    for padding in ("left", "full", "one row closed"):
        for rows, length in ((3, 7), (2, 5)):
            mask = PADDING[padding][:rows, :length]
            made = graph(tf.zeros((rows, length, WIDTH)), tf.constant(mask))
            theirs_embeds = torch.zeros(rows, length, WIDTH)
            for function, ours in zip(FUNCTIONS[:-1], made, strict=True):
                theirs = getattr(masking_utils, function)(
                    config(), theirs_embeds, torch.tensor(mask), **NO_CACHE
                )
                if theirs is None:  # a graph cannot read the mask, and has zeros instead
                    theirs = torch.zeros(rows, 1, length, length)
                assert_same(ours, theirs)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="tf.function")
def test_graphs_with_unknown_sizes_and_a_cache():
    import tensorflow as tf

    spec = tf.TensorSpec((None, None, WIDTH), "float32")

    @tf.function(input_signature=[spec, spec, tf.TensorSpec((None, None), "int64")])
    def run(first, second, mask):
        full, sliding = caches.DynamicCache(), caches.Cache([caches.DynamicSlidingWindowLayer(3)])
        made = []
        for inputs in (first, second):
            length = ops.shape(inputs)[1]
            seen = mask[:, : full.get_seq_length() + length]
            made.append(masks.create_causal_mask(config(), inputs, seen, full))
            made.append(masks.create_sliding_window_causal_mask(config(), inputs, seen, sliding))
            for cache in (full, sliding):
                cache.update(inputs[:, None], inputs[:, None], 0)
        return made

    for first, second in ((4, 3), (1, 6), (6, 1)):
        got = run(
            tf.zeros((3, first, WIDTH)), tf.zeros((3, second, WIDTH)), tf.constant(PADDING["left"])
        )
        full = cache_utils.DynamicCache()
        sliding = cache_utils.Cache([cache_utils.DynamicSlidingWindowLayer(3)])
        wanted = []
        for length in (first, second):
            inputs = torch.zeros(3, length, WIDTH)
            seen = torch.tensor(PADDING["left"])[:, : full.get_seq_length() + length]
            wanted.append(masking_utils.create_causal_mask(config(), inputs, seen, full))
            wanted.append(
                masking_utils.create_sliding_window_causal_mask(config(), inputs, seen, sliding)
            )
            for cache in (full, sliding):
                cache.update(inputs[:, None], inputs[:, None], 0)
        for ours, theirs in zip(got, wanted, strict=True):
            assert_same(ours, theirs)


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="jax.jit")
def test_jit_gives_the_same_masks():
    import jax

    @jax.jit
    def run(inputs, mask):
        return [
            getattr(masks, function)(config(), inputs, mask, **NO_CACHE)
            for function in FUNCTIONS[:-1]
        ]

    made = run(embeds()[0], PADDING["left"])
    for function, ours in zip(FUNCTIONS[:-1], made, strict=True):
        theirs = getattr(masking_utils, function)(
            config(), embeds()[1], torch.tensor(PADDING["left"]), **NO_CACHE
        )
        assert_same(ours, theirs)
