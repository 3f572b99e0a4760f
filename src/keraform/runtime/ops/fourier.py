"""Discrete Fourier transforms of complex tensors along any axis (torch.fft).

Keras's own take pairs of real tensors and the last axis. Algebra: `X[k] = sum_n x[n] exp(-2 pi i k
n / N)`, and for the inverse the conjugate, divided by N ("backward"), by sqrt(N) both ways
("ortho") or forward ("forward").
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras import ops

from keraform.runtime.ops import dtypes
from keraform.runtime.ops.creation import complex as complex_of
from keraform.runtime.ops.tensors import (
    Size,
    Tensor,
    as_tensor,
    axis_of,
    move,
    rank,
    refuse,
    scalar,
    sizes,
)


def fft(input: Tensor, n: Any = None, dim: int = -1, norm: str | None = None) -> Tensor:
    """Returns the transform along `dim`, cut or filled with zeros to `n`; complex."""
    x, axis, length = _prepared(input, n, dim)
    made = complex_of(*ops.fft((ops.real(x), _imag(x))))
    return move(_scaled(made, length, norm, "forward"), -1, axis)


def ifft(input: Tensor, n: Any = None, dim: int = -1, norm: str | None = None) -> Tensor:
    """Returns the inverse transform along `dim`, cut or filled with zeros to `n`; complex."""
    x, axis, length = _prepared(input, n, dim)
    # by ifft(x) = conj(fft(conj(x))) / N
    real, imag = ops.fft((ops.real(x), -_imag(x)))
    made = _divided(complex_of(real, -imag), length)
    return move(_scaled(made, length, norm, "inverse"), -1, axis)


def rfft(input: Tensor, n: Any = None, dim: int = -1, norm: str | None = None) -> Tensor:
    """Returns the first `n // 2 + 1` entries of the transform of real numbers; complex."""
    x, axis, length = _prepared(input, n, dim)
    made = complex_of(*ops.rfft(x))
    return move(_scaled(made, length, norm, "forward"), -1, axis)


def irfft(input: Tensor, n: Any = None, dim: int = -1, norm: str | None = None) -> Tensor:
    """Returns the `n` (else `2 (size - 1)`) real numbers that `rfft` transforms to `input`."""
    x = as_tensor(input)
    axis = axis_of(dim, rank(x))
    length = 2 * (sizes(x)[axis] - 1) if n is None else n
    kept = length // 2 + 1
    x = _of_length(move(x, axis, -1), kept)
    count = scalar(length, "n", "it is the length of the inverse transform")
    made = ops.irfft((ops.real(x), ops.imag(x)), fft_length=count)
    return move(_scaled(made, length, norm, "inverse"), -1, axis)


def fftn(
    input: Tensor, s: Sequence[Any] | None = None, dim: Any = None, norm: str | None = None
) -> Tensor:
    """Returns the transform along several axes (all of them without `dim`); complex.

    Args:
        input: Real or complex.
        s: Length along each axis.
        dim: Axes.
        norm: "backward" (None), "ortho" or "forward".
    """
    x = as_tensor(input)
    if dim is None:
        dim = range(rank(x)) if s is None else range(rank(x) - len(s), rank(x))
    axes = (dim,) if isinstance(dim, int) else tuple(dim)
    for axis, length in zip(axes, s or (None,) * len(axes), strict=True):
        x = fft(x, length, axis, norm)
    return x


def _prepared(input: Tensor, n: Any, dim: int) -> tuple[Tensor, int, Size]:
    """The tensor with the axis last and of its length; the axis; the length."""
    x = dtypes.to_float(as_tensor(input))
    axis = axis_of(dim, rank(x))
    length = sizes(x)[axis] if n is None else n
    x = move(x, axis, -1)
    return (x if n is None else _of_length(x, n)), axis, length


def _of_length(x: Tensor, length: Any) -> Tensor:
    """The first `length` entries of the last axis, zeros where there are fewer."""
    size = sizes(x)[-1]
    if isinstance(size, int) and isinstance(length, int) and length <= size:
        return x if length == size else x[..., :length]
    room = [[0, 0]] * (rank(x) - 1)
    missing = ops.maximum(length - size, 0) if not isinstance(size, int) else max(length - size, 0)
    return ops.pad(x, [*room, [0, missing]])[..., :length]


def _imag(x: Tensor) -> Tensor:
    return ops.imag(x) if dtypes.is_complex(x) else ops.zeros_like(x)


def _scaled(x: Tensor, length: Any, norm: str | None, way: str) -> Tensor:
    """Moves the factor 1 / N, which stands at the inverse, to where `norm` wants it."""
    if norm is None or norm == "backward":
        return x
    if norm not in ("ortho", "forward"):
        raise refuse('norm "backward", "ortho" or "forward"', repr(norm), 'norm="ortho"')
    power = 0.5 if norm == "ortho" else 1.0
    count = ops.cast(length, ops.real(x).dtype) ** power
    return _divided(x, count) if way == "forward" else _divided(x, 1 / count)


def _divided(x: Tensor, divisor: Any) -> Tensor:
    if not dtypes.is_complex(x):
        return x / divisor
    real = ops.real(x)
    divisor = ops.cast(divisor, real.dtype)
    return complex_of(real / divisor, ops.imag(x) / divisor)
