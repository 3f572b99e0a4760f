"""What is checked on JAX with 64-bit numbers: one process for all, started by `conftest.py`.

Prints one JSON object: the name of each check, and what went wrong ("" when nothing did).
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable

import keras
import numpy as np
from keras import ops

from keraform.runtime import layers
from keraform.runtime.precision import keep_float64

RANDOM = np.random.default_rng(3)
X = RANDOM.normal(size=(3, 4, 5))
I = RANDOM.integers(-4, 4, (3, 4))  # noqa: E741
UNARY = ("exp", "tanh", "sin", "square", "abs", "sign", "expm1", "mean", "std", "var", "sum", "max",
         "median", "cumsum", "sort")  # fmt: skip
BINARY = ("add", "subtract", "multiply", "divide", "maximum", "arctan2", "where")


def seeds_move_in_fit_and_not_in_evaluate() -> None:
    given = keras.Input((6,))
    drop = layers.Dropout(0.5)
    model = keras.Model(given, drop(layers.Dense(6, 4)(given)))
    model.compile("sgd", "mse")
    x, y = np.ones((8, 6), "float32"), np.ones((8, 4), "float32")

    def state() -> np.ndarray:
        return np.asarray(drop.seed_generator.state)

    before = state()
    model.fit(x, y, verbose=0)
    after = state()
    assert (before != after).any(), "the seed must move in fit"
    model.evaluate(x, y, verbose=0)
    model.predict(x, verbose=0)
    assert (state() == after).all(), "the seed must stay in evaluate"
    trainable = [v.value for v in drop.trainable_variables]
    others = [v.value for v in drop.non_trainable_variables]
    out, _ = drop.stateless_call(trainable, others, ops.ones((4, 100)), training=True)
    assert (np.asarray(out) == 0).any(), "dropout must be on where training is asked for"


def float64_is_float64_inside_keep_float64_only() -> None:
    x = ops.convert_to_tensor(X)
    assert dtype_of(ops.tanh(x)) == "float32", "Keras keeps float64 by itself: drop keep_float64"
    with keep_float64():
        for name in UNARY:
            same(name, getattr(ops, name)(x), getattr(np, name)(X))
        for name in BINARY:
            one = (X > 0,) if name == "where" else ()
            theirs = getattr(np, name)(*one, X, X[::-1])
            same(name, getattr(ops, name)(*one, x, ops.flip(x, 0)), theirs)
        same("matmul", ops.matmul(x, ops.swapaxes(x, 1, 2)), X @ X.swapaxes(1, 2))
        same("einsum", ops.einsum("abc,dbc->ad", x, x), np.einsum("abc,dbc->ad", X, X))
        same("softmax", ops.softmax(x), np.exp(X) / np.exp(X).sum(-1, keepdims=True))
        same("+", x + 1.5, X + 1.5)
        layer = layers.Dense(5, 7, dtype="float64")
        same("Dense", layer(x), X @ np.asarray(layer.weight).T + np.asarray(layer.bias))
    assert dtype_of(ops.tanh(x)) == "float32"


def int64_and_complex128_are_kept_too() -> None:
    i = ops.convert_to_tensor(I)
    with keep_float64():
        same("sum", ops.sum(i * 2**40, axis=0), (I * 2**40).sum(0))
        same("cumsum", ops.cumsum(i, 1), np.cumsum(I, 1))
        assert keras.backend.result_type("int32", "int64") == "int64"
        c = ops.convert_to_tensor(X + 1j)
        same("complex", ops.multiply(c, c), (X + 1j) ** 2)


def keep_float64_wants_x64() -> None:
    import jax

    jax.config.update("jax_enable_x64", False)
    try:
        with keep_float64():
            raise AssertionError("keep_float64 must refuse")
    except RuntimeError as error:
        assert "JAX_ENABLE_X64=1" in str(error), error
    finally:
        jax.config.update("jax_enable_x64", True)


def dtype_of(x: object) -> str:
    return keras.backend.standardize_dtype(x.dtype)


def same(name: str, ours: object, theirs: np.ndarray) -> None:
    assert dtype_of(ours) == str(theirs.dtype), f"{name}: {dtype_of(ours)}, not {theirs.dtype}"
    np.testing.assert_allclose(np.asarray(ours), theirs, rtol=1e-12, atol=1e-13, err_msg=name)


CHECKS: tuple[Callable[[], None], ...] = (
    seeds_move_in_fit_and_not_in_evaluate,
    float64_is_float64_inside_keep_float64_only,
    int64_and_complex128_are_kept_too,
    keep_float64_wants_x64,
)


def main() -> None:
    said = {}
    for check in CHECKS:
        try:
            check()
            said[check.__name__] = ""
        except Exception:
            said[check.__name__] = traceback.format_exc()
    print(json.dumps(said))


if __name__ == "__main__":
    main()
