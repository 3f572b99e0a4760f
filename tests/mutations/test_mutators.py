"""Each mutator on one statement: what may stand in its place, and what is no place for it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.mutations.mutators import MUTATORS
from tests.mutations.source import PortSource

# Mutator, where the statement stands, the statement, and all that may come of it.
CASES: tuple[tuple[str, str, str, list[str]], ...] = (
    ("keras epsilon", "__init__", "self.norm = Norm(d, eps=1e-6)",
     ["self.norm = Norm(d, eps=0.001)"]),
    ("dropped epsilon", "__init__", "self.norm = Norm(d, eps=1e-6)", ["self.norm = Norm(d)"]),
    ("foreign epsilon", "__init__", "self.norm = layers.LayerNormalization(d)",
     ["self.norm = layers.LayerNormalization(d, epsilon=0.001)"]),
    ("foreign epsilon", "__init__", "self.norm = layers.LayerNormalization(d, epsilon=1e-6)", []),
    ("no bias", "__init__", "self.q = layers.Dense(d, d)",
     ["self.q = layers.Dense(d, d, use_bias=False)"]),
    ("other gelu", "__init__", "self.act = ACT2FN[config.act]",
     ["self.act = ACT2FN[{'gelu': 'gelu_new', 'gelu_new': 'gelu'}.get(config.act, 'gelu')]"]),
    ("relu", "__init__", "self.act = get_activation(config.act)",
     ["self.act = get_activation('relu')"]),
    ("other power", "__init__", "self.scaling = self.head_dim**-0.5",
     ["self.scaling = (self.head_dim ** (-1.0))"]),
    ("other scale", "__init__", "self.scaling = self.head_dim**-0.5",
     ["self.scaling = (self.head_dim ** (-0.5) * 0.5)"]),
    ("no ties", "", "_tied_weights_keys = {'a': 'b'}", ["_tied_weights_keys = ({})"]),
    ("one tie less", "", "_tied_weights_keys = {'a': 'b'}", []),
    ("one tie less", "", "_tied_weights_keys = {'a': 'b', 'c': 'd'}",
     ["_tied_weights_keys = ({'c': 'd'})", "_tied_weights_keys = ({'a': 'b'})"]),
    ("key projection", "call", "q = self.q_proj(x)", ["q = self.k_proj(x)"]),
    ("key projection", "call", "q = self.o_proj(x)", []),
    ("swapped product", "call", "w = ops.matmul(query, ops.swapaxes(key, 2, 3))",
     ["w = ops.matmul(key, ops.swapaxes(query, 2, 3))"]),
    ("swapped states", "call", "o = attend(self, query, key, value)",
     ["o = attend(self, key, query, value)"]),
    ("rolled mask", "call", "x = self.layer(x, attention_mask=mask)",
     ["x = self.layer(x, attention_mask=(None if mask is None else ops.roll(mask, 1, axis=-1)))"]),
    ("no mask", "call", "x = self.layer(x, attention_mask=mask)",
     ["x = self.layer(x, attention_mask=None)"]),
    ("no mask", "call", "x = ops.where(mask, x, y)", []),
    ("other mask", "call", "m = create_causal_mask(c)", ["m = create_bidirectional_mask(c)"]),
    ("shifted range", "call", "p = ops.arange(n, dtype='int64')",
     ["p = ops.arange(1, n + 1, dtype='int64')"]),
    ("shifted slice", "call", "p = self.ids[:, :n]", ["p = self.ids[:, 1:n + 1]"]),
    ("shifted slice", "call", "p = x[:, 1:]", ["p = x[:, 1 - 1:-1]"]),
    ("shifted slice", "call", "p = ops.shape(x)[:2]", []),
    ("next index", "call", "first = x[:, 0]", ["first = x[:, 1]"]),
    ("other bound", "call", "small = x < n", ["small = (x <= n)"]),
    ("swapped parts", "call", "gate, up = ops.split(x, 2)", ["(up, gate) = ops.split(x, 2)"]),
    ("swapped parts", "call", "_, up = ops.split(x, 2)", []),
    ("swapped gate", "call", "x = self.act(self.gate(x)) * self.up(x)",
     ["x = (self.act(self.up(x)) * self.gate(x))"]),
    ("reordered", "call", "x = ops.concatenate([a, b], axis=-1)",
     ["x = ops.concatenate([b, a], axis=-1)"]),
    ("reordered", "call", "x = ops.concatenate((a, a), axis=-1)", []),
    ("other axis", "call", "x = ops.softmax(x, axis=-1)", ["x = ops.softmax(x, axis=-2)"]),
    ("no turn", "call", "x = ops.swapaxes(x, 1, 2)", ["x = x"]),
    ("no residual", "call", "x = residual + y", ["x = y"]),
    ("no residual", "call", "x = bias + y", []),
    ("no norm", "call", "x = self.layer_norm(x)", ["x = x"]),
    ("sibling", "call", "x = self.fc(x)", []),
    ("swapped arguments", "call", "x = self.output(x, y)", ["x = self.output(y, x)"]),
    ("swapped arguments", "call", "x = ops.maximum(x, y)", []),
    ("skipped", "call", "x = self.dense(x)", ["x = x"]),
    ("skipped", "call", "x = self.dropout(x)", []),
    ("no epsilon", "call", "x = x * ops.rsqrt(v + self.eps)", ["x = x * ops.rsqrt(v)"]),
    ("no scale", "call", "w = ops.matmul(q, k) * scaling", ["w = ops.matmul(q, k)"]),
    ("unit scale", "call", "o = attend(q, scaling=self.scaling)", ["o = attend(q, scaling=1.0)"]),
    ("no term", "call", "x = x + self.bias", ["x = x"]),
    ("no bias argument", "call", "x = kf.linear(x, w, self.bias)", ["x = kf.linear(x, w, None)"]),
    ("other sign", "call", "x = a - b", ["x = (a + b)"]),
    ("other sign", "call", "x = -a", ["x = a"]),
    ("other sign", "call", "n = ops.shape(x)[1] - k", []),
    ("other sum", "call", "x = a + b", ["x = (a - b)"]),
    ("other constant", "call", "x = 1.0 - x", ["x = 1.5 - x"]),
    ("other constant", "call", "x = 2 * x", ["x = 3 * x"]),
    ("other clip", "call", "x = ops.clip(x, 0, n)",
     ["x = ops.clip(x, 0, n - 1)", "x = ops.clip(x, 0 + 1, n)"]),
    ("other function", "call", "x = ops.tanh(x)", ["x = ops.sigmoid(x)"]),
    ("tanh gelu", "call", "x = kf.gelu(x)", ["x = ops.gelu(x)"]),
    ("no cast", "call", "x = ops.cast(x, 'float32')", ["x = x"]),
    ("no cast back", "call", "x = ops.cast(x, y.dtype)", ["x = x"]),
    ("no float32", "call", "x = kf.softmax(x, dim=-1, dtype='float32')",
     ["x = kf.softmax(x, dim=-1)"]),
    ("added cast", "call", "x = self.q_proj(x)", ["x = ops.cast(self.q_proj(x), 'float32')"]),
    ("added cast", "call", "x = ops.cast(ops.matmul(x, y), 'float32')", []),
)  # fmt: skip

TWO_LAYERS = """class A:
    def __init__(self):
        self.fc1 = layers.Dense(d, d, name="fc1")
        self.fc2 = layers.Dense(d, d, name="fc2")
        self.fc3 = layers.Dense(d, e, name="fc3")
    def call(self, x):
        x = self.fc1(x)
