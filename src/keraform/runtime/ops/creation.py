"""Tensors made from numbers, with torch's default dtypes (int64 for integers)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

from keraform.errors import explain
from keraform.runtime.ops import dtypes
from keraform.runtime.ops.tensors import (
    Tensor,
    as_int,
    as_tensor,
    axis_of,
    flat_sizes,
    is_array,
    is_tensor,
    move,
    rank,
    scalar,
)


def tensor(data: Any, dtype: Any = None) -> Tensor:
    """Makes a tensor of numbers, lists, arrays or scalar tensors.

    Python ints give int64 and floats the default float; arrays keep their dtype.

    Args:
        data: Number, nested lists of numbers or scalar tensors, array or tensor.
        dtype: The dtype to make, else what the data says.
    """
    wanted = dtypes.resolve(dtype)
    if is_array(data) or isinstance(data, np.generic):
        made = as_tensor(data if is_array(data) else np.asarray(data))
        return made if wanted is None else dtypes.to(made, wanted)
    if _holds_tensor(data):
        made = _stack(data)
        return made if wanted is None else dtypes.to(made, wanted)
    values = np.asarray(data)
    if wanted is None:
        kinds = {
            "f": dtypes.default_float(),
            "i": dtypes.integer(),
            "u": dtypes.integer(),
            "b": "bool",
            "c": dtypes.COMPLEX_OF.get(dtypes.default_float(), "complex64"),
        }
        if values.dtype.kind not in kinds:
            raise TypeError(
                explain(
                    "numbers in a rectangular shape", f"{data!r}", "kf.tensor([[1, 2], [3, 4]])"
                )
            )
        wanted = dtypes.default_float() if values.size == 0 else kinds[values.dtype.kind]
    if wanted == "bool":
        return as_tensor(values.astype(bool))
    if wanted in ("bfloat16",):
        return dtypes.to(as_tensor(values.astype("float32")), wanted)
    return ops.convert_to_tensor(values.astype(wanted))


def as_tensor_of(data: Any, dtype: Any = None) -> Tensor:
    """Returns `data` as a tensor (torch.as_tensor, torch.from_numpy)."""
    return tensor(data, dtype)


def arange(start: Any, end: Any = None, step: Any = 1, *, dtype: Any = None) -> Tensor:
    """Returns start, start + step, ... below `end`; integers give int64 without a `dtype`."""
    if end is None:
        start, end = 0, start
    wanted = dtypes.resolve(dtype)
    if wanted is None:
        kinds = [dtypes.category(_dtype_of(v)) for v in (start, end, step)]
        wanted = dtypes.default_float() if "float" in kinds else dtypes.integer()
    known = [_number(v) for v in (start, end, step)]
    if None not in known:
        first, last, by = known
        count = max(0, int(np.ceil((last - first) / by)))
        values = first + np.arange(count) * by  # as torch: no accumulated rounding
        if wanted == "bfloat16":
            return dtypes.to(as_tensor(values.astype("float32")), wanted)
        return as_tensor(values.astype(wanted))
    if dtypes.category(wanted) == "float":
        return ops.arange(*(_cast_any(v, wanted) for v in (start, end, step)), dtype=wanted)
    return dtypes.to(ops.arange(*(_cast_any(v, "int32") for v in (start, end, step))), wanted)


def linspace(start: Any, end: Any, steps: Any, *, dtype: Any = None) -> Tensor:
    """Returns `steps` evenly spaced numbers, both ends included, in the default float."""
    wanted = dtypes.resolve(dtype) or dtypes.default_float()
    count = scalar(steps, "steps", "it is a size")
    if not is_array(start) and not is_array(end) and dtypes.category(wanted) == "float":
        exact = np.linspace(start, end, count)
        dtype_np = "float32" if wanted in dtypes.HALVES else wanted
        return dtypes.to(as_tensor(exact.astype(dtype_np)), wanted)
    return ops.linspace(start, end, count, dtype=wanted)


def hann_window(window_length: Any, periodic: bool = True, *, dtype: Any = None) -> Tensor:
    """Returns the Hann window `sin(pi n / N)^2`; a periodic one leaves out the last of N + 1."""
    return _window(np.hanning, window_length, periodic, dtype)


def kaiser_window(
    window_length: Any, periodic: bool = True, beta: float = 12.0, *, dtype: Any = None
) -> Tensor:
    """Returns the Kaiser window of shape `beta`; a periodic one leaves out the last of N + 1."""
    return _window(lambda count: np.kaiser(count, beta), window_length, periodic, dtype)


def _window(make: Any, length: Any, periodic: bool, dtype: Any) -> Tensor:
    count = scalar(length, "window_length", "it is a size")
    if count == 1:
        values = np.ones(1)
    else:
        values = make(count + 1)[:-1] if periodic else make(count)
    wanted = dtypes.resolve(dtype) or dtypes.default_float()
    exact = values.astype("float32" if wanted in dtypes.HALVES else wanted)
    return dtypes.to(as_tensor(exact), wanted)


def full(size: Any, fill_value: Any, *, dtype: Any = None) -> Tensor:
    """Returns a tensor of one value; its dtype follows the value (int64 for an int)."""
    wanted = dtypes.resolve(dtype) or _dtype_of(fill_value)
    sizes = flat_sizes((size,) if isinstance(size, (int, np.integer)) or is_tensor(size) else size)
    return ops.broadcast_to(dtypes.as_dtype(fill_value, wanted), sizes)


def scalar_tensor(s: Any, *, dtype: Any = None) -> Tensor:
    """Returns a 0-d tensor, of the default float unless `dtype` says else."""
    return dtypes.as_dtype(s, dtypes.resolve(dtype) or dtypes.default_float())


def one_hot(input: Tensor, num_classes: int = -1) -> Tensor:
    """Returns int64 one-hot vectors on a new last axis.

    Args:
        input: Integers.
        num_classes: Number of classes; -1 counts them, which needs values that can be read now.
    """
    if num_classes == -1:
        num_classes = scalar(ops.max(input), "max(input)", "num_classes is not given") + 1
    return ops.one_hot(input, num_classes, dtype=dtypes.integer())


def complex(real: Tensor, imag: Tensor) -> Tensor:
    """Returns complex numbers of the precision of their parts."""
    real, imag = dtypes.promote(real, imag)
    wide = dtypes.COMPLEX_OF.get(dtypes.name_of(real.dtype), "complex64")
    unit = ops.convert_to_tensor(np.asarray(1j, dtype=wide))
    return dtypes.to(real, wide) + unit * dtypes.to(imag, wide)


def polar(abs: Tensor, angle: Tensor) -> Tensor:
    """Returns `abs * exp(i angle)` as complex numbers of the precision of its parts."""
    return complex(abs * ops.cos(angle), abs * ops.sin(angle))


def view_as_complex(input: Tensor) -> Tensor:
    """Reads the last axis, of size 2, as real and imaginary part (float64 gives complex128)."""
    return complex(input[..., 0], input[..., 1])


def view_as_real(input: Tensor) -> Tensor:
    """Returns real and imaginary part on a new last axis."""
    return ops.stack([ops.real(input), ops.imag(input)], axis=-1)


def block_diag(*tensors: Tensor) -> Tensor:
    """Returns a matrix with the given matrices along its diagonal, zero elsewhere."""
    made = [as_tensor(t) for t in tensors]
    matrices = [t if rank(t) == 2 else ops.reshape(t, (1, -1)) for t in made]
    widths = [m.shape[1] for m in matrices]
    rows = []
    for i, matrix in enumerate(matrices):
        before, after = sum(widths[:i]), sum(widths[i + 1 :])
        rows.append(ops.pad(matrix, ((0, 0), (before, after))))
    return ops.concatenate(rows, axis=0)


def diag_embed(input: Tensor, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """Puts the last axis on the diagonal of the plane of two new axes, zero elsewhere."""
    ndim = rank(input) + 1
    first, second = axis_of(dim1, ndim, "dim1"), axis_of(dim2, ndim, "dim2")
    if first > second:
        first, second, offset = second, first, -offset
    size = scalar(input.shape[-1], "input.shape[-1]", "it is the size of the matrices")
    width = size + abs(offset)
    shift = np.eye(size, width, max(offset, 0)), np.eye(size, width, max(-offset, 0))
    columns = dtypes.to(as_tensor(shift[0]), dtypes.name_of(input.dtype))
    rows = dtypes.to(as_tensor(np.ascontiguousarray(shift[1].T)), dtypes.name_of(input.dtype))
    placed = ops.expand_dims(input, -2) * rows  # [..., width, size]
    matrix = ops.matmul(placed, columns)  # [..., width, width]
    return move(move(matrix, -2, first) if first != ndim - 2 else matrix, -1, second)


def _dtype_of(value: Any) -> str:
    return dtypes.name_of(value.dtype) if is_array(value) else dtypes.python_dtype(value)


def _number(value: Any) -> Any:
    if isinstance(value, (int, float, np.generic)):
        return value
    if dtypes.category(_dtype_of(value)) == "integer":
        return as_int(value)
    return None


def _cast_any(value: Any, dtype: str) -> Any:
    return dtypes.to(value, dtype) if is_tensor(value) else value


def _holds_tensor(data: Any) -> bool:
    if isinstance(data, Sequence) and not isinstance(data, str):
        return any(_holds_tensor(item) for item in data)
    return is_tensor(data)


def _stack(data: Any) -> Tensor:
    if isinstance(data, Sequence):
        parts = [_stack(item) for item in data]
        return ops.stack(dtypes.promote(*parts))
    return data if is_tensor(data) else tensor(data)
