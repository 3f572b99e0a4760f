"""New weights are distributed as upstream's, and ties are one variable."""

from __future__ import annotations

import numpy as np
import pytest
from transformers import BertForMaskedLM

from keraform.modeling.backbone import filter_output_hidden_states
from keraform.modeling.tying import expanded_ties
from keraform.runtime.outputs import ModelOutput
from keraform.runtime.tree import named_weights
from modeling import mini_bert
from modeling.battery import array


def test_new_weights_have_upstreams_moments():
    config = mini_bert.tiny_config(hidden_size=60, vocab_size=301, initializer_range=0.3)
    ours = {w.key: array(w.variable) for w in named_weights(mini_bert.TFBertForMaskedLM(config))}
    theirs = {
        key: value.detach().numpy() for key, value in BertForMaskedLM(config).named_parameters()
    }
    assert theirs.keys() <= ours.keys()
    for key, value in theirs.items():
        limit = 8 * value.std() / value.size**0.5 + 1e-6  # sampling error of two draws
        assert abs(ours[key].std() - value.std()) < limit, key
        assert abs(ours[key].mean() - value.mean()) < limit, key
    assert not ours["bert.embeddings.word_embeddings.weight"][0].any()


def test_tied_weights_are_one_variable():
    model = mini_bert.TFBertForMaskedLM(mini_bert.tiny_config())
    table = model.bert.embeddings.word_embeddings
    before = array(model(mini_bert.tiny_inputs()).logits)
    table.embeddings.assign(table.embeddings * 2.0)
    assert abs(array(model(mini_bert.tiny_inputs()).logits) - before).max() > 0
    assert model.all_tied_weights_keys["cls.predictions.decoder.bias"] == "cls.predictions.bias"
    untied = mini_bert.TFBertForMaskedLM(mini_bert.tiny_config(tie_word_embeddings=False))
    extra = 61 * 12 + 61
    assert untied.num_parameters() == model.num_parameters() + extra


def test_a_plain_wrapper_is_not_asked_for_weights_of_its_main_layer(monkeypatch):
    asked = []
    monkeypatch.setattr(
        mini_bert.TFBertPreTrainedModel,
        "_init_weights",
        lambda self, layer: asked.append(type(layer).__name__),
    )
    mini_bert.TFBertModel(mini_bert.tiny_config())
    assert "TFBertMainLayer" in asked
    assert "TFBertModel" not in asked


def test_ties_may_be_patterns_and_modules():
    class Patterned(mini_bert.TFBertModel):
        _tied_weights_keys = {r"encoder.layer.(?![0])\d+.output": "encoder.layer.0.output"}  # noqa: RUF012

    model = Patterned(mini_bert.tiny_config())
    found = expanded_ties(model)
    assert found["encoder.layer.1.output.dense.weight"] == "encoder.layer.0.output.dense.weight"
    assert len(found) == 4
    weights = {w.key: w.variable for w in named_weights(model)}
    for key, shared in found.items():
        assert weights[key] is weights[shared]


def test_a_tie_to_nothing_is_named():
    class Wrong(mini_bert.TFBertModel):
        _tied_weights_keys = {"head.weight": "embeddings.word_embeddings.weight"}  # noqa: RUF012

    with pytest.raises(ValueError, match=r"expected: a weight head\.weight in Wrong"):
        Wrong(mini_bert.tiny_config())


def test_backbones_return_hidden_states_only_when_asked():
    class Backbone:
        config = mini_bert.tiny_config()

        @filter_output_hidden_states
        def call(self, output_hidden_states=None):
            assert output_hidden_states is True
            return ModelOutput(feature_maps=(1,), hidden_states=(1, 2, 3))

    assert list(Backbone().call()) == ["feature_maps"]
    assert Backbone().call(output_hidden_states=True)["hidden_states"] == (1, 2, 3)
    assert Backbone().call(output_hidden_states=[-1])["hidden_states"] == [None, None, 3]


def test_random_models_cost_one_initialisation():
    model = mini_bert.TFBertModel.from_config(mini_bert.tiny_config())
    assert all(variable._value is not None for variable in model.variables)
    assert np.isfinite(array(model(mini_bert.tiny_inputs()).pooler_output)).all()
