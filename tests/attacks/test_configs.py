"""Configurations that are none, or that ask for more than there is."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import keraform
from modeling import mini_bert


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A checkpoint that loads."""
    folder = tmp_path_factory.mktemp("whole")
    mini_bert.TFBertModel(mini_bert.tiny_config()).save_pretrained(folder)
    return folder


@pytest.fixture
def folder(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "model")


def load(folder):
    return mini_bert.TFBertModel.from_pretrained(folder)


TEXTS = {
    "empty": b"",
    "not JSON": b"{model_type: bert}",
    "half": b'{"model_type": "bert", "hidden_size": 1',
    "a list": b"[]",
    "text": b'"bert"',
    "null": b"null",
    "a number": b"7",
    "two objects": b"{}{}",
    "not UTF-8": b'{"model_type": "\xff"}',
    "UTF-16": '{"model_type": "bert"}'.encode("utf-16"),
    "key twice": b'{"model_type": "bert", "hidden_size": 16, "hidden_size": 32}',
    "type twice": b'{"model_type": "bert", "model_type": "gpt2"}',
    "NaN": b'{"model_type": "bert", "layer_norm_eps": NaN}',
    "deep objects": b'{"a":' * 10**5,
    "deep lists": b'{"model_type": "bert", "a": ' + b"[" * 10**5,
    "9999999 digits": b'{"model_type": "bert", "hidden_size": ' + b"9" * 9_999_999 + b"}",
    "HTML": b"<!doctype html>",
    "Git LFS": b"version https://git-lfs.github.com/spec/v1\n",
    "a pickle": b"\x80\x02cos\nsystem\n(S'true'\ntR.",
}


@pytest.mark.parametrize("auto", [False, True], ids=["class", "auto"])
@pytest.mark.parametrize("name", TEXTS)
def test_text(folder, refuses, name, auto):
    (folder / "config.json").write_bytes(TEXTS[name])
    read = keraform.TFAutoModel.from_pretrained if auto else load
    refuses(lambda: read(folder), str(folder / "config.json"))


TYPES = (
    None, 7, [], {}, ["bert"], "", "bertt", "../bert", "/etc/passwd", "bert\0", "os.system",
    "models.bert", "__init__", "a" * 10**5, "bert; import os", "transformers", "TFBertModel",
)  # fmt: skip


@pytest.mark.parametrize("model_type", TYPES, ids=lambda value: repr(value)[:20])
def test_model_type(folder, refuses, model_type):
    (folder / "config.json").write_text(json.dumps({"model_type": model_type}))
    refuses(lambda: keraform.TFAutoModel.from_pretrained(folder), "config.json", "model_type")


@pytest.mark.parametrize("kind", ["a directory", "a pipe"])
def test_a_config_that_is_no_file(folder, refuses, kind):
    import os

    path = folder / "config.json"
    path.unlink()
    (os.mkdir if kind == "a directory" else os.mkfifo)(path)
    refuses(lambda: load(folder), str(path), kind)


MANY = 10**9
FIELDS = {
    "hidden_size": (MANY, 2**31, 2**62, 10**30, -1, 0, 3, 1e9, 16.5, "16", None, [], {}, True),
    "num_hidden_layers": (MANY, 10_000, 1e9, "2", None, [2]),
    "num_attention_heads": (MANY, 0, "2", None),
    "intermediate_size": (MANY, 2**24, -1, 0, 5, "32", None),
    "vocab_size": (MANY, 2**24, -1, 0, 98, "99", None, 1.5),
    "max_position_embeddings": (MANY, 2**24, -1, 0, "64", None),
    "type_vocab_size": (MANY, 2**24, -1, 0, None),
    "num_labels": (MANY, 2**62, "3"),
    "layer_norm_eps": ("small", [], {}),
    "hidden_act": (7, None, []),
    "hidden_dropout_prob": (2, -1, "0.1"),
    "id2label": ([], "labels", 7, {"a": "b"}),
}  # a value that would load as it is has no place here
CASES = [(name, value) for name, values in FIELDS.items() for value in values]


@pytest.mark.parametrize("field, value", CASES, ids=lambda value: str(value)[:24])
def test_field(folder, refuses, field, value):
    path = folder / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, field: value}))
    refuses(lambda: load(folder), "model")


def test_inner_configurations(folder, refuses):
    path = folder / "config.json"
    inner = {"model_type": "bert", "num_hidden_layers": MANY}
    path.write_text(json.dumps({"model_type": "llava", "text_config": inner}))
    refuses(lambda: keraform.TFAutoModel.from_pretrained(folder), f"num_hidden_layers={MANY}")
    path.write_text(json.dumps({"model_type": "llava", "text_config": {"model_type": "x"}}))
    refuses(lambda: keraform.TFAutoModel.from_pretrained(folder), str(path))


GENERATION = {
    "not JSON": "{",
    "a list": "[]",
    "key twice": '{"max_length": 1, "max_length": 2}',
    "NaN": '{"temperature": NaN}',
    "deep": '{"a":' * 10**5,
    "HTML": "<html>",
    "negative": '{"max_new_tokens": -5}',
    "text": '{"max_new_tokens": "five"}',
}


@pytest.mark.parametrize("name", GENERATION)
def test_generation_config(folder, refuses, monkeypatch, name):
    monkeypatch.setattr(mini_bert.TFBertModel, "can_generate", classmethod(lambda cls: True))
    path = folder / "generation_config.json"
    path.write_text(GENERATION[name])
    refuses(lambda: load(folder), str(path))


WEIGHT = "embeddings.word_embeddings.weight"


@pytest.mark.parametrize(
    "change",
    [
        lambda array: array[:-1],
        lambda array: array.T,
        lambda array: array.reshape(-1),
        lambda array: array[None],
        lambda array: np.float32(1),
        lambda array: array[:0],
        lambda array: array.reshape(2, -1),
    ],
)
def test_tensors_of_another_shape(folder, refuses, change):
    path = folder / "model.safetensors"
    state = load_file(path)
    state[WEIGHT] = np.ascontiguousarray(change(state[WEIGHT]))
    save_file(state, path)
    refuses(lambda: load(folder), WEIGHT, str(path))


@pytest.mark.parametrize("dtype", ["int64", "int8", "uint8", "bool"])
def test_tensors_of_another_dtype(folder, refuses, dtype):
    path = folder / "model.safetensors"
    state = load_file(path)
    state[WEIGHT] = state[WEIGHT].astype(dtype)
    save_file(state, path)
    refuses(lambda: load(folder), WEIGHT, str(path), dtype)
