"""Lifting casts: what is patched, for how long, and that Keras itself is not touched."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

from keraform.runtime.precision import keep_float64, lift_casts, lifting, resolve


def dtype(x: object) -> str:
    return keras.backend.standardize_dtype(x.dtype)


def test_named_floats_become_float64_inside_only() -> None:
    x = ops.convert_to_tensor(np.ones(3), dtype="float64")
    original = ops.cast
    with lift_casts():
        assert lifting()
        for name in ("float32", "float16", "bfloat16"):
            assert dtype(ops.cast(x, name)) == "float64"
        assert dtype(ops.cast(x, dtype="float32")) == "float64"
        assert dtype(ops.arange(3, dtype="float32")) == "float64"
        assert dtype(ops.arange(0, 3, 1, "float32")) == "float64"
        assert dtype(ops.zeros((2,), "float32")) == "float64"
        assert dtype(ops.full((2,), 1.0, dtype="float16")) == "float64"
        assert dtype(ops.ones_like(x, dtype="float32")) == "float64"
        assert dtype(ops.eye(2, dtype="float32")) == "float64"
        assert dtype(ops.linspace(0, 1, 3, dtype="float32")) == "float64"
        assert dtype(ops.convert_to_tensor([1.0], "float32")) == "float64"
        assert dtype(ops.cast(x, "int32")) == "int32"
        assert resolve("float32") == "float64"
        assert resolve("int64") == "int64"
        assert resolve(None) is None
        with lift_casts():
            assert lifting()
        assert lifting()
    assert ops.cast is original
    assert dtype(ops.cast(x, "float32")) == "float32"
    assert resolve("float32") == "float32"


def test_an_error_inside_restores_the_functions() -> None:
    original = ops.zeros
    with pytest.raises(RuntimeError), lift_casts():
        raise RuntimeError
    assert ops.zeros is original


def test_keras_promotion_can_keep_float64() -> None:
    from keras.src.backend.common import dtypes

    before = dict(dtypes.BIT64_TO_BIT32_DTYPE)
    with pytest.raises(KeyError), keep_float64():
        assert keras.backend.result_type("float64", float) == "float64"
        assert keras.backend.result_type("float64", "float32") == "float64"
        assert keras.backend.result_type("int64", "int32") == "int64"
        with keep_float64():
            pass
        x = ops.convert_to_tensor(np.ones(3) + 1j)
        assert dtype(ops.multiply(x, x)) == "complex128"
        raise KeyError
    assert before == dtypes.BIT64_TO_BIT32_DTYPE


@pytest.mark.parametrize(
    "check",
    [
        "float64_is_float64_inside_keep_float64_only",
        "int64_and_complex128_are_kept_too",
        "keep_float64_wants_x64",
    ],
)
def test_64_bits_on_jax(jax_checks: dict[str, str], check: str) -> None:
    assert not jax_checks[check], jax_checks[check]
