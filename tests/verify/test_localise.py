"""Localising: a good port is left in peace; of a bad one the statement, the rule and the cause are
named, first on real ports with one edit.
"""

from __future__ import annotations

import pytest
from edited import edited_case

from keraform.verify.findings import CONSTRUCTION, STATEMENT, WEIGHTS
from keraform.verify.localising.localise import localise
from keraform.verify.targets import Target, cases_of


def first(case):
    found = localise(case)
    assert found.findings
    finding = found.findings[0]
    assert finding.keras is not None and finding.torch is not None
    return finding


def test_a_good_port_has_no_findings():
    (case,) = cases_of(Target("bert", ("BertModel",)))
    steps = []
    found = localise(case, lambda what, done, total: steps.append((what, done, total)))
    assert found.findings == []
    assert found.weights.complete
    assert all(stage.isolated < 1e-12 for stage in found.stages.values() if stage.isolated)
    assert steps == [("weights", 0, 4), ("stages", 1, 4), ("half precision", 3, 4)]


EDITS = [
    # what stands in the port, what stands there instead, kind, parts of the guilty line and cause
    (
        "ops.matmul(query, ops.swapaxes(key, 2, 3)) * scaling",
        "ops.matmul(query, ops.swapaxes(key, 2, 3))",
        STATEMENT,
        "attn_weights = ops.matmul(query",
        "alone",
    ),
    (
        "self.scaling = self.attention_head_size**-0.5",
        "self.scaling = self.attention_head_size**-1.0",
        CONSTRUCTION,
        "self.scaling = self.attention_head_size",
        "another number: the port has 0.166667, torch 0.408248",
    ),
    (
        "self.LayerNorm(hidden_states + input_tensor)",
        "self.LayerNorm(hidden_states)",
        STATEMENT,
        "self.LayerNorm(hidden_states)",
        None,
    ),
    (
        "ops.softmax(attn_weights, axis=-1)",
        "ops.softmax(attn_weights, axis=-2)",
        STATEMENT,
        "ops.softmax(attn_weights, axis=-2)",
        "the softmax over axis 2",
    ),
    (
        'epsilon=config.layer_norm_eps, name="LayerNorm")\n        self.dropout = layers.Dropout',
        'epsilon=1e-5, name="LayerNorm")\n        self.dropout = layers.Dropout',
        CONSTRUCTION,
        "self.LayerNorm = layers.LayerNormalization(",
        "epsilon: the port computes with 1e-05, torch with 1e-12",
    ),
    (
        "            query_layer,\n            key_layer,\n",
        "            key_layer,\n            query_layer,\n",
        STATEMENT,
        "attn_output, attn_weights = attention_interface(",
        None,
    ),
    (
        "                hidden_states,\n                attention_mask,\n",
        "                hidden_states,\n                None,\n",
        STATEMENT,
        "hidden_states = layer_module(",
        None,
    ),
]


@pytest.mark.parametrize(("old", "new", "kind", "line", "cause"), EDITS)
def test_the_statement_is_named(tmp_path, old, new, kind, line, cause):
    finding = first(edited_case("bert", "BertModel", old, new, tmp_path))
    assert finding.kind == kind
    assert line in finding.keras.text
    assert finding.keras.file == str(tmp_path / "edited_port.py")
    assert finding.torch.file.endswith("modeling_bert.py")
    if cause is not None:
        assert cause in finding.cause


def test_the_rule_is_named(tmp_path):
    old = "ops.softmax(attn_weights, axis=-1)"
    finding = first(edited_case("bert", "BertModel", old, old.replace("-1", "-2"), tmp_path))
    assert any("softmax" in rule for rule in finding.rules)
    assert finding.torch_values.shape == finding.keras_values.shape


def test_an_exception_is_followed_to_the_statement_before_it(tmp_path):
    old = "ops.swapaxes(ops.reshape(self.value(hidden_states), hidden_shape), 1, 2)"
    new = "ops.reshape(self.value(hidden_states), hidden_shape)"
    finding = first(edited_case("bert", "BertModel", old, new, tmp_path))
    assert "value_layer = ops.reshape" in finding.keras.text


def test_a_cast_that_is_missing_shows_in_half_precision(tmp_path):
    old = 'ops.softmax(ops.cast(attn_weights, "float32"), axis=-1)'
    finding = first(
        edited_case("llama", "LlamaModel", old, "ops.softmax(attn_weights, axis=-1)", tmp_path)
    )
    assert finding.dtype == "bfloat16"
    assert "ops.softmax(attn_weights, axis=-1)" in finding.keras.text
    assert "computes in bfloat16, torch in bfloat16 and float32" in finding.problem


def test_an_untied_head_is_named(tmp_path):
    old = '_tied_weights_keys = {"lm_head.weight": "transformer.wte.weight"}'
    finding = first(
        edited_case("gpt2", "GPT2LMHeadModel", old, "_tied_weights_keys = {}", tmp_path)
    )
    assert finding.kind == WEIGHTS
    assert "_tied_weights_keys = {}" in finding.keras.text
    assert "are two variables, one parameter in torch" in finding.problem
