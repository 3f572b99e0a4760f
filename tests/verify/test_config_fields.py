"""Every config field that the PyTorch code reads, the port reads: each one that matters is changed,
and the outputs are compared again.
"""

from __future__ import annotations

import ast

import pytest
from config_changes import (
    SHOWN,
    Comparison,
    Reader,
    changed_config,
    check,
    fields_read,
    follow,
)
from config_values import WITHOUT_EFFECT, other_values, reason_without_effect
from transformers import BertForMaskedLM, BertForSequenceClassification

from keraform.translate import translation
from keraform.verify.classes import PROVED_TYPES
from keraform.verify.tiny import shrink_config

DEFAULT = ("bert",)
BERT = "transformers.models.bert.modeling_bert"

# Fields that are read, and still show nowhere: by model type, with the reason.
NOTHING_TO_SEE: dict[str, dict[str, str]] = {
    "bart": {"is_decoder": "every class sets it for its own decoder"},
    "wav2vec2": {"ctc_zero_infinity": "shows in an infinite loss alone"},
}

# Fields that upstream reads where the port refuses.
REFUSED = {"_name_or_path": "adapters from the Hub, which torch's own code loads"}


def marked(types: tuple[str, ...]) -> list:
    return [
        name if name in DEFAULT else pytest.param(name, marks=pytest.mark.models) for name in types
    ]


@pytest.mark.parametrize("model_type", marked(PROVED_TYPES))
def test_the_port_follows_each_field(model_type):
    reports = list(check(model_type))
    assert any(report.how == "outputs" for report in reports)
    failures = [str(report) for report in reports if report.failure]
    assert not failures, "\n".join(failures)
    quiet = {report.field: str(report) for report in reports if report.how not in SHOWN}
    known = NOTHING_TO_SEE.get(model_type, {})
    assert quiet.keys() == known.keys(), f"expected {sorted(known)}; got {quiet}"


@pytest.mark.parametrize("model_type", PROVED_TYPES)
def test_each_field_that_is_read_stands_in_the_port(model_type):
    reader = Reader.of(model_type)
    upstream = set().union(*reader.by_class.values())
    ours = set(fields_read(ast.parse(translation(reader.module.__name__).code)))
    missing = upstream - ours - REFUSED.keys()
    assert not missing, f"not in the port: {sorted(missing)}"


def test_a_port_that_ignores_a_field_is_found(monkeypatch):
    comparison = Comparison(BERT, BertForMaskedLM)
    deaf = shrink_config(BertForMaskedLM.config_class, "BertForMaskedLM")
    port = comparison.port
    monkeypatch.setattr(comparison, "port", lambda config, labels: port(deaf, labels))
    for name, value in (("hidden_act", "relu"), ("layer_norm_eps", 0.03)):
        assert follow(comparison, name, [value]).failure.startswith("outputs/")
    report = follow(comparison, "hidden_dropout_prob", [0.37])
    assert report.how == "attributes" and "torch has 0.37" in report.failure


def test_losses_show_what_outputs_do_not():
    comparison = Comparison(BERT, BertForSequenceClassification)
    report = follow(comparison, "problem_type", ["multi_label_classification"])
    assert (report.how, report.failure) == ("loss", "")


def test_readers_are_followed_through_the_file():
    reader = Reader.of("bert")
    assert "intermediate_size" in reader.by_class["BertForMaskedLM"]
    assert "intermediate_size" not in reader.by_class["BertSelfAttention"]
    text = 'x = self.config.a + getattr(text_config, "b", 1) + other.c'
    assert set(fields_read(ast.parse(text))) == {"a", "b"}


def test_other_values_differ():
    assert other_values("use_bias", True) == [False]
    assert other_values("hidden_act", "relu") == ["tanh"]
    assert 48 in other_values("hidden_size", 24)
    config = changed_config(BertForMaskedLM, "add_cross_attention", True)
    assert config.add_cross_attention and config.is_decoder


def test_every_field_left_alone_has_a_reason():
    assert all(reason for _, reason in WITHOUT_EFFECT)
    assert reason_without_effect("initializer_range")
    assert not reason_without_effect("hidden_size")
