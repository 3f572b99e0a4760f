"""The token that a row of scores is highest for."""

from __future__ import annotations

from keras import ops

from keraform.runtime.layers import Tensor


def highest(scores: Tensor) -> Tensor:
    """[b] (int32), the first place of the largest of each row of [b, v].

    `ops.argmax` would go through the bits of numbers, for the sign of zero, which LiteRT cannot.
    """
    size = scores.shape[-1]
    largest = ops.max(scores, axis=-1, keepdims=True)
    places = ops.where(ops.equal(scores, largest), ops.arange(size, dtype="int32"), size - 1)
    return ops.min(places, axis=-1)
