"""Names of dtypes, torch's promotion rule, and the limits of each dtype."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import ml_dtypes
import numpy as np
from keras import ops

from keraform.errors import explain
from keraform.runtime import precision
from keraform.runtime.ops.tensors import Tensor, is_array, rank

TORCH_NAMES: dict[str, str] = {
    "half": "float16",
    "float": "float32",
    "double": "float64",
    "short": "int16",
    "int": "int32",
    "long": "int64",
    "cfloat": "complex64",
    "cdouble": "complex128",
}
CATEGORIES: tuple[str, ...] = ("bool", "integer", "float", "complex")
COMPLEX_OF: dict[str, str] = {"float64": "complex128", "int64": "complex64"}
FLOAT_BITS: dict[str, int] = {
    "float16": 16,
    "bfloat16": 16,
    "float32": 32,
    "float64": 64,
    "complex64": 32,
    "complex128": 64,
}
HALVES: frozenset[str] = frozenset({"float16", "bfloat16"})

# Keras's own, also while `precision.lift_casts()` has replaced them: no dtype here is the model's
_cast = inspect.unwrap(ops.cast)
_convert = inspect.unwrap(ops.convert_to_tensor)


def name_of(dtype: Any) -> str:
    """Returns the plain name of a dtype given as a string, tf.DType, NumPy dtype or Python type."""
    if dtype is float or dtype is int or dtype is bool:
        return {float: "float64", int: "int64", bool: "bool"}[dtype]
    if isinstance(dtype, str):
        dtype = dtype.removeprefix("torch.")
        dtype = TORCH_NAMES.get(dtype, dtype)
    return keras.backend.standardize_dtype(dtype)


def default_float() -> str:
    """Returns the dtype that torch's default dtype corresponds to."""
    return keras.config.floatx()


def get_default_dtype() -> str:
    """Returns the dtype of a model that is being made (torch.get_default_dtype, which Transformers
    sets to it): that of its weights.
    """
    return keras.config.dtype_policy().variable_dtype


def integer() -> str:
    """Returns the width of integers: int64 as in torch, int32 where JAX has no int64."""
    return precision.integer_dtype()


def resolve(dtype: Any) -> str | None:
    """Returns the dtype to use where code names one, lifted while `precision.lift_casts()` is."""
    if dtype is None:
        return None
    name = name_of(dtype)
    if category(name) != "float":
        return integer() if name == "int64" else name
    return precision.resolve(name)


def category(name: str) -> str:
    """Returns one of bool, integer, float, complex."""
    if name == "bool":
        return "bool"
    if "complex" in name:
        return "complex"
    return "float" if "float" in name else "integer"


def is_floating(x: Any) -> bool:
    """Whether a tensor holds floats."""
    return category(name_of(x.dtype)) == "float"


def to(x: Tensor, dtype: str | None) -> Tensor:
    """Casts to a dtype that was already resolved, unless it is None or the tensor has it."""
    if dtype is None or name_of(x.dtype) == dtype:
        return x
    if dtype == "bool":
        return ops.not_equal(x, ops.zeros((), dtype=x.dtype))
    return _cast(x, dtype)


def to_float(x: Tensor) -> Tensor:
    """Casts integers and bools to the default float, as torch's unary functions do."""
    return x if category(name_of(x.dtype)) in ("float", "complex") else to(x, default_float())


def python_dtype(value: Any) -> str:
    """Returns the dtype of a Python or NumPy number."""
    if isinstance(value, (bool, np.bool_)):
        return "bool"
    if isinstance(value, (int, np.integer)):
        return integer()
    if isinstance(value, (float, np.floating)):
        return default_float()
    if isinstance(value, (complex, np.complexfloating)):
        return COMPLEX_OF.get(default_float(), "complex64")
    raise TypeError(
        explain("a number or a tensor", f"{value!r} of {type(value).__name__}", "kf.tensor(value)")
    )


def combine(higher: str | None, lower: str | None) -> str | None:
    """Combines the dtypes of two priorities: the lower one counts only with a higher category."""
    if higher is None or lower is None:
        return higher or lower
    above, below = CATEGORIES.index(category(higher)), CATEGORIES.index(category(lower))
    if below <= above:
        return higher
    if category(lower) == "complex" and category(higher) == "float":
        return COMPLEX_OF.get(higher, "complex64")
    return lower


