"""What lies beside the weights is saved with them, from a directory and from the Hub."""

from __future__ import annotations

import json
import shutil

import pytest
from huggingface_hub import constants

from keraform.hub import Repository
from keraform.hub.companions import processing_files
from modeling import mini_bert

NAME = "somebody/tiny"
FILES = {
    "tokenizer_config.json": '{"tokenizer_class": "BertTokenizer"}',
    "vocab.txt": "[PAD]",
    "chat_template.jinja": "{{ messages }}",
    "additional_chat_templates/rag.jinja": "{{ documents }}",
    "custom_generate/generate.py": "def generate(model): ...",
    "generation_config.json": "{}",
}
OTHERS = {"README.md": "# Another model", "pytorch_model.bin": "", "optimizer.pt": ""}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("source") / "x"
    mini_bert.TFBertModel(mini_bert.tiny_config()).save_pretrained(folder)
    for name, content in {**FILES, **OTHERS}.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(content)
    return folder


def files(folder):
    found = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def carried(folder):
    made = ("config.json", "model.safetensors")
    return {name: text.decode() for name, text in files(folder).items() if name not in made}


def test_from_a_directory(checkpoint, tmp_path):
    model = mini_bert.TFBertModel.from_pretrained(checkpoint)
    model.save_pretrained(tmp_path / "all")
    assert carried(tmp_path / "all") == FILES
    model.save_pretrained(tmp_path / "none", carry_along=False)
    assert carried(tmp_path / "none") == {}
    before = files(checkpoint)
    model.save_pretrained(checkpoint)
    assert files(checkpoint).keys() == before.keys()
    again = mini_bert.TFBertModel.from_pretrained(tmp_path / "all")
    shutil.rmtree(tmp_path / "all")
    again.save_pretrained(tmp_path / "gone")
    assert carried(tmp_path / "gone") == {}


def test_a_tokenizer_there_is_not_mixed_with_another(checkpoint, tmp_path):
    model = mini_bert.TFBertModel.from_pretrained(checkpoint)
    (tmp_path / "tokenizer.json").write_text("mine")
    (tmp_path / "generation_config.json").write_text("mine")
    model.save_pretrained(tmp_path)
    kept = {"tokenizer.json": "mine", "generation_config.json": "mine"}
    generate = "custom_generate/generate.py"
    assert carried(tmp_path) == {**kept, generate: FILES[generate]}


def test_from_the_hub_and_offline(checkpoint, hub, tmp_path):
    hub.put_folder(NAME, checkpoint)
    model = mini_bert.TFBertModel.from_pretrained(NAME)
    hub.put(NAME, {"vocab.txt": b"newer"})
    model.save_pretrained(tmp_path / "all")
    assert carried(tmp_path / "all") == FILES  # of the revision that was loaded
    asked = {request.rsplit("/", 1)[-1] for request in hub.requests}
    assert not asked & OTHERS.keys()
    before = len(hub.requests)
    constants.HF_HUB_OFFLINE = True  # the fixture sets it back
    model.save_pretrained(tmp_path / "offline")
    assert carried(tmp_path / "offline") == FILES and len(hub.requests) == before


def test_what_is_not_in_the_cache_is_left_out_offline(checkpoint, hub, tmp_path):
    hub.put_folder(NAME, checkpoint)
    model = mini_bert.TFBertModel.from_pretrained(NAME)
    constants.HF_HUB_OFFLINE = True
    model.save_pretrained(tmp_path / "x")
    assert carried(tmp_path / "x").keys() <= {"tokenizer_config.json", "generation_config.json"}
    assert mini_bert.TFBertModel.from_pretrained(tmp_path / "x", strict=True)


@pytest.mark.parametrize(
    "model_type, name",
    [("bert", "vocab.txt"), ("t5", "spiece.model"), ("llama", "tokenizer.model")],
)
def test_vocabularies_have_the_names_of_their_tokenizers(tmp_path, model_type, name):
    config = type("Config", (), {"model_type": model_type})
    assert name in processing_files(Repository.of(tmp_path), config)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "XLMTokenizer"}))
    assert "merges.txt" in processing_files(Repository.of(tmp_path), config)