"""
TWO_STEPS = "class A:\n    def call(self, x):\n        h = self.dense(x)\n        y = self.act(h)\n"
IMPORTS = "from keraform.runtime.masks import create_bidirectional_mask\n"


def spoiled(name: str, text: str) -> list[str]:
    """The last statement of `text`, once for each thing that a mutator may make of it."""
    mutator = next(each for each in MUTATORS if each.name == name)
    source = PortSource(Path("port.py"), text)
    last = text.rstrip().count("\n")
    return [
        source.replaced(place.statement, place.node, new).split("\n")[last].strip()
        for place in source.places()
        if place.statement.lineno == last + 1
        for new in mutator.spoil(place)
    ]


@pytest.mark.parametrize(
    ("name", "where", "statement", "expected"), CASES, ids=lambda value: str(value)[:40]
)
def test_a_mutator(name: str, where: str, statement: str, expected: list[str]) -> None:
    head = f"class A:\n    def {where}(self):\n        " if where else "class A:\n    "
    assert spoiled(name, f"{IMPORTS}{head}{statement}\n") == expected


def test_a_sibling_is_a_layer_of_the_same_make() -> None:
    assert spoiled("sibling", TWO_LAYERS) == ["x = self.fc2(x)"]


def test_a_stale_variable_is_read_as_it_was_before() -> None:
    assert spoiled("stale", TWO_STEPS) == ["y = self.act(x)"]


def test_every_mutator_has_a_case() -> None:
    assert {mutator.name for mutator in MUTATORS} - {"stale"} == {case[0] for case in CASES}
