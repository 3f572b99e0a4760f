"""Checkpoints go from torch to Keras and back, bit for bit, old names included."""

from __future__ import annotations

import json

import keras
import numpy as np
import pytest
import torch
import transformers
from safetensors.numpy import load_file, save_file

import keraform
from keraform.checkpoints import load_torch_state
from keraform.checkpoints.safetensors_files import read_safetensors
from keraform.errors import KeraformError
from keraform.runtime.tree import named_weights
from modeling import mini_bert


def torch_model(cls=transformers.BertForMaskedLM, **changes):
    model = cls(mini_bert.tiny_config(**changes)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return model


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bert")
    model = torch_model()
    model.save_pretrained(folder)
    return folder, model


def assert_same_files(one, other):
    before, after = load_file(one / "model.safetensors"), load_file(other / "model.safetensors")
    assert before.keys() == after.keys()
    for key, value in before.items():
        assert value.dtype == after[key].dtype and value.shape == after[key].shape, key
        assert value.tobytes() == after[key].tobytes(), key


def test_from_torch_and_back(checkpoint, tmp_path):
    folder, reference = checkpoint
    model, info = mini_bert.TFBertForMaskedLM.from_pretrained(folder, output_loading_info=True)
    assert not any(info.values())
    inputs = mini_bert.tiny_inputs()
    expected = reference(**{name: torch.tensor(value) for name, value in inputs.items()}).logits
    assert abs(np.asarray(model(inputs).logits) - expected.detach().numpy()).max() < 1e-5
    model.save_pretrained(tmp_path)
    assert_same_files(folder, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["architectures"] == ["BertForMaskedLM"] and config["dtype"] == "float32"
    again, info = transformers.BertForMaskedLM.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info.values())
    for key, value in reference.state_dict().items():
        assert torch.equal(value, again.state_dict()[key]), key


def test_shards_and_half_precision(checkpoint, tmp_path):
    folder, _ = checkpoint
    model = mini_bert.TFBertForMaskedLM.from_pretrained(folder, dtype="bfloat16")
    assert {variable.dtype for variable in model.trainable_variables} == {"bfloat16"}
    model.save_pretrained(tmp_path, max_shard_size="4KB")
    assert len(list(tmp_path.glob("model-*.safetensors"))) == 2
    assert not (tmp_path / "model.safetensors").exists()
    again = mini_bert.TFBertForMaskedLM.from_pretrained(tmp_path, dtype="auto", strict=True)
    reference = transformers.BertForMaskedLM.from_pretrained(tmp_path)
    assert reference.dtype == torch.bfloat16
    state = reference.state_dict()
    for one, two in zip(named_weights(model), named_weights(again), strict=True):
        assert np.asarray(one.variable).tobytes() == np.asarray(two.variable).tobytes()
        theirs = state[one.key].float().numpy()
        ours = np.asarray(one.variable).astype("float32")
        assert np.array_equal(ours if one.axes is None else ours.T, theirs), one.key
    model.save_pretrained(tmp_path)
    assert not list(tmp_path.glob("model-*.safetensors")) and not list(tmp_path.glob(".*"))
    wide = mini_bert.TFBertForMaskedLM.from_pretrained(tmp_path)
    assert {variable.dtype for variable in wide.trainable_variables} == {"float32"}


def test_a_new_head_is_reported_and_random(checkpoint, caplog):
    folder, _ = checkpoint
    model = mini_bert.TFBertForSequenceClassification.from_pretrained(folder, num_labels=5)
    assert "new and random, to be trained: bert.pooler.dense.weight" in caplog.text
    assert "in the checkpoint, not used: cls.predictions.bias" in caplog.text
    kernel = np.asarray(model.classifier.kernel)
    assert kernel.shape == (12, 5) and 0.01 < kernel.std() < 0.03
    assert not np.asarray(model.classifier.bias).any()
    _, info = mini_bert.TFBertForSequenceClassification.from_pretrained(
        folder, output_loading_info=True
    )
    assert set(info["missing_keys"]) == {
        f"{owner}.{name}"
        for owner in ("bert.pooler.dense", "classifier")
        for name in ("weight", "bias")
    }
    with pytest.raises(KeraformError, match=r"missing: bert\.pooler\.dense\.weight"):
        mini_bert.TFBertForSequenceClassification.from_pretrained(folder, strict=True)


def test_base_prefix_is_added_and_dropped(checkpoint, tmp_path):
    folder, reference = checkpoint
    reference.bert.save_pretrained(tmp_path)
    table = reference.bert.embeddings.word_embeddings.weight.detach().numpy()
    for cls, source in (
        (mini_bert.TFBertModel, folder),
        (mini_bert.TFBertMainLayer, folder),
        (mini_bert.TFBertForMaskedLM, tmp_path),
    ):
        model = cls.from_pretrained(source)
        assert np.array_equal(np.asarray(model.get_input_embeddings().embeddings), table), cls


def test_variables_are_made_from_the_file_alone(checkpoint, monkeypatch):
    folder, _ = checkpoint

    def refuse(*args, **kwargs):
        raise AssertionError("a random weight was made")

    for name in ("uniform", "normal", "truncated_normal"):
        monkeypatch.setattr(keras.random, name, refuse)
        monkeypatch.setattr(f"keras.src.random.{name}", refuse)
    model = mini_bert.TFBertForMaskedLM.from_pretrained(folder)
    assert all(variable._value is not None for variable in model.variables)
    pending = keras.src.backend.common.global_state.get_global_attribute("uninitialized_variables")
    assert not pending


def test_wrong_shapes_are_errors_and_never_reshaped(checkpoint, tmp_path):
    folder, _ = checkpoint
    with pytest.raises(KeraformError) as error:
        mini_bert.TFBertForMaskedLM.from_pretrained(folder, vocab_size=73)
    for words in ("embeddings.weight of shape (73, 12)", "shape (61, 12) in", "model.safetensors"):
        assert words in str(error.value)
    model, info = mini_bert.TFBertForMaskedLM.from_pretrained(
        folder, vocab_size=73, ignore_mismatched_sizes=True, output_loading_info=True
    )
    keys = {key for key, _, _ in info["mismatched_keys"]}
    assert keys == {"bert.embeddings.word_embeddings.weight", "cls.predictions.bias"}
    assert np.isfinite(np.asarray(model(mini_bert.tiny_inputs()).logits)).all()
    state = load_file(folder / "model.safetensors")
    key = "bert.encoder.layer.0.intermediate.dense.weight"
    state[key] = np.ascontiguousarray(state[key].T)  # as many numbers, another shape
    (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    save_file(state, tmp_path / "model.safetensors")
    with pytest.raises(KeraformError, match=r"shape \(12, 20\) in"):
        mini_bert.TFBertForMaskedLM.from_pretrained(tmp_path)


def test_aliases_must_agree(checkpoint, tmp_path):
    folder, _ = checkpoint
    state = load_file(folder / "model.safetensors")
    table = state["bert.embeddings.word_embeddings.weight"]
    (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    state["cls.predictions.decoder.weight"] = table.copy()
    save_file(state, tmp_path / "model.safetensors")
    mini_bert.TFBertForMaskedLM.from_pretrained(tmp_path, strict=True)
    state["cls.predictions.decoder.weight"] = table + 1
    save_file(state, tmp_path / "model.safetensors")
    with pytest.raises(KeraformError, match=r"try: from_pretrained.*tie_word_embeddings=False"):
        mini_bert.TFBertForMaskedLM.from_pretrained(tmp_path)
    model = mini_bert.TFBertForMaskedLM.from_pretrained(tmp_path, tie_word_embeddings=False)
    assert np.array_equal(np.asarray(model.cls.predictions.decoder.kernel).T, table + 1)
    del state["bert.embeddings.word_embeddings.weight"]
    save_file(state, tmp_path / "model.safetensors")
    model = mini_bert.TFBertForMaskedLM.from_pretrained(tmp_path)
    assert np.array_equal(np.asarray(model.bert.embeddings.word_embeddings.embeddings), table + 1)


def test_very_old_names(checkpoint, tmp_path):
    folder, _ = checkpoint
    state = {
        key.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta"
        ): value
        for key, value in load_file(folder / "model.safetensors").items()
    }
    assert any("gamma" in key for key in state)
    state["bert.embeddings.position_ids"] = np.arange(17)[None]
    (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    save_file(state, tmp_path / "model.safetensors")  # and without metadata
    _, info = mini_bert.TFBertForMaskedLM.from_pretrained(
        tmp_path, strict=True, output_loading_info=True
    )
    assert not any(info.values())


def test_load_torch_state_takes_arrays():
    reference = torch_model()
    model = mini_bert.TFBertForMaskedLM(mini_bert.tiny_config())
    state = {key: value.numpy() for key, value in reference.state_dict().items()}
    report = load_torch_state(model, state)
    assert report.is_clean
    del state["cls.predictions.transform.dense.bias"]
    report = load_torch_state(model, {**state, "extra": np.ones(3)})
    assert report.missing_keys == ["cls.predictions.transform.dense.bias"]
    assert report.unexpected_keys == ["extra"]


def test_batch_norm_statistics_and_weight_norm(tmp_path):
    from transformers import ResNetConfig, ResNetForImageClassification

    config = ResNetConfig(
        embedding_size=6, hidden_sizes=[8, 10], depths=[1, 2], num_channels=3, layer_type="basic"
    )
    reference = ResNetForImageClassification(config)
    with torch.no_grad():
        for name, value in reference.named_buffers():
            value.add_(3 if "num_batches" in name else torch.rand_like(value))
    reference.save_pretrained(tmp_path / "torch")
    model = keraform.TFAutoModelForImageClassification.from_pretrained(
        tmp_path / "torch", strict=True
    )
    model.save_pretrained(tmp_path / "keras")
    assert_same_files(tmp_path / "torch", tmp_path / "keras")


@pytest.mark.parametrize("name", ["LlamaForCausalLM", "T5ForConditionalGeneration"])
def test_generation_config_is_read_and_written(name, tmp_path):
    config_class = getattr(transformers, name).config_class
    small = {"vocab_size": 41, "hidden_size": 8, "intermediate_size": 12, "num_hidden_layers": 1}
    config = config_class(
        **small, num_attention_heads=2, num_key_value_heads=2, d_model=8, d_kv=4, num_layers=1
    )
    reference = getattr(transformers, name)(config)
    reference.generation_config.max_new_tokens = 13
    reference.save_pretrained(tmp_path / "torch")
    model = getattr(keraform, f"TF{name}").from_pretrained(tmp_path / "torch")
    assert model.generation_config.max_new_tokens == 13
    model.save_pretrained(tmp_path / "keras")
    saved = json.loads((tmp_path / "keras" / "generation_config.json").read_text())
    assert saved["max_new_tokens"] == 13
    assert_same_files(tmp_path / "torch", tmp_path / "keras")
    # where checkpoints used to keep it: in config.json
    (tmp_path / "torch" / "generation_config.json").unlink()
    fields = json.loads((tmp_path / "torch" / "config.json").read_text())
    old = json.dumps({**fields, "num_beams": 3, "length_penalty": 2.0})
    (tmp_path / "torch" / "config.json").write_text(old)
    again = getattr(keraform, f"TF{name}").from_pretrained(tmp_path / "torch").generation_config
    expected = getattr(transformers, name).from_pretrained(tmp_path / "torch").generation_config
    assert again.num_beams == 3 and again.to_dict() == expected.to_dict()


def test_a_tensor_may_begin_anywhere_in_the_file(tmp_path):
    header = json.dumps(
        {
            "bytes": {"dtype": "U8", "shape": [3], "data_offsets": [0, 3]},
            "floats": {"dtype": "F32", "shape": [2], "data_offsets": [3, 11]},
            "nothing": {"dtype": "F32", "shape": [0, 2], "data_offsets": [11, 11]},
        }
    ).encode()
    values = bytes([1, 2, 3]) + np.array([0.5, -2.0], "float32").tobytes()
    path = tmp_path / "odd.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + values)
    found = read_safetensors([path])
    assert keras.ops.convert_to_tensor(found["floats"].read()).numpy().tolist() == [0.5, -2.0]
    assert found["bytes"].read().tolist() == [1, 2, 3]
    assert found["nothing"].read().shape == (0, 2)
