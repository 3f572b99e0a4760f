"""The catalogue of causes: each entry recognises its own case, and none what is not its own."""

from __future__ import annotations

import math

import numpy as np
import pytest

from keraform.verify.localising.causes import FUNCTIONS, likely_cause, softmax

RNG = np.random.default_rng(3)
X = RNG.normal(size=(3, 5, 8))
SQUARE = RNG.normal(size=(6, 6))
LOW = np.finfo("float64").min
VARIANCE = np.square(X).mean(-1, keepdims=True) * 0.01
MASK = RNG.random((6, 6)) > 0.5
OTHER = MASK ^ np.eye(6, dtype=bool)
erf, tanh = FUNCTIONS["the erf form of gelu"], FUNCTIONS["the tanh form of gelu"]

CASES = [
    ("number", np.array(2), np.array(3.0), {}, "another number: the port has 3, torch 2"),
    ("alone", X + 1, X, {"residual": X, "y": np.ones_like(X)}, "residual alone"),
    ("sign", X, -X, {}, "the sign is turned"),
    ("scale", X, X / math.sqrt(8), {"x": X}, "a factor: .* (1 / sqrt size 2 of x)"),
    ("constant", X, X + 0.5, {}, "a constant: the port's is larger by 0.5"),
    ("bias", X, X + RNG.normal(size=8), {}, "a vector is missing or added"),
    ("transposed", SQUARE, SQUARE.T, {}, "transposed: the port's axes are torch's (1, 0)"),
    ("gates", X, np.concatenate([X[..., 4:], X[..., :4]], -1), {}, "halves along axis 2"),
    ("shifted", X, np.roll(X, 1, 1), {}, "shifted by 1 along axis 1"),
    (
        "heads",
        X,
        X.reshape(3, 5, 2, 4).swapaxes(2, 3).reshape(X.shape),
        {},
        "heads permuted: axis 2",
    ),
    ("channels", X, X[:, ::-1], {}, "turned round along axis 1"),
    (
        "gelu",
        erf(X),
        tanh(X),
        {"x": X},
        "the port's is the tanh form of gelu of x, torch's the erf",
    ),
    ("softmax", softmax(X, 2), softmax(X, 1), {"x": X}, "the softmax over axis 1 of x"),
    ("mean", X.mean(1), X.max(1), {"x": X}, "maximum over axis 1 of x, torch's the mean"),
    (
        "epsilon",
        X / np.sqrt(VARIANCE + 1e-6),
        X / np.sqrt(VARIANCE + 1e-3),
        {"variance": VARIANCE, "self.eps": np.array(1e-6)},
        "epsilon: the port computes with 1.0e-03, torch with 1.0e-06",
    ),
    ("diagonal", MASK, OTHER, {}, "all on one diagonal"),
    (
        "filler",
        np.where(MASK, 0.0, LOW),
        np.where(OTHER, 0.0, LOW),
        {},
        "the mask: it differs at 6 of 36",
    ),
    ("nan", X, np.where(X > 1, np.nan, X), {}, "NaN: "),
]


@pytest.mark.parametrize(("torch", "keras", "reads", "words"), [each[1:] for each in CASES],
                         ids=[each[0] for each in CASES])  # fmt: skip
def test_each_entry_recognises_its_case(torch, keras, reads, words):
    found = likely_cause(torch, keras, reads)
    assert found is not None
    for part in words.split(" .* "):
        assert part in found


def test_what_nobody_can_explain_is_not_explained():
    assert likely_cause(X, X + RNG.normal(size=X.shape), {"x": X}) is None
    assert likely_cause(X, np.zeros((2, 2)), {}) is None
    assert likely_cause(np.zeros((0, 3)), np.zeros((0, 3)), {}) is None
