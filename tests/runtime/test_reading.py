"""Numbers that models read, eagerly and while a graph is built."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

from keraform.runtime import ops as kf
from keraform.runtime.tracing import known_value

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="graphs of TensorFlow"
)


def traced(function, *specs, **options):
    import tensorflow as tf

    return tf.function(function, input_signature=specs, autograph=False, **options)


def vector(size=None):
    import tensorflow as tf

    return tf.TensorSpec([size], "int64")


def test_eager_numbers_are_read() -> None:
    assert kf.tolist(kf.tensor([[1, 2], [3, 4]])) == [[1, 2], [3, 4]]
    assert kf.item(kf.tensor(2.5)) == 2.5
    assert known_value(None) is None


@pytest.mark.parametrize("given", [ops.convert_to_tensor, np.asarray], ids=["captured", "constant"])
def test_a_graph_reads_what_is_made_of_constants(given) -> None:
    grid = given(np.array([[1, 2, 3], [1, 1, 2]]))
    seen = []

    def sizes(x):
        lengths = kf.cumsum(ops.prod(ops.convert_to_tensor(grid), axis=-1), dim=0)
        seen.append((kf.tolist(lengths), kf.item(lengths[-1])))
        inner = kf.cond(x[0] > 0, lambda: x * kf.item(lengths[0] * 2), lambda: x)
        return inner + ops.sum(ops.arange(kf.item(lengths[-1]), dtype="int64"))

    result = traced(sizes, vector(), jit_compile=True)(ops.ones(2, "int64"))
    assert seen[0] == ([6, 8], 8)
    assert np.asarray(result).tolist() == [12 + 28] * 2


def test_what_an_input_decides_stays_a_tensor_where_its_sizes_are_known() -> None:
    result = traced(lambda x: sum(kf.tolist(x)) + kf.item(x[:1]), vector(3))
    assert int(result(kf.tensor([1, 2, 3]))) == 7


def test_what_is_drawn_is_no_number() -> None:
    seeds = keras.random.SeedGenerator(1)

    def draw(x):
        assert known_value(keras.random.uniform((), seed=seeds)) is None
        return x

    traced(draw, vector())(ops.ones(2, "int64"))


def test_a_list_of_unknown_length_is_refused_with_a_way_out() -> None:
    with pytest.raises(ValueError, match="NumPy array, not as an input of the graph"):
        traced(lambda x: kf.tolist(x), vector())(ops.ones(2, "int64"))


@pytest.mark.parametrize("compiles", [False, True])
def test_rounds_that_read_numbers_are_written_one_by_one(compiles) -> None:
    sizes = np.array([[2, 3], [4, 1]])

    def step(index, total):
        height, width = kf.tolist(ops.convert_to_tensor(sizes)[index])
        return (total + ops.sum(ops.ones((height, width))),), (total,)

    def scan(x):
        (total,), _ = kf.scan(step, (x[0],), 2)
        return total

    import tensorflow as tf

    call = traced(scan, tf.TensorSpec([1], "float32"), jit_compile=compiles)
    assert float(call(ops.zeros(1))) == 10.0
