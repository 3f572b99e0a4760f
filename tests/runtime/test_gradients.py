"""Functions whose gradient is given: the value is `forward`'s, the gradient `backward`'s."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch
from keras import ops

from keraform.runtime import layers
from keraform.runtime.gradients import Function


class Doubled(Function):
    """Its gradient is not that of the product, so that it is seen which one counts."""

    @staticmethod
    def forward(ctx: Any, x: Any, index: Any, scale: float, y: Any) -> Any:
        ctx.save_for_backward(x, y)
        ctx.scale = scale
        return ops.take(x, index, axis=0) * y * scale

    @staticmethod
    def backward(ctx: Any, gradient: Any) -> Any:
        x, _ = ctx.saved_tensors
        return ops.ones_like(x) * ctx.scale * ops.sum(gradient), None, None, None


class Plain(Function):
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        return x * x


@pytest.mark.parametrize("compiled", [False, True])
def test_the_gradient_is_the_given_one(compiled: bool) -> None:
    x, y = tf.constant([1.0, 2.0, 3.0]), tf.constant([5.0, 7.0])

    def step(x: Any, y: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch([x, y])
            value = Doubled.apply(x, tf.constant([0, 2]), 2.0, y)
            total = tf.reduce_sum(value)
        return value, *tape.gradient(total, [x, y])

    value, of_x, of_y = (tf.function(step, jit_compile=True) if compiled else step)(x, y)
    np.testing.assert_array_equal(value, [10.0, 42.0])
    np.testing.assert_array_equal(of_x, [4.0, 4.0, 4.0])
    np.testing.assert_array_equal(of_y, [0.0, 0.0])


def test_without_backward_it_is_that_of_forward() -> None:
    x = tf.constant([3.0])
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = Plain.apply(x)
    np.testing.assert_array_equal(tape.gradient(value, x), [6.0])


def test_a_row_that_is_looked_up_twice_is_trained_with_the_sum_of_its_gradients() -> None:
    ids = np.array([[1, 1, 2, 1]])
    weights = np.array([[[1.0], [-2.0], [0.5], [3.0]]], "float32")
    table = np.arange(15, dtype="float32").reshape(5, 3)
    layer = layers.Embedding(5, 3)
    layer.embeddings.assign(table)
    with tf.GradientTape() as tape:
        loss = ops.sum(layer(ids, training=True) * weights)
    gradient = tape.gradient(loss, layer.embeddings.value)
    keras.optimizers.Adam(0.1).apply([gradient], layer.trainable_variables)

    twin = torch.nn.Embedding.from_pretrained(torch.from_numpy(table.copy()), freeze=False)
    (twin(torch.from_numpy(ids)) * torch.from_numpy(weights)).sum().backward()
    torch.optim.Adam(twin.parameters(), 0.1).step()
    np.testing.assert_allclose(layer.embeddings, twin.weight.detach(), rtol=1e-5)
