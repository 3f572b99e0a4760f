"""The sum that replaces XLA's depthwise convolution on a CPU equals the convolution."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

from keraform.runtime import depthwise as room
from keraform.runtime.tracing import compiles_for_cpu

CASES = [
    # sizes, taps, stride, dilation
    ((9,), (4,), 1, 1),
    ((9,), (3,), 2, 1),
    ((11,), (3,), 1, 2),
    ((8, 9), (3, 3), 1, 1),
    ((9, 8), (2, 3), 2, 1),
    ((9, 8), (3, 2), 1, 2),
    ((7, 7), (7, 7), 1, 1),
]

on_tensorflow = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="asks TensorFlow for XLA"
)


@pytest.mark.parametrize("case", CASES, ids=str)
@on_tensorflow
def test_sum_equals_convolution(case, monkeypatch):
    import tensorflow as tf

    sizes, taps, stride, dilation = case
    rng = np.random.default_rng(0)
    x = ops.convert_to_tensor(rng.normal(size=(2, *sizes, 5)))
    kernel = ops.convert_to_tensor(rng.normal(size=(*taps, 1, 5)))
    steps = (stride,) * len(taps), (dilation,) * len(taps)
    wanted = room.depthwise(x, kernel, *steps)

    called = []
    terms = room._shifted_products
    monkeypatch.setattr(room, "_shifted_products", lambda *given: called.append(1) or terms(*given))
    compiled = tf.function(lambda x, k: room.depthwise(x, k, *steps), jit_compile=True)
    np.testing.assert_allclose(compiled(x, kernel), wanted, rtol=1e-12, atol=1e-12)
    assert called == [1]


@on_tensorflow
def test_large_kernels_and_multipliers_stay_convolutions(monkeypatch):
    import tensorflow as tf

    monkeypatch.setattr(room, "_shifted_products", None)
    for shape, taps, filters in [((1, 200, 2), 150, 2), ((1, 9, 2), 3, 4)]:
        x, kernel = tf.ones(shape), tf.ones((taps, 1, filters))
        made = tf.function(
            lambda x=x, kernel=kernel: room.depthwise(x, kernel, (1,), (1,)), jit_compile=True
        )()
        np.testing.assert_allclose(made, np.full((1, shape[1] - taps + 1, filters), taps))


@on_tensorflow
def test_compiles_for_cpu_only_under_xla():
    import tensorflow as tf

    seen = []

    def look():
        seen.append(compiles_for_cpu())
        return tf.zeros(())

    look()
    tf.function(look)()
    tf.function(look, jit_compile=True)()
    assert seen == [False, False, not tf.config.get_visible_devices("GPU")]