def promote_names(names: Sequence[str]) -> str | None:
    """Returns the common dtype of operands of the same priority."""
    distinct = list(dict.fromkeys(names))
    if len(distinct) < 2:
        return distinct[0] if distinct else None
    floats = [n for n in distinct if category(n) in ("float", "complex")]
    chosen = floats or distinct
    if len(chosen) == 1:
        return chosen[0]
    if (
        floats
    ):  # of one width or mixed halves: the next wider one (Keras's rule loses float64 on JAX)
        widest = max(FLOAT_BITS.get(n, 0) for n in chosen)
        complex_too = any(category(n) == "complex" for n in chosen)
        wide = "float64" if widest == 64 else "float32"
        return COMPLEX_OF.get(wide, "complex64") if complex_too else wide
    return str(np.result_type(*chosen))


def result_type(*values: Any) -> str:
    """Returns torch's result dtype: tensors with axes, then 0-d tensors, then Python numbers."""
    groups: tuple[list[str], list[str], list[str]] = ([], [], [])
    for value in values:
        if is_array(value):
            groups[0 if rank(value) else 1].append(name_of(value.dtype))
        else:
            groups[2].append(python_dtype(value))
    axes, scalars, numbers = (promote_names(group) for group in groups)
    result = combine(axes, combine(scalars, numbers))
    if result is None:
        raise TypeError(explain("at least one operand", "none", "kf.result_type(x, 1.0)"))
    return result


def as_dtype(value: Any, dtype: str) -> Tensor:
    """Returns a tensor or number as a tensor of `dtype`; numbers are never rounded on the way."""
    if is_array(value):
        return to(_convert(value), dtype)
    kind = {"bool": bool, "integer": int, "float": float, "complex": complex}[category(dtype)]
    return _convert(kind(value), dtype=dtype)


def promote(*values: Any) -> tuple[Tensor, ...]:
    """Returns all operands as tensors of torch's result dtype."""
    dtype = result_type(*values)
    return tuple(as_dtype(value, dtype) for value in values)


def computing_dtype(x: Tensor) -> str:
    """Returns the dtype torch computes in: float32 for half precision, else the tensor's."""
    name = name_of(x.dtype)
    return "float32" if name in HALVES else name


@dataclass(frozen=True)
class FloatLimits:
    """The limits of a floating dtype, as Python floats (torch.finfo)."""

    dtype: str
    bits: int
    min: float
    max: float
    eps: float
    tiny: float
    smallest_normal: float
    resolution: float


@dataclass(frozen=True)
class IntegerLimits:
    """The limits of an integer dtype, as Python ints (torch.iinfo)."""

    dtype: str
    bits: int
    min: int
    max: int


def finfo(type: Any = None) -> FloatLimits:
    """Returns the limits of a floating dtype, given by any of its names.

    Args:
        type: "float16", "bfloat16", tf.float32, x.dtype ...; the default float when left out.
    """
    name = default_float() if type is None else name_of(type)
    if category(name) == "complex":
        name = {"complex128": "float64"}.get(name, "float32")
    if category(name) != "float":
        raise TypeError(explain("a floating dtype", f"dtype {name}", f'kf.iinfo("{name}")'))
    limits = ml_dtypes.finfo(name)
    tiny = float(limits.tiny)
    return FloatLimits(
        name,
        int(limits.bits),
        float(limits.min),
        float(limits.max),
        float(limits.eps),
        tiny,
        tiny,
        10.0**-limits.precision,
    )


def iinfo(type: Any) -> IntegerLimits:
    """Returns the limits of an integer dtype, given by any of its names."""
    name = name_of(type)
    if category(name) != "integer":
        raise TypeError(explain("an integer dtype", f"dtype {name}", f'kf.finfo("{name}")'))
    limits = np.iinfo(name)
    return IntegerLimits(name, limits.bits, int(limits.min), int(limits.max))


def is_floating_point(input: Tensor | Any) -> bool:
    """Whether a tensor's dtype, or a dtype by any of its names, is a floating one."""
    return is_floating(input) if hasattr(input, "dtype") else category(name_of(input)) == "float"


def is_complex(input: Tensor) -> bool:
    """Whether the tensor's dtype is a complex one."""
    return category(name_of(input.dtype)) == "complex"
