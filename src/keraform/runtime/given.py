"""What a user hands over, as tensors: mappings of tokenizers, arrays, nested lists of numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np


def is_mapping(value: Any) -> bool:
    """True for dicts and for what tokenizers and processors return (BatchEncoding, BatchFeature).

    Args:
        value: Anything.
    """
    return isinstance(value, Mapping) or (hasattr(value, "keys") and hasattr(value, "data"))


def as_dict(value: Any) -> dict[str, Any]:
    """A BatchEncoding, BatchFeature or mapping as a plain dict without None.

    Args:
        value: The mapping.
    """
    return {name: value[name] for name in value.keys() if value[name] is not None}


def integer_dtype() -> str:
    """The one width of integers in a call: PyTorch's int64, or int32 where JAX has no wide ones."""
    if keras.backend.backend() != "jax":
        return "int64"
    import jax

    return "int64" if jax.config.jax_enable_x64 else "int32"


def as_tensor(value: Any, float_dtype: str) -> Any:
    """An array, nested list of numbers or tensor as a tensor; everything else stays.

    Signed integers get the width of `integer_dtype`, because ports compute with PyTorch's int64
    and TensorFlow's operators do not mix widths; floats get `float_dtype`.

    Args:
        value: One argument of a call.
        float_dtype: The model's compute dtype.
    """
    if isinstance(value, np.generic) or (isinstance(value, (list, tuple)) and _is_numbers(value)):
        value = np.asarray(value)
    if isinstance(value, np.ndarray):
        if value.dtype.kind in "USO":
            return value
        wanted = _wanted(value.dtype.name, float_dtype)
        return keras.ops.convert_to_tensor(value.astype(wanted, copy=False))
    if isinstance(value, keras.KerasTensor) or not keras.ops.is_tensor(value):
        return value
    dtype = keras.backend.standardize_dtype(value.dtype)
    wanted = _wanted(dtype, float_dtype)
    return value if dtype == wanted else keras.ops.cast(value, wanted)


def _wanted(dtype: str, float_dtype: str) -> str:
    if keras.backend.is_float_dtype(dtype):
        return float_dtype
    return integer_dtype() if dtype in ("int16", "int32", "int64") else dtype


def _is_numbers(value: Any) -> bool:
    while isinstance(value, (list, tuple)) and value:
        value = value[0]
    return isinstance(value, (bool, int, float, np.bool_, np.integer, np.floating))
