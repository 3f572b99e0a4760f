"""Where a layer of a model is made."""

from __future__ import annotations

from keraform.runtime import layers
from keraform.runtime.layers import Layer
from keraform.verify.localising.construction import construction_of


class Head(Layer):
    def __init__(self, wide: bool) -> None:
        super().__init__()
        self.summary = layers.Identity(name="summary")
        if wide:
            self.summary = layers.Dense(2, 3, name="summary")


def test_of_two_assignments_the_one_that_made_the_layer_is_named() -> None:
    dense = construction_of("summary.weight", Head(wide=True), [__file__])
    identity = construction_of("summary", Head(wide=False), [__file__])
    assert dense is not None and "layers.Dense" in dense.text
    assert identity is not None and "layers.Identity" in identity.text
