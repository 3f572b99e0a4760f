"""Products of one row under XLA: shared among cores, and the same numbers."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from keraform.generation.choosing import highest
from keraform.runtime import layers
from keraform.runtime.layers.tying import matmul_transposed

RNG = np.random.default_rng(0)
TABLE = RNG.normal(size=(1030, 256)).astype("float32")


def products(function, inputs):
    """How many matrix products a program of XLA has, and what it gives."""
    program = tf.function(function, jit_compile=True, autograph=False)
    graph = program.get_concrete_function(inputs).graph
    count = sum(each.type in ("MatMul", "BatchMatMulV2") for each in graph.get_operations())
    return count, program(inputs).numpy()


@pytest.mark.parametrize(("shape", "count"), [((1, 1, 256), 0), ((2, 1, 256), 1)])
def test_one_row_times_a_kernel_is_a_loop(shape, count):
    layer = layers.Dense(256, 2048)
    inputs = RNG.normal(size=shape).astype("float32")
    found, outputs = products(layer, inputs)
    assert found == count
    wanted = inputs @ layer.kernel.numpy() + layer.bias.numpy()
    np.testing.assert_allclose(outputs, wanted, atol=2e-5)


def test_a_small_kernel_is_one_product():
    layer = layers.Dense(16, 8)
    assert products(layer, np.ones((1, 16), "float32"))[0] == 1


def test_one_row_times_a_table_is_two_products_of_its_halves():
    inputs = RNG.normal(size=(1, 1, 256)).astype("float32")
    found, outputs = products(lambda inputs: matmul_transposed(inputs, tf.constant(TABLE)), inputs)
    assert found == 2
    np.testing.assert_allclose(outputs, inputs @ TABLE.T, atol=2e-4)


def test_the_highest_is_the_first_of_equal_ones():
    scores = np.array([[1, 3, 3], [-np.inf, -0.0, 0.0], [2, 1, 0]], "float32")
    np.testing.assert_array_equal(highest(tf.constant(scores)), [1, 1, 0])
