"""Binary operations with torch's dtype promotion, where operand dtypes are mixed or unknown."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keraform.runtime.ops import dtypes
from keraform.runtime.ops.tensors import Tensor, is_array, refuse


def add(input: Tensor, other: Any, *, alpha: Any = 1) -> Tensor:
    """Returns `input + alpha * other` in torch's result dtype."""
    a, b = dtypes.promote(input, other)
    if _is_bool(a):
        return ops.logical_or(a, b)
    return a + (b if _is_one(alpha) else b * dtypes.as_dtype(alpha, dtypes.name_of(a.dtype)))


def subtract(input: Tensor, other: Any, *, alpha: Any = 1) -> Tensor:
    """Returns `input - alpha * other` in torch's result dtype."""
    a, b = dtypes.promote(input, other)
    return a - (b if _is_one(alpha) else b * dtypes.as_dtype(alpha, dtypes.name_of(a.dtype)))


def multiply(input: Tensor, other: Any) -> Tensor:
    """Returns `input * other` in torch's result dtype."""
    a, b = dtypes.promote(input, other)
    return ops.logical_and(a, b) if _is_bool(a) else a * b


def divide(input: Tensor, other: Any, *, rounding_mode: str | None = None) -> Tensor:
    """Returns `input / other`; integers give the default float unless a rounding mode is named.

    Args:
        input: Dividend.
        other: Divisor.
        rounding_mode: None, "trunc" (towards zero) or "floor".
    """
    if rounding_mode is None:
        return true_divide(input, other)
    if rounding_mode == "floor":
        return floor_divide(input, other)
    if rounding_mode != "trunc":
        raise refuse(
            'rounding_mode None, "trunc" or "floor"', f"{rounding_mode!r}", 'rounding_mode="floor"'
        )
    a, b = dtypes.promote(input, other)
    if dtypes.is_floating(a):
        return ops.trunc(a / b)
    quotient = ops.floor_divide(a, b)
    inexact = ops.not_equal(quotient * b, a)
    towards_zero = ops.logical_and(inexact, ops.less(quotient, 0))
    return quotient + dtypes.to(towards_zero, dtypes.name_of(quotient.dtype))


def true_divide(input: Tensor, other: Any) -> Tensor:
    """Returns the quotient as a float: the operands' own, or the default one for integers."""
    a, b = dtypes.promote(input, other)
    return dtypes.to_float(a) / dtypes.to_float(b)


def floor_divide(input: Tensor, other: Any) -> Tensor:
    """Returns the quotient rounded down, in torch's result dtype (integers stay integers)."""
    a, b = dtypes.promote(input, other)
    if not dtypes.is_floating(a):
        return ops.floor_divide(a, b)
    rest = ops.fmod(a, b)  # torch's div_floor_floating: exact where a / b would round up
    quotient = (a - rest) / b
    borrow = ops.logical_and(ops.not_equal(rest, 0), ops.not_equal(b < 0, rest < 0))
    quotient = quotient - ops.cast(borrow, a.dtype)
    whole = ops.floor(quotient)
    whole = whole + ops.cast(quotient - whole > 0.5, a.dtype)
    return ops.where(ops.equal(b, 0), a / b, whole)


def remainder(input: Tensor, other: Any) -> Tensor:
    """Returns the remainder with the sign of the divisor, in torch's result dtype."""
    a, b = dtypes.promote(input, other)
    return ops.mod(a, b)


def fmod(input: Tensor, other: Any) -> Tensor:
    """Returns the remainder with the sign of the dividend, in torch's result dtype."""
    a, b = dtypes.promote(input, other)
    return (
        a - b * divide(a, b, rounding_mode="trunc")
        if not dtypes.is_floating(a)
        else (ops.fmod(a, b))
    )


def pow(input: Any, exponent: Any) -> Tensor:
    """Returns `input ** exponent` in torch's result dtype."""
    a, b = dtypes.promote(input, exponent)
    return ops.power(a, b)


def maximum(input: Tensor, other: Any) -> Tensor:
    """Returns the larger of the two, in torch's result dtype."""
    a, b = dtypes.promote(input, other)
    return ops.maximum(a, b)


def minimum(input: Tensor, other: Any) -> Tensor:
    """Returns the smaller of the two, in torch's result dtype."""
    a, b = dtypes.promote(input, other)
    return ops.minimum(a, b)


def where(condition: Tensor, input: Any = None, other: Any = None) -> Any:
    """Chooses between two operands in torch's result dtype; alone, the places of True.

    Args:
        condition: Bool tensor; True takes `input`.
        input: Tensor or number; left out together with `other`, the result is a tuple of int64
            index vectors, one for each axis (their length depends on the data).
        other: Tensor or number.
    """
    if input is None and other is None:
        from keraform.runtime.ops.indexing import nonzero

        return nonzero(condition, as_tuple=True)
    a, b = dtypes.promote(input, other)
    return ops.where(dtypes.to(ops.convert_to_tensor(condition), "bool"), a, b)


def compare(how: Callable[[Any, Any], Tensor], input: Any, other: Any) -> Tensor:
    """Compares in torch's common dtype, e.g. `compare(ops.less, x, 1.5)`."""
    return how(*dtypes.promote(input, other))


def bitwise_and(input: Any, other: Any) -> Tensor:
    """`input & other`: of the bits of integers, of truth values for booleans."""
    return _of_bits(ops.logical_and, ops.bitwise_and, input, other)


def bitwise_or(input: Any, other: Any) -> Tensor:
    """`input | other`: of the bits of integers, of truth values for booleans."""
    return _of_bits(ops.logical_or, ops.bitwise_or, input, other)


def bitwise_xor(input: Any, other: Any) -> Tensor:
    """`input ^ other`: of the bits of integers, of truth values for booleans."""
    return _of_bits(ops.logical_xor, ops.bitwise_xor, input, other)


def _of_bits(logical: Callable[..., Tensor], bitwise: Callable[..., Tensor], *both: Any) -> Tensor:
    input, other = dtypes.promote(*both)
    return (logical if _is_bool(input) else bitwise)(input, other)


def addcmul(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Any = 1) -> Tensor:
    """Returns `input + value * tensor1 * tensor2`."""
    return add(input, multiply(tensor1, tensor2), alpha=value)


def addcdiv(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Any = 1) -> Tensor:
    """Returns `input + value * tensor1 / tensor2`."""
    return add(input, true_divide(tensor1, tensor2), alpha=value)


def lerp(input: Tensor, end: Tensor, weight: Any) -> Tensor:
    """Returns `input + weight * (end - input)`."""
    a, b, w = dtypes.promote(input, end, weight)
    return a + w * (b - a)


def _is_bool(x: Tensor) -> bool:
    return keras.backend.standardize_dtype(x.dtype) == "bool"


def _is_one(alpha: Any) -> bool:
    return not is_array(alpha) and alpha == 1
