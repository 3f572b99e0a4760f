"""What Python asks of the tensors of a graph."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

from keraform.runtime.layers import Layer

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="graphs of TensorFlow"
)


class Model(Layer):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def call(self, x):
        return self.function(x)


def graph(function, *shape, dtype="float32", **options):
    import tensorflow as tf

    spec = tf.TensorSpec(shape, dtype)
    return tf.function(Model(function), input_signature=[spec], autograph=False, **options)


def doubled_where_long(x):
    if ops.shape(x)[0] > 3 and ops.shape(x)[0] * 2 != 7:
        return x * 2
    return x


def test_a_condition_on_sizes_is_decided_for_usual_ones_and_checked() -> None:
    import tensorflow as tf

    call = graph(doubled_where_long, None)
    assert np.asarray(call(ops.ones(5))).tolist() == [2.0] * 5
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"for which this graph was made"):
        call(ops.ones(2))
    assert np.asarray(Model(doubled_where_long)(ops.ones(2))).tolist() == [1.0] * 2


def test_static_sizes_need_no_check() -> None:
    call = graph(doubled_where_long, 2, jit_compile=True)
    assert np.asarray(call(ops.ones(2))).tolist() == [1.0] * 2
    assert not any(
        op.type == "Assert" for op in call.get_concrete_function().graph.get_operations()
    )


def test_xla_which_leaves_out_checks_wants_static_sizes() -> None:
    with pytest.raises(ValueError, match="inputs of static shape"):
        graph(doubled_where_long, None, jit_compile=True)(ops.ones(5))


def test_what_values_decide_is_refused() -> None:
    with pytest.raises(ValueError, match=r"model\.run_eagerly = True"):
        graph(lambda x: x * 2 if ops.sum(x) > 0 else x, None)(ops.ones(5))


def test_rows_of_a_static_number_are_iterated_over() -> None:
    def total(x):
        first, second = x
        return first * second + sum(row for row in x)

    assert np.asarray(graph(total, 2, None)(ops.ones((2, 3)))).tolist() == [3.0] * 3
    with pytest.raises(ValueError, match="number of slices"):
        graph(total, None, None)(ops.ones((2, 3)))


def test_outside_of_models_tensorflow_refuses_as_ever() -> None:
    import tensorflow as tf

    graph(doubled_where_long, None)(ops.ones(5))  # which teaches the tensors

    @tf.function(autograph=False)
    def plain(x):
        return x if x > 0 else -x

    with pytest.raises(tf.errors.OperatorNotAllowedInGraphError):
        plain(tf.constant(1.0))


def test_a_branch_inside_of_a_branch_reads_sizes_of_the_graph_around() -> None:
    def nested(x):
        def inner():
            return x * 3 if ops.shape(x)[0] > 1 else x

        return ops.cond(ops.sum(x) > 0, inner, lambda: x)

    assert np.asarray(graph(nested, None)(ops.ones(4))).tolist() == [3.0] * 4


class Remembering(Layer):
    """Computes a table once, and keeps it."""

    def __init__(self):
        super().__init__()
        self.table = None

    def call(self, x):
        if self.table is None:
            self.table = x * 2
        return self.table + x


def test_what_a_layer_keeps_of_a_graph_is_forgotten_with_it() -> None:
    import tensorflow as tf

    layer = Remembering()
    for size in (2, 3):
        call = tf.function(Model(layer), autograph=False)
        assert np.asarray(call(ops.ones(size))).tolist() == [3.0] * size
        assert layer.table is None
    layer(ops.ones(4))
    assert np.asarray(layer.table).tolist() == [2.0] * 4


def test_what_a_reshape_infers_is_no_unknown_size() -> None:
    def heads(x):
        batch, length, _ = ops.shape(x)
        split = ops.reshape(x, (batch, length, -1, 2))
        split = ops.transpose(split, (0, 2, 1, 3))
        return split * 2 if ops.shape(split)[1] == 3 else split

    call = graph(heads, None, None, 6)
    assert np.asarray(call(ops.ones((2, 5, 6)))).sum() == 2 * 60
