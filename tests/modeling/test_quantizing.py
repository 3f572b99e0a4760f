"""Quantized ports: how far off, saved and loaded, and what is refused."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from transformers import BertConfig, GPT2Config

import keraform
from keraform.errors import KeraformError
from keraform.modeling import MainLayer, PreTrainedModel
from keraform.runtime import layers

IDS = np.array([[1, 2, 3, 19, 5, 6]])
BERT = {
    "vocab_size": 31,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 40,
}
# relative distance of logits (root mean square): these models are tiny and random
LIMITS = {"int8": 0.03, "int4": 0.5, "float8": 0.25}


def bert():
    keras.utils.set_random_seed(0)
    model = keraform.TFBertForMaskedLM.from_config(BertConfig(**BERT))
    for weight in model.weights:
        if weight.path.endswith("kernel"):
            weight.assign(keras.random.normal(weight.shape) * 0.3)
    return model


def logits(model):
    return np.asarray(model({"input_ids": IDS}).logits)


# int8 in the default run: tests/modeling/battery.py; each product of integers is compiled
@pytest.mark.slow
@pytest.mark.parametrize("mode", LIMITS)
def test_quantized_models_are_near_and_come_back(mode, tmp_path):
    model = bert()
    expected = logits(model)
    paths = model.quantize(mode)
    assert "bert.encoder.layer.1.output.dense" in paths
    # the head is tied to the table, and neither is quantized
    assert not any("decoder" in path or "word_embeddings" in path for path in paths)
    found = logits(model)
    distance = np.sqrt(((found - expected) ** 2).mean() / (expected**2).mean())
    assert 0 < distance < LIMITS[mode], distance
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert np.array_equal(logits(again), found)
    kinds = {weight.dtype for weight in again.weights if weight.path.endswith("query/kernel")}
    assert kinds == {"float32" if mode == "float8" else "int8"}
    with pytest.raises(KeraformError, match=rf"word_embeddings|quantized to {mode}"):
        model.save_pretrained(tmp_path / "torch")


def test_what_cannot_be_quantized_is_said():
    model = bert()
    for mode, kwargs in (("gptq", {}), ("int8", {"config": "mine"}), ("int8", {"axis": 0})):
        with pytest.raises(KeraformError, match="one of the modes int8, int4, float8"):
            model.quantize(mode, **kwargs)
    with pytest.raises(KeraformError, match="filters='nothing'"):
        model.quantize("int8", filters="nothing")
    assert model.quantize("int8", filters=r"layer\.0\.attention\.self\.") == [
        f"bert.encoder.layer.0.attention.self.{name}" for name in ("query", "key", "value")
    ]
    with pytest.raises(KeraformError, match="with quantized weights"):
        model.quantize("int8")
    with pytest.raises(KeraformError, match="neither LoRA nor quantized weights"):
        model.enable_lora(2, ["query"])
    query = model.bert.encoder.layer[0].attention.self.query
    with pytest.raises(NotImplementedError, match="code that computes with its 'weight' itself"):
        _ = query.weight


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept")  # Keras on its own
def test_float8_learns():
    model = keraform.TFBertForSequenceClassification.from_config(BertConfig(**BERT))
    model.quantize("float8")
    model.compile(keras.optimizers.SGD(0.1))
    query = model.bert.encoder.layer[0].attention.self.query
    before = float(keras.ops.convert_to_numpy(query.inputs_scale.value))
    model.fit({"input_ids": np.repeat(IDS, 4, 0)}, np.array([0, 1, 0, 1]), epochs=2, verbose=0)
    assert float(keras.ops.convert_to_numpy(query.inputs_scale.value)) != before


@pytest.mark.slow
def test_dense_layers_of_gpt2_are_quantized_too():
    config = GPT2Config(vocab_size=31, n_embd=32, n_layer=2, n_head=2)
    model = keraform.TFGPT2LMHeadModel.from_config(config)
    expected = logits(model)
    assert "transformer.h.0.attn.c_attn" in model.quantize("int8")
    found = logits(model)
    assert 0 < np.sqrt(((found - expected) ** 2).mean() / (expected**2).mean()) < 0.03
    in_graph = model.predict({"input_ids": IDS}, verbose=0)["logits"]
    assert abs(in_graph - found).max() < 1e-5


def test_a_layer_of_that_name_is_the_models():
    class TFCodes(PreTrainedModel, MainLayer):
        config_class = BertConfig

        def __init__(self, config, **kwargs):
            super().__init__(config, **kwargs)
            self.quantize = layers.Dense(2, 3)

        def call(self, x):
            return self.quantize(x)

    model = TFCodes(BertConfig(**BERT))
    assert isinstance(model.quantize, layers.Dense)
    assert model(keras.ops.ones((1, 2))).shape == (1, 3)
