"""Control flow that depends on sizes, which a graph may not know: loops over a size, branches on a
size.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras import ops
from keras.src import backend  # compute_output_spec takes functions; the public one takes layers

from keraform.runtime.tracing import is_known, is_tracing, numbers_read

State = tuple[Any, ...]


def cond(predicate: Any, true_fn: Callable[[], Any], false_fn: Callable[[], Any]) -> Any:
    """Calls one of two functions: at once where the predicate can be read, inside the graph where
    it cannot.

    Args:
        predicate: a Python bool, or a scalar of a graph.
        true_fn: gives the result where it holds.
        false_fn: gives the result where it does not; of the same dtype. In a graph the result of
            lower rank gets leading axes of size 1, as broadcasting would give it.
    """
    if is_known(predicate):
        return true_fn() if predicate else false_fn()
    rank = max(len(backend.compute_output_spec(branch).shape) for branch in (true_fn, false_fn))
    return ops.cond(
        predicate, lambda: _of_rank(true_fn(), rank), lambda: _of_rank(false_fn(), rank)
    )


def _of_rank(x: Any, rank: int) -> Any:
    return ops.expand_dims(x, tuple(range(rank - len(x.shape)))) if len(x.shape) < rank else x


def either(a: Any, b: Any) -> Any:
    """`a or b`, also where one of them is a scalar of a graph; a function `b` is asked only where
    `a` is not known to be true.
    """
    if is_known(a) and a:
        return a
    b = b() if callable(b) else b
    return b if is_known(a) else ops.logical_or(a, b)


def both(a: Any, b: Any) -> Any:
    """`a and b`, also where one of them is a scalar of a graph; a function `b` is asked only where
    `a` is not known to be false.
    """
    if is_known(a) and not a:
        return a
    b = b() if callable(b) else b
    return b if is_known(a) else ops.logical_and(a, b)


def scan(
    step: Callable[..., tuple[State, State]], state: State, length: Any, axis: int | None = None
) -> tuple[State, State]:
    """Calls `step(index, *state)` for every index below `length` and stacks what it gives each
    time, or joins it along an axis.

    Args:
        step: takes the index and the state; returns the new state and the results of this index,
            both as tuples of tensors. Shapes and dtypes of the state may change at the first index
            only.
        state: the state before index 0.
        length: an int, or a scalar where the size is unknown; at least 1.
        axis: along which results are joined, which may differ in size there where the length is
            an int; by default they are stacked along a new one.

    Returns:
        The last state, and the results: with the index as their first axis, or joined.
    """
    with numbers_read() as numbers:
        state, first = step(0, *state)
    # rounds that read numbers, such as the size of each image, are not one round of a graph
    unrolled = axis is not None or bool(numbers) or not is_tracing()
    if isinstance(length, int) and unrolled:
        rows = [first]
        for index in range(1, length):
            state, results = step(index, *state)
            rows.append(results)
        columns = zip(*rows, strict=True)
        if axis is not None:
            return state, tuple(ops.concatenate(column, axis=axis) for column in columns)
        return state, tuple(ops.stack(column) for column in columns)
    if not isinstance(length, int):  # sizes of buffers are ints wherever they can be, for JAX
        length = ops.cast(length, "int32")
    buffers = tuple(_buffer(result, length) for result in first)

    def more(index: Any, state: State, buffers: State) -> Any:
        return index < length

    def body(index: Any, state: State, buffers: State) -> tuple[Any, State, State]:
        state, results = step(index, *state)
        return (
            index + 1,
            state,
            tuple(_put(b, index, r) for b, r in zip(buffers, results, strict=True)),
        )

    start = ops.cast(1, "int32")
    _, state, buffers = ops.while_loop(more, body, (start, tuple(state), buffers))
    if axis is None:
        return state, buffers
    return state, tuple(_joined(buffer, axis) for buffer in buffers)


def _joined(rows: Any, axis: int) -> Any:
    """Rows along the first axis, one after the other along `axis` of each."""
    rank = len(rows.shape) - 1
    axis %= rank
    shape = list(ops.shape(rows))[1:]
    shape[axis] = -1
    return ops.reshape(ops.moveaxis(rows, 0, axis), shape)


def _buffer(result: Any, length: Any) -> Any:
    """Room for `length` results, the first one in its place."""
    return _put(
        ops.zeros((length, *ops.shape(result)), dtype=result.dtype), ops.cast(0, "int32"), result
    )


def _put(buffer: Any, index: Any, result: Any) -> Any:
    start = ops.stack([index, *(ops.zeros_like(index) for _ in result.shape)])
    return ops.slice_update(buffer, start, ops.expand_dims(result, 0))
