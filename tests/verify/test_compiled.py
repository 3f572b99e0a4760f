"""Rung 7: what decides sizes is a constant of the graph, and the report says so."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

from keraform.runtime import ops as kf
from keraform.runtime.layers import Layer
from keraform.verify.outcome import PASS, ClassReport
from keraform.verify.rungs.compiled import compiled

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="graphs of TensorFlow"
)


class Text(Layer):
    def call(self, x, position_ids):
        return x + ops.cast(position_ids, x.dtype)


class Model(Layer):
    """Sums an image's patches by its grid; with `counts`, places are read from the tokens."""

    def __init__(self, counts):
        super().__init__()
        self.text = Text()
        self.counts = counts

    def call(self, x, grid=None, position_ids=None):
        if self.counts and position_ids is None:
            position_ids = kf.tensor([kf.tolist(row) for row in kf.unbind(ops.cast(x, "int64"))])
        x = self.text(x, position_ids=0 if position_ids is None else position_ids)
        if grid is None:
            return x
        tall, wide = kf.tolist(grid)[0]
        return ops.stack([x[:wide] for _ in range(tall)])


class Case:
    def __init__(self, counts, shape):
        self.counts, self.shape = counts, shape
        self.reads_itself = False
        self.variants = [self]
        self.port = self

    @property
    def inputs(self):
        return {"x": np.ones(self.shape, "float32"), "grid": np.array([self.shape[::-1]])}

    def build(self, dtype):
        return Model(self.counts)

    def resized(self):
        return Case(self.counts, (5, 2)).inputs

    def limit(self, stage, dtype, noise):
        return 1e-5


@pytest.mark.parametrize(
    ("counts", "also"), [(False, ""), (True, ", position_ids are computed before")]
)
def test_what_decides_sizes_is_a_constant(counts, also):
    report = ClassReport("Model")
    assert compiled(Case(counts, (3, 4)), report) == PASS
    constant = "rung 7: the values of grid are constants of the graph"
    assert report.remarks == [constant + also]


class Plain(Case):
    @property
    def inputs(self):
        return {"x": np.ones(self.shape, "float32")}

    def resized(self):
        return Plain(self.counts, (5, 2)).inputs


def test_nothing_is_constant_that_decides_nothing():
    with pytest.raises(ValueError, match="known while the graph is built"):
        compiled(Plain(True, (3, 4)), ClassReport("Model"))
