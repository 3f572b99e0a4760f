"""The small functions around layers, against upstream's."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import torch
from keras import ops
from transformers import modeling_utils, pytorch_utils

from keraform.runtime import chunking

X = np.random.default_rng(0).normal(size=(2, 6, 3)).astype("float32")


@pytest.mark.parametrize("size", [0, 2, 3, 6])
def test_chunks_give_the_whole(size):
    def forward(x, y):
        return x + y * 2

    found = chunking.apply_chunking_to_forward(
        forward, size, 1, ops.convert_to_tensor(X), ops.convert_to_tensor(X + 1)
    )
    wanted = pytorch_utils.apply_chunking_to_forward(
        forward, size, 1, torch.tensor(X), torch.tensor(X + 1)
    )
    np.testing.assert_allclose(ops.convert_to_numpy(found), wanted.numpy(), rtol=1e-6)


def test_chunks_that_do_not_fit_are_refused():
    x = ops.convert_to_tensor(X)
    with pytest.raises(ValueError, match="set the chunk size of the config to 0"):
        chunking.apply_chunking_to_forward(lambda x: x, 4, 1, x)
    with pytest.raises(ValueError, match="Expected 2 tensors"):
        chunking.apply_chunking_to_forward(lambda x, y: x, 2, 1, x)
    with pytest.raises(ValueError, match="got none"):
        chunking.apply_chunking_to_forward(lambda x: x, 2, 1)


@pytest.mark.parametrize(
    "keep",
    [
        0,
        1,
        4,
        9,
        np.array([0, 5, 2]),
        np.array([[1, 1], [5, 0]]),
        np.arange(12).reshape(2, 6) % 3 == 0,
    ],
    ids=str,
)
def test_logits_to_keep(keep):
    is_array = isinstance(keep, np.ndarray)
    found = chunking.slice_logits_to_keep(
        ops.convert_to_tensor(X), ops.convert_to_tensor(keep) if is_array else keep
    )
    wanted = modeling_utils.slice_logits_to_keep(
        torch.tensor(X), torch.tensor(keep) if is_array else keep
    )
    np.testing.assert_array_equal(ops.convert_to_numpy(found), wanted.numpy())


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="tf.function")
def test_logits_to_keep_in_a_graph():
    import tensorflow as tf

    run = tf.function(
        chunking.slice_logits_to_keep,
        input_signature=[tf.TensorSpec((None, None, 3)), tf.TensorSpec((), "int64")],
    )
    for keep in (0, 1, 4, 9):
        wanted = modeling_utils.slice_logits_to_keep(torch.tensor(X), keep)
        np.testing.assert_array_equal(run(X, keep).numpy(), wanted.numpy())


def test_cached_methods_forget_tensors():
    calls = []

    class Layer:
        @chunking.compile_compatible_method_lru_cache(maxsize=4)
        def table(self, size, bias=None):
            calls.append(size)
            return size + 1

    layer = Layer()
    assert [layer.table(2), layer.table(2), layer.table(3)] == [3, 3, 4] and calls == [2, 3]
    layer.table(2, bias=ops.ones(()))
    layer.table(2, bias=[1])
    assert calls == [2, 3, 2, 2]


def test_numbers():
    assert chunking.torch_int(3.7) == 3 and isinstance(chunking.torch_float(2), float)
    rows, columns = chunking.meshgrid(ops.arange(2), ops.arange(3))
    assert tuple(rows.shape) == tuple(columns.shape) == (2, 3)
    rows, _ = chunking.meshgrid([ops.arange(2), ops.arange(3)], indexing="xy")
    assert tuple(rows.shape) == (3, 2)
    arguments = {"max_seqlen": 4}
    assert chunking.get_max_seqlen(None, None, arguments) == 4 and arguments == {}
    assert chunking.get_max_seqlen(None, None) is None
    chunking.torch_compilable_check(ops.ones(3) > 0, "fine")
    with pytest.raises(ValueError, match="not fine"):
        chunking.torch_compilable_check(lambda: False, lambda: "not fine")
