"""Small functions that modeling code calls around its layers: chunks, slices, cached methods."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keraform.runtime.layers import Tensor
from keraform.runtime.precision import resolve
from keraform.runtime.tracing import is_known, is_tracing, known_value

__all__ = [
    "apply_chunking_to_forward",
    "compile_compatible_method_lru_cache",
    "get_max_seqlen",
    "is_tracing",
    "meshgrid",
    "slice_logits_to_keep",
    "torch_compilable_check",
    "torch_float",
    "torch_int",
]


def apply_chunking_to_forward(
    forward_fn: Callable[..., Tensor], chunk_size: int, chunk_dim: int, *input_tensors: Tensor
) -> Tensor:
    """Apply `forward_fn` to pieces of `chunk_size` along `chunk_dim`, and join the results.

    A `chunk_size` of 0 means one piece. The size along `chunk_dim` must be known and a multiple of
    `chunk_size`.
    """
    if not input_tensors:
        raise ValueError(
            "Expected at least one tensor to cut into chunks; got none. "
            "Call apply_chunking_to_forward(forward_fn, chunk_size, chunk_dim, hidden_states)."
        )
    expected = len(inspect.signature(forward_fn).parameters)
    if expected != len(input_tensors):
        raise ValueError(
            f"Expected {expected} tensors, as `{getattr(forward_fn, '__name__', 'forward_fn')}` "
            f"takes; got {len(input_tensors)}. Pass one tensor for each of its parameters."
        )
    if chunk_size <= 0:
        return forward_fn(*input_tensors)
    sizes = {tensor.shape[chunk_dim] for tensor in input_tensors}
    size = sizes.pop()
    if sizes or size is None or size % chunk_size:
        found = [tuple(tensor.shape) for tensor in input_tensors]
        raise ValueError(
            f"Expected one known size along axis {chunk_dim}, a multiple of {chunk_size}; got "
            f"tensors of shape {found}. Pad the inputs, or set the chunk size of the config to 0."
        )
    count = size // chunk_size
    chunks = zip(*(ops.split(t, count, axis=chunk_dim) for t in input_tensors), strict=True)
    return ops.concatenate([forward_fn(*chunk) for chunk in chunks], axis=chunk_dim)


def compile_compatible_method_lru_cache(*lru_args: Any, **lru_kwargs: Any) -> Callable:
    """`functools.lru_cache` for methods, which is left out whenever a graph is being built.

    A tensor made while tracing belongs to that graph and must not be kept; unhashable arguments
    (tensors) are computed anew each time. What float32 stands for while two models are compared is
    a part of the key.
    """

    def decorator(func: Callable) -> Callable:
        @functools.lru_cache(*lru_args, **lru_kwargs)
        def cached(_: str, *args: Any, **kwargs: Any) -> Any:
            return func(*args, **kwargs)

        @functools.wraps(func)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            values = (*args, *kwargs.values())
            if is_tracing() or any(ops.is_tensor(value) for value in values):
                return func(*args, **kwargs)
            try:
                hash(values)
            except TypeError:
                return func(*args, **kwargs)
            return cached(resolve("float32"), *args, **kwargs)

        return wrapper

    return decorator


def slice_logits_to_keep(hidden_states: Tensor, logits_to_keep: int | Tensor) -> Tensor:
    """The positions whose logits are wanted, before the (large) projection to the vocabulary.

    Args:
        hidden_states: [b, q, m].
        logits_to_keep: an int keeps the last so many positions (0: all); a vector keeps these
            positions of every row; integers [b, n] keep these positions of each row; booleans
            [b, q] keep where True, flattened to [n, m] (eager only: n depends on the data).
    """
    if isinstance(logits_to_keep, slice):
        return hidden_states[:, logits_to_keep, :]
    if not hasattr(logits_to_keep, "shape") or len(logits_to_keep.shape) == 0:
        if not is_known(logits_to_keep):
            length = ops.shape(hidden_states)[1]
            count = ops.cast(logits_to_keep, "int32")
            start = ops.where(ops.equal(count, 0), 0, ops.maximum(length - count, 0))
            return hidden_states[:, start:, :]
        count = int(logits_to_keep)
        return hidden_states if count == 0 else hidden_states[:, -count:, :]
    if len(logits_to_keep.shape) == 1:
        return ops.take(hidden_states, logits_to_keep, axis=1)
    if keras.backend.standardize_dtype(logits_to_keep.dtype) != "bool":
        return ops.take_along_axis(hidden_states, ops.expand_dims(logits_to_keep, -1), axis=1)
    if not is_known(logits_to_keep):
        raise NotImplementedError(
            "Expected positions that do not depend on data inside a compiled graph; got a boolean "
            f"mask of shape {tuple(logits_to_keep.shape)}. Pass integer positions [b, n] instead."
        )
    width = hidden_states.shape[-1]
    kept = ops.nonzero(ops.reshape(logits_to_keep, (-1,)))[0]
    return ops.take(ops.reshape(hidden_states, (-1, width)), kept, axis=0)


def meshgrid(*tensors: Any, indexing: str | None = None) -> tuple[Tensor, ...]:
    """`torch.meshgrid`: rows first unless `indexing="xy"`."""
    if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)):
        tensors = tuple(tensors[0])
    return tuple(ops.meshgrid(*tensors, indexing=indexing or "ij"))


def torch_int(x: Any) -> Any:
    """A Python int, or an int32 scalar where `x` is only a symbol (an unknown size)."""
    known = known_value(x)
    return ops.cast(x, "int32") if known is None else int(known)


def torch_float(x: Any) -> Any:
    """A Python float, or a float32 scalar where `x` is only a symbol."""
    known = known_value(x)
    return ops.cast(x, "float32") if known is None else float(known)


def torch_compilable_check(cond: Any, msg: Any, error_type: type[Exception] = ValueError) -> None:
    """Raise `error_type(msg)` when `cond` can be read now and is false; say nothing in a graph."""
    cond = cond() if callable(cond) else cond
    if not is_known(cond) or bool(ops.all(cond) if hasattr(cond, "shape") else cond):
        return
    raise error_type(msg() if callable(msg) else msg)


def get_max_seqlen(
    cu_seqlens: Any, config: Any, kwargs: dict | None = None, kwarg_name: str = "max_seqlen"
) -> int | None:
    """The longest packed sequence when the caller computed it; else None (no flash attention)."""
    return None if kwargs is None else kwargs.pop(kwarg_name, None)
