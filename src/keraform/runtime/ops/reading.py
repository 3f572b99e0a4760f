"""Numbers that leave tensors: what a model reads to decide how large something is."""

from __future__ import annotations

from typing import Any

from keras import ops

from keraform.errors import explain
from keraform.runtime.ops.shapes import unbind
from keraform.runtime.ops.tensors import Tensor, rank
from keraform.runtime.tracing import known_value


def item(x: Tensor) -> Any:
    """Returns the number in `x`; the scalar tensor itself where a graph's input decides it."""
    known = known_value(x)
    return ops.reshape(x, ()) if known is None else known.item()


def tolist(x: Tensor) -> Any:
    """Returns nested lists of the numbers in `x`, of scalar tensors where a graph's input decides
    them.

    Raises:
        ValueError: neither the numbers nor the sizes of `x` are known while the graph is built.
    """
    known = known_value(x)
    if known is not None:
        return known.tolist()
    if None in tuple(x.shape):
        raise ValueError(
            explain(
                "a tensor of static shape, or one that can be read while the graph is built",
                f"tolist() of shape {tuple(x.shape)} inside a graph",
                "give what decides sizes (such as a grid) as a NumPy array, not as an input of "
                "the graph; or model.run_eagerly = True",
            )
        )
    return x if rank(x) == 0 else [tolist(part) for part in unbind(x)]
