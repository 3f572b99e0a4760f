"""`resize_token_embeddings` keeps rows and ties, and torch loads what is saved."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import torch
import transformers
from transformers import BartConfig, BertConfig, LlamaConfig

import keraform
from keraform.errors import KeraformError

BERT = BertConfig(
    vocab_size=31, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=20
)
LLAMA = LlamaConfig(
    vocab_size=31, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=20
)
BART = BartConfig(
    vocab_size=31,
    d_model=16,
    encoder_layers=1,
    decoder_layers=1,
    encoder_attention_heads=2,
    decoder_attention_heads=2,
    encoder_ffn_dim=20,
    decoder_ffn_dim=20,
)
IDS = np.array([[1, 2, 3, 19]])


def pair(name, config, folder):
    """Torch's model and the port with the same random weights."""
    torch.manual_seed(0)
    reference = getattr(transformers, name)(config)
    for parameter in reference.parameters():
        torch.nn.init.normal_(parameter)
    reference.save_pretrained(folder)
    reference = getattr(transformers, name).from_pretrained(folder)
    return reference, getattr(keraform, f"TF{name}").from_pretrained(folder)


@pytest.mark.parametrize(
    "name, config, given, rows",
    [
        ("BertForMaskedLM", BERT, {"new_num_tokens": 37}, 37),
        ("BertForMaskedLM", BERT, {"pad_to_multiple_of": 16}, 32),
        ("LlamaForCausalLM", LLAMA, {"new_num_tokens": 20, "pad_to_multiple_of": 8}, 24),
        pytest.param(
            "BartForConditionalGeneration",
            BART,
            {"new_num_tokens": 37},
            37,
            marks=pytest.mark.slow,
        ),
    ],
)
def test_saved_models_are_torchs_resized_ones(name, config, given, rows, tmp_path):
    reference, model = pair(name, config, tmp_path / "before")
    reference.resize_token_embeddings(**given)
    table = model.resize_token_embeddings(**given)
    assert table is model.get_input_embeddings() and table.input_dim == rows
    assert model.config.vocab_size == rows
    model.save_pretrained(tmp_path / "after")
    again, report = getattr(transformers, name).from_pretrained(
        tmp_path / "after", output_loading_info=True
    )
    assert not any(report.values())
    wanted = reference.state_dict()
    assert set(again.state_dict()) == set(wanted)
    for key, value in again.state_dict().items():
        # new rows are drawn, with a deviation of some 3e-5
        assert (value - wanted[key]).abs().max() < 1e-3, key
    inputs = {"input_ids": IDS}
    if config.is_encoder_decoder:
        inputs["decoder_input_ids"] = IDS
    logits = model(inputs).logits
    with torch.no_grad():
        theirs = again.eval()(**{key: torch.tensor(value) for key, value in inputs.items()})
    assert logits.shape[-1] == rows
    assert abs(logits.numpy() - theirs.logits.numpy()).max() < 1e-4
    model.save(tmp_path / "model.keras")
    kept = keras.saving.load_model(tmp_path / "model.keras")
    assert np.array_equal(kept(inputs).logits, logits)


def test_new_rows_are_drawn_around_the_mean_of_the_old():
    keras.utils.set_random_seed(1)
    model = keraform.TFBertModel.from_config(BertConfig(**{**BERT.to_dict(), "vocab_size": 400}))
    table = model.get_input_embeddings()
    mixing = np.random.default_rng(0).normal(size=(16, 16)).astype("float32")
    old = np.asarray(table.weight) @ mixing * 50 + 3
    table.embeddings.assign(old)
    model.resize_token_embeddings(20400)
    new = np.asarray(table.weight)
    assert np.array_equal(new[:400], old)
    # what float32 leaves of a deviation of 1e-4.5 beside a mean of 3 is coarse
    apart = (new[400:].astype("float64") - old.mean(axis=0, dtype="float64")) / np.sqrt(1e-9)
    covariance = np.cov(old.T, bias=True)
    scale = np.sqrt(np.outer(np.diag(covariance), np.diag(covariance)))
    assert (abs(np.cov(apart.T) - covariance) / scale).max() < 0.05
    assert (abs(apart.mean(axis=0)) / np.sqrt(np.diag(covariance))).max() < 0.05
    model.resize_token_embeddings(20900, mean_resizing=False)
    fresh = np.asarray(table.weight)[20400:]
    assert abs(fresh.mean()) < 1e-3 and abs(fresh.std() - BERT.initializer_range) < 1e-3


def test_what_cannot_be_resized_is_said():
    model = keraform.TFBertForMaskedLM.from_config(BertConfig(**BERT.to_dict()))
    assert model.resize_token_embeddings() is model.get_input_embeddings()
    for wrong in ({"new_num_tokens": 0}, {"new_num_tokens": 7.5}, {"pad_to_multiple_of": 0}):
        with pytest.raises(KeraformError, match="whole numbers of at least 1"):
            model.resize_token_embeddings(**wrong)
    model.compile("adam", run_eagerly=True)
    model.resize_token_embeddings(33)
    model.fit({"input_ids": IDS, "labels": IDS + 12}, verbose=0)
    with pytest.raises(KeraformError, match="Adam holds state of other weights"):
        model.resize_token_embeddings(34)
