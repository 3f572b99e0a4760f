"""What Python asks of the tensors of a graph, answered while a model is traced.

Models decide by sizes in plain Python: `if length > table:`, `for row in rows:`. A graph of
TensorFlow refuses such questions about what it does not know. Inside of a model they are answered:
by the numbers where these are known while the graph is built; for sizes that are not, as for usual
ones, with a check that stops the graph when it runs with others. What an input's values decide
stays refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, wraps
from typing import Any

import keras

from keraform.errors import explain
from keraform.runtime import tracing
from keraform.runtime.ops.dynamic import iterate
from keraform.runtime.tracing import USUAL, is_for_xla, known_value, usual_value


@contextmanager
def answered() -> Iterator[None]:
    """While active, tensors of graphs answer Python; those that layers keep are forgotten at the
    end of the outermost model, since they are of its graph alone.
    """
    _answer_python()
    with tracing.inside():
        yield


def truth(condition: Any) -> bool:
    """Whether a scalar of a graph is true.

    Raises:
        ValueError: the values of an input decide, or XLA, which leaves out the check, is to compile
            a graph whose sizes are not known.
    """
    known = known_value(condition)
    if known is not None:
        return bool(known)
    usual = None if is_for_xla() else usual_value(condition)
    if usual is None:
        raise ValueError(
            explain(
                "a condition that is known while the graph is built",
                f"{condition.name} of a graph's input",
                "inputs of static shape, or model.run_eagerly = True",
            )
        )
    import tensorflow as tf

    message = (
        f"expected: sizes for which a condition of the model is {bool(usual)}, as it is for "
        f"{USUAL}, for which this graph was made\ngot: others\n"
        "try: a graph of their static shape, or model.run_eagerly = True"
    )
    tf.debugging.Assert(tf.equal(condition, bool(usual)), [message])
    return bool(usual)


@cache
def _answer_python() -> None:
    """Teaches TensorFlow's symbolic tensors; outside of models they refuse as ever."""
    if keras.backend.backend() != "tensorflow":
        return
    from tensorflow.python.framework.ops import SymbolicTensor

    for name, answer in (("__bool__", truth), ("__iter__", iterate)):
        setattr(SymbolicTensor, name, _inside(answer, getattr(SymbolicTensor, name)))
    for name in _OPERATORS:
        setattr(SymbolicTensor, name, _of_any_width(getattr(SymbolicTensor, name)))


# Those by which models count on from the length of a cache, a scalar of a graph.
_OPERATORS = tuple(f"__{name}__" for name in "add radd sub rsub mul rmul lt le gt ge".split())


def _of_any_width(operator: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """An operator that gives a scalar integer the width of the integers beside it, as PyTorch does;
    TensorFlow refuses to mix widths.
    """

    @wraps(operator)
    def apply(left: Any, right: Any) -> Any:
        if tracing.is_inside() and _is_integer(left) and _is_integer(right):
            # a scalar has to give way; of two scalars the narrower one
            scalars = [each for each in (left, right) if each.shape.rank == 0]
            if left.dtype != right.dtype and scalars:
                gives_way = min(scalars, key=lambda each: each.dtype.size)
                width = (right if gives_way is left else left).dtype.name
                left, right = keras.ops.cast(left, width), keras.ops.cast(right, width)
        return operator(left, right)

    return apply


def _is_integer(value: Any) -> bool:
    return keras.ops.is_tensor(value) and value.dtype.is_integer


def _inside(answer: Callable[[Any], Any], refuse: Callable[[Any], Any]) -> Callable[[Any], Any]:
    @wraps(refuse)
    def ask(tensor: Any) -> Any:
        return answer(tensor) if tracing.is_inside() else refuse(tensor)

    return ask
