"""Bad input gets an error in three parts, and nothing half-written is left behind."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

import keraform
from keraform.checkpoints.safetensors_files import byte_count, read_safetensors, write_safetensors
from keraform.checkpoints.tensors import StoredTensor
from keraform.errors import KeraformError
from modeling import mini_bert


def refused(function, *words, error=KeraformError):
    with pytest.raises(error) as caught:
        function()
    text = str(caught.value)
    for word in ("expected: ", "\ngot: ", "\ntry: ", *words):
        assert word in text, text


@pytest.fixture
def folder(tmp_path):
    mini_bert.tiny_config().save_pretrained(tmp_path)
    return tmp_path


@pytest.mark.parametrize("auto", [False, True])
def test_directories_that_hold_no_model(tmp_path, auto):
    cls = keraform.TFAutoModel if auto else mini_bert.TFBertModel
    refused(lambda: cls.from_pretrained(tmp_path), "config.json", "an empty directory")
    refused(lambda: cls.from_pretrained(tmp_path / "no" / "where"), "no such directory")
    (tmp_path / "readme.txt").write_text("nothing")
    refused(lambda: cls.from_pretrained(str(tmp_path)), "1 files: readme.txt")


def test_unknown_model_types(tmp_path):
    for config, words in (({"model_type": "bertt"}, "'bertt'"), ({}, "model_type None")):
        (tmp_path / "config.json").write_text(json.dumps(config))
        refused(lambda: keraform.TFAutoModel.from_pretrained(tmp_path), words, "config.json")
    (tmp_path / "config.json").write_text("{")
    refused(lambda: keraform.TFAutoModel.from_pretrained(tmp_path), "a JSON object in")


def test_a_type_without_the_task(folder):
    refused(
        lambda: keraform.TFAutoModelForObjectDetection.from_pretrained(folder),
        "model types of TFAutoModelForObjectDetection",
        "BertConfig",
        "TFAutoModelFor",
    )


@pytest.mark.parametrize(
    "name, words",
    [
        (None, "no weights file"),
        ("pytorch_model.bin", "pytorch_model.bin (1 bytes)"),
        ("tf_model.h5", "tf_model.h5 (1 bytes)"),
    ],
)
def test_missing_weights(folder, name, words):
    if name:
        (folder / name).write_bytes(b"0")
    refused(lambda: mini_bert.TFBertModel.from_pretrained(folder), words)


@pytest.mark.parametrize("name", ["../model-1.safetensors", "a/b.safetensors", "..", "a\\\\b"])
def test_an_index_that_leads_out_of_its_directory(folder, name):
    index = {"metadata": {}, "weight_map": {"w": name}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    refused(lambda: mini_bert.TFBertModel.from_pretrained(folder), repr(name))


@pytest.mark.parametrize("keep", [0, 5, 4000])
def test_cut_off_files(folder, keep):
    model = mini_bert.TFBertModel(mini_bert.tiny_config())
    model.save_pretrained(folder)
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:keep])
    refused(lambda: mini_bert.TFBertModel.from_pretrained(folder), str(file), f"({keep} bytes)")


def test_incomplete_shards(folder):
    model = mini_bert.TFBertModel(mini_bert.tiny_config())
    model.save_pretrained(folder, max_shard_size="4KB")
    shard = sorted(folder.glob("model-*.safetensors"))[1]
    shard.unlink()
    refused(lambda: mini_bert.TFBertModel.from_pretrained(folder), shard.name)
    (folder / "model.safetensors.index.json").write_text("[]")
    refused(lambda: mini_bert.TFBertModel.from_pretrained(folder), "a list in place of an object")


def test_a_key_in_two_files(tmp_path):
    for name in ("a.safetensors", "b.safetensors"):
        save_file({"w": np.ones(2)}, tmp_path / name)
    files = [tmp_path / "a.safetensors", tmp_path / "b.safetensors"]
    refused(lambda: read_safetensors(files), "a.safetensors", "b.safetensors")


def test_a_failed_save_leaves_the_old_files(folder):
    save_file({"w": np.ones(2)}, folder / "model.safetensors")
    before = sorted(path.name for path in folder.iterdir())

    def fail():
        raise MemoryError

    broken = {"w": StoredTensor("w", (2,), "float32", "", fail)}
    with pytest.raises(MemoryError):
        write_safetensors(folder, broken)
    assert sorted(path.name for path in folder.iterdir()) == before
    assert read_safetensors([folder / "model.safetensors"])["w"].read().tolist() == [1, 1]


def test_arguments_that_are_not_there_yet(folder):
    model = mini_bert.TFBertModel(mini_bert.tiny_config())
    refused(lambda: model.save_pretrained(folder / "config.json"), "which is a file")
    refused(lambda: mini_bert.TFBertModel.from_pretrained(folder, use_safetensors=False))
    model.save_pretrained(folder)
    refused(lambda: mini_bert.TFBertModel.from_pretrained(folder, dtype="int8"), "dtype='int8'")
    refused(lambda: byte_count("5 apples"), "'5 apples'")


def test_sizes_with_units():
    assert byte_count("5GB") == 5 * 10**9 and byte_count("1.5KiB") == 1536 and byte_count(7) == 7
