"""Where gradients are others than those of the code: given by hand, or none."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import keras
from keras import ops

from keraform.runtime.ops import dtypes
from keraform.runtime.ops.tensors import is_tensor


class no_grad(nullcontext[None]):
    """A context whose results have no gradient; `left` takes it from them."""


def left(context: Any, value: Any) -> Any:
    """Returns what a block in `context` gave: without a gradient where that is `no_grad`."""
    detached = isinstance(context, no_grad) and is_tensor(value)
    return ops.stop_gradient(value) if detached else value


def summed(table: Any) -> Any:
    """Returns a table of rows to look up, with a gradient that is one tensor.

    TensorFlow's own is a list with an entry for each row that was looked up (`tf.IndexedSlices`).
    Keras's Adam and its like square the entries one by one, so that a row that was looked up twice
    would be trained with a sum of squares in place of the square of the sum.

    Args:
        table: A weight, [rows, ...].
    """
    if keras.backend.backend() != "tensorflow":
        return table
    return ops.reshape(table, tuple(table.shape))  # TensorFlow's gradient of this is one tensor


class Context:
    """What `forward` leaves for `backward`."""

    saved_tensors: tuple[Any, ...] = ()

    def save_for_backward(self, *tensors: Any) -> None:
        """Keeps tensors as `saved_tensors`."""
        self.saved_tensors = tensors

    def mark_non_differentiable(self, *outputs: Any) -> None:
        """Nothing: integers have no gradient anyway."""

    def set_materialize_grads(self, value: bool) -> None:
        """Nothing: upstream gradients are always tensors."""


class Function:
    """Base of classes with static methods `forward(ctx, *args)` and `backward(ctx, *gradients)`.

    `backward` gets the gradients of what `forward` returned, and returns one gradient, or None, for
    each of its arguments. Without it, the gradient is that of `forward`.
    """

    forward: Callable[..., Any]
    backward: Callable[..., Any] | None = None

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Returns `forward(ctx, *args)`; its gradient is what `backward` says."""
        places = [i for i, arg in enumerate(args) if is_tensor(arg) and dtypes.is_floating(arg)]
        context = Context()
        backward = cls.backward
        if backward is None:
            return cls.forward(context, *args)

        @ops.custom_gradient
        def run(*tensors: Any) -> tuple[Any, Callable[..., Any]]:
            given = list(args)
            for place, tensor in zip(places, tensors, strict=True):
                given[place] = tensor

            def gradient(*gradients: Any, upstream: Any = None) -> Any:
                made = backward(context, *_separate(gradients if upstream is None else upstream))
                made = made if isinstance(made, tuple) else (made,)
                found = [
                    ops.zeros_like(tensor) if made[place] is None else made[place]
                    for place, tensor in zip(places, tensors, strict=True)
                ]
                return found[0] if len(found) == 1 else tuple(found)

            return cls.forward(context, *given), gradient

        return run(*(ops.convert_to_tensor(args[place]) for place in places))


def _separate(gradients: Any) -> Any:
    """The gradients one by one; JAX hands over those of a tuple as one tuple."""
    if not isinstance(gradients, (list, tuple)):
        return (gradients,)
    if len(gradients) == 1 and isinstance(gradients[0], (list, tuple)):
        return gradients[0]
    return gradients
