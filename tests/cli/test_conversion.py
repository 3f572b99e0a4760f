"""`keraform pt-to-tf` and `tf-to-pt`: what is measured, found, written, sent, and refused."""

from __future__ import annotations

import errno
import importlib.util
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import keras
import numpy as np
import pytest
import torch
import transformers
from huggingface_hub import HfApi
from safetensors.numpy import load_file, save_file
from typer.testing import CliRunner, Result

import keraform
from hub.state import Hub
from keraform.checkpoints.keras2_save import keras2_classes
from keraform.cli import console
from keraform.cli.app import app
from keraform.errors import KeraformError
from keraform.verify.conversion import formats, places
from keraform.verify.conversion.request import MAIN, Request, describe
from keraform.verify.conversion.result import GROUPS, Conversion
from modeling import mini_bert

NAME = "somebody/tiny"
KEY = "bert.encoder.layer.0.output.dense.weight"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier that torch saved: one layer, no weight at its first value."""
    folder = tmp_path_factory.mktemp("tiny")
    torch.manual_seed(0)
    model = transformers.BertForSequenceClassification(mini_bert.tiny_config(num_hidden_layers=1))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    model.save_pretrained(folder)
    (folder / "vocab.txt").write_text("[PAD]\n[UNK]\n", "utf-8")
    return folder


@pytest.fixture
def checkpoint(tiny: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may write to."""
    return Path(shutil.copytree(tiny, tmp_path / "checkpoint"))


def run(*arguments: Any) -> Result:
    return CliRunner().invoke(app, [str(each) for each in arguments], catch_exceptions=False)


def convert(name: Any, *arguments: Any) -> tuple[int, dict[str, Any]]:
    """The exit code and the record of a conversion that was not refused."""
    result = run("pt-to-tf", "--model-name", name, "--json", *arguments)
    assert result.exit_code in (console.CLEAN, console.FOUND), result.output
    return result.exit_code, json.loads(result.stdout)


def listing(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def test_a_keras_file_is_compared_before_and_after_and_kept(checkpoint: Path) -> None:
    before = listing(checkpoint)
    code, record = convert(checkpoint, "--format", "keras")
    assert code == console.CLEAN and record["beyond"] == []
    for stage in ("before", "after"):
        assert set(record[stage]) == set(GROUPS)
        assert record[stage]["weights"]["error"] == 0.0
        assert 0.0 < record[stage]["hidden states"]["error"] < 1e-5
        assert 0.0 < record[stage]["gradients"]["error"] < 1e-12
    assert "Keraform reads model.safetensors as it is" in record["notes"][0]
    written = checkpoint / "model.keras"
    assert record["written"] == str(written)
    assert listing(checkpoint) == {*before, "model.keras"}
    model = keras.saving.load_model(written)
    ids = np.array([[1, 5, 7, 2]])
    theirs = transformers.AutoModelForSequenceClassification.from_pretrained(checkpoint)
    wanted = theirs(torch.tensor(ids)).logits.detach().numpy()
    assert abs(np.asarray(model(ids).logits) - wanted).max() < 1e-5
    # what is there is compared, and not touched
    spoil(model).save(written)
    time = written.stat().st_mtime_ns
    asked = ["pt-to-tf", "--model-name", checkpoint, "--format", "keras"]
    result = run(*asked, "--max-error", "9")
    assert result.exit_code == console.FOUND
    assert f"weights: {KEY}" in result.stdout and "outputs: logits" not in result.stdout
    assert "--new-weights writes it again" in result.stdout
    assert f"keraform localise {checkpoint}" in result.stdout
    assert written.stat().st_mtime_ns == time
    written.write_text("no zip", "utf-8")
    refused = run(*asked)
    assert refused.exit_code == console.USAGE
    assert "expected: a model.keras that can be read" in refused.output


def test_a_saved_model_serves_other_sizes(checkpoint: Path) -> None:
    import tensorflow as tf

    code, record = convert(checkpoint, "--format", "saved_model")
    assert code == console.CLEAN and set(record["after"]) == {"outputs"}
    assert 0.0 < record["after"]["outputs"]["error"] < 1e-5
    serve = tf.saved_model.load(str(checkpoint / "saved_model" / "1")).signatures["serving_default"]
    sizes = {tuple(spec.shape) for spec in serve.structured_input_signature[1].values()}
    assert sizes == {(None, None)}


def test_what_is_written_again_takes_the_place_of_what_was_there(tmp_path: Path) -> None:
    for content in ("old", "new"):
        with places.written_whole(tmp_path / "out", "saved_model/1") as unfinished:
            unfinished.mkdir()
            (unfinished / content).write_text(content, "utf-8")
            assert places.put(unfinished, tmp_path / "out" / "saved_model" / "1").is_dir()
        found = [path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()]
        assert found == [Path("out", "saved_model", "1", content)]


def spoil(model: Any) -> Any:
    """One wrong weight."""
    dense = model.bert.encoder.layer[0].output.dense
    dense.kernel.assign(dense.kernel * 1.5)
    return model


def test_a_wrong_weight_is_found_and_nothing_is_written(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = keraform.TFBertForSequenceClassification.from_pretrained
    monkeypatch.setattr(
        keraform.TFBertForSequenceClassification,
        "from_pretrained",
        lambda *args, **kwargs: spoil(load(*args, **kwargs)),
    )
    before = listing(checkpoint)
    code, record = convert(checkpoint, "--format", "keras")
    assert code == console.FOUND and record["after"] is None and record["written"] is None
    found = {(each["group"], each["tensor"]) for each in record["beyond"]}
    assert ("weights", KEY) in found and ("outputs", "logits") in found
    assert {group for group, _ in found} == {*GROUPS} - {"attentions"}
    assert ("hidden states", "hidden_states.1") in found
    assert ("hidden states", "hidden_states.0") not in found
    assert listing(checkpoint) == before


def test_what_goes_wrong_in_writing_is_found_in_what_was_read_back(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = formats.FORMATS["keras"]
    bad = replace(good, write=lambda case, model, path: good.write(case, spoil(model), path))
    monkeypatch.setitem(formats.FORMATS, "keras", bad)
    before = listing(checkpoint)
    code, record = convert(checkpoint, "--format", "keras")
    assert code == console.FOUND and record["written"] is None
    assert record["before"]["weights"]["error"] == 0.0
    assert KEY in {each["tensor"] for each in record["beyond"]}
    assert listing(checkpoint) == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--model-name", "{tmp}/none"], "no such directory"),
        (["--model-name", "{tmp}"], "config.json"),
        (["--model-name", "{bare}"], "PyTorch's weights"),
        (["--model-name", "{tiny}", "--override-model-class", "BertForAll"], "BertFor"),
        (["--model-name", "{tiny}", "--override-model-class", "GPT2Model"], "a GPT2Config"),
        (
            ["--model-name", "{tiny}", "--override-model-class", "TFBertForMaskedLM"],
            "every weight of BertForMaskedLM",
        ),
        (["--model-name", "{tiny}", "--format", "onnx"], "--format onnx"),
        (["--model-name", "{tiny}", "--no-pr", "--push"], "got: both"),
        (["--model-name", "{tiny}", "--push"], "an id on the Hub, to push to"),
        (["--model-name", "a/b"], "HF_HUB_OFFLINE=1"),
        (["--model-name", "a/b", "--no-pr"], "--no-pr --local-dir D"),
        (["--model-name", "a/b", "--no-pr", "--local-dir", "{bare}/x"], "'a/b' on the Hub"),
        (
            ["--model-name", "{tiny}", "--format", "keras", "--local-dir", "{tmp}/file/x"],
            "{tmp}/file: a file",
        ),
    ],
)
def test_mistakes_end_with_2_and_words(
    tiny: Path, tmp_path: Path, arguments: list[str], words: str
) -> None:
    (tmp_path / "file").write_text("", "utf-8")
    bare = tmp_path / "bare"
    bare.mkdir()
    shutil.copy(tiny / "config.json", bare)
    given = [each.format(tiny=tiny, tmp=tmp_path, bare=bare) for each in arguments]
    result = run("pt-to-tf", *given)
    assert result.exit_code == console.USAGE, result.output
    assert words.format(tmp=tmp_path) in result.output and "try: " in result.output
    assert "Traceback" not in result.output


def test_a_full_disk_leaves_nothing(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(case: Any, model: Any, path: Path) -> None:
        path.write_text("half", "utf-8")
        raise OSError(errno.ENOSPC, "No space left on device")

    bad = replace(formats.FORMATS["keras"], write=full)
    monkeypatch.setitem(formats.FORMATS, "keras", bad)
    before = listing(checkpoint)
    result = run("pt-to-tf", "--model-name", checkpoint, "--format", "keras")
    assert result.exit_code == console.USAGE and "No space left on device" in result.output
    assert listing(checkpoint) == before


def test_room_is_asked_for_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places.shutil, "disk_usage", lambda path: SimpleNamespace(free=9_999))
    words = "9,999 bytes free, where 1,049,576 are needed"
    with pytest.raises(KeraformError, match=words), places.written_whole(tmp_path, "a", 1000):
        raise AssertionError("it went on")
    with pytest.raises(KeraformError), places.written_whole(tmp_path / "new", "a", 1000):
        raise AssertionError("it went on")
    assert not list(tmp_path.iterdir())


def test_torch_is_asked_for(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hide_torch(monkeypatch)
    result = run("pt-to-tf", "--model-name", tiny)
    assert result.exit_code == console.USAGE and 'pip install "keraform[verify]"' in result.output


def test_on_the_hub_a_pull_request_says_what_was_measured(
    tiny: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.put_folder(NAME, tiny)
    refused = run("pt-to-tf", "--model-name", NAME, "--format", "keras")
    assert refused.exit_code == console.USAGE and "hf auth login" in refused.output
    monkeypatch.setenv("HF_TOKEN", "hf_writer")
    said, commit = [], HfApi.create_commit

    def listening(*args: Any, **kwargs: Any) -> Any:
        said.append(kwargs["commit_description"])
        return commit(*args, **kwargs)

    monkeypatch.setattr(HfApi, "create_commit", listening)
    code, record = convert(
        NAME, "--format", "keras", "--extra-commit-description", "For our course."
    )
    assert code == console.CLEAN and record["url"].endswith("/discussions/1")
    offered = hub.files(NAME, "refs/pr/1")
    assert offered.keys() - hub.files(NAME).keys() == {"model.keras"}
    assert record["written"] is None
    assert "| gradients |" in said[0] and "For our course." in said[0]


def test_files_and_folders_are_pushed_to_main(
    tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.put(NAME, {"config.json": b"{}"})
    monkeypatch.setenv("HF_TOKEN", "hf_writer")
    (tmp_path / "out" / "saved_model" / "1").mkdir(parents=True)
    (tmp_path / "out" / "saved_model" / "1" / "a").write_text("a", "utf-8")
    (tmp_path / "out" / "tf_model.h5").write_text("h5", "utf-8")
    request, result = Request(NAME, to=MAIN), Conversion(NAME, "TFBertModel", 5e-5)
    for name in ("saved_model/1", "tf_model.h5"):
        assert "/commit/" in request.offer(result, tmp_path / "out" / name, name)
    assert hub.files(NAME).keys() >= {"config.json", "saved_model/1/a", "tf_model.h5"}
    assert not [ref for ref in hub.repos["model", NAME].refs if "pr" in ref]


@pytest.mark.parametrize(
    ("change", "words"),
    [({}, ""), ({"max_error": 1e-3}, "It was set from 5e-05.")],
)
def test_a_larger_limit_is_told(change: dict[str, float], words: str) -> None:
    told = describe(replace(Conversion("a/b", "TFBertModel", 5e-5), **change), "For our course.")
    assert words in told and ("It was set" in told) == bool(words)
    assert told.endswith("For our course.")


def hide_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    hidden: Callable[..., Any] = lambda name: None if name == "torch" else find(name)  # noqa: E731
    monkeypatch.setattr(importlib.util, "find_spec", hidden)


def test_old_files_are_written_by_default_and_converted_back(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, record = convert(checkpoint)
    assert code == console.CLEAN and record["beyond"] == []
    assert record["written"] == str(checkpoint / "tf_model.h5")
    assert record["after"]["weights"]["error"] == 0.0 and set(record["after"]) == set(GROUPS)
    original = checkpoint / "model.safetensors"
    kept = original.rename(tmp_path / "kept.safetensors")
    result = run("tf-to-pt", checkpoint, "--out", tmp_path / "back")
    assert result.exit_code == console.CLEAN, result.output
    assert listing(tmp_path / "back") == {"config.json", "model.safetensors", "vocab.txt"}
    assert_same_tensors(kept, tmp_path / "back" / "model.safetensors")
    write_old_safetensors(checkpoint / "tf_model.h5", original)
    refused = run("pt-to-tf", "--model-name", checkpoint)
    assert refused.exit_code == console.USAGE
    assert f"try: keraform tf-to-pt {checkpoint}" in refused.output
    (checkpoint / "tf_model.h5").unlink()
    refused = run("tf-to-pt", checkpoint)
    assert refused.exit_code == console.USAGE and "--out with another directory" in refused.output
    result = run("tf-to-pt", checkpoint, "--out", tmp_path / "again", "--json")
    assert result.exit_code == console.CLEAN, result.output
    assert json.loads(result.stdout)["after"]["hidden states"]["error"] < 1e-5
    assert_same_tensors(kept, tmp_path / "again" / "model.safetensors")
    hide_torch(monkeypatch)
    result = run("tf-to-pt", checkpoint, "--out", tmp_path / "alone")
    assert result.exit_code == console.CLEAN and "nothing was compared" in result.stdout
    assert_same_tensors(kept, tmp_path / "alone" / "model.safetensors")


def assert_same_tensors(one: Path, other: Path) -> None:
    before, after = load_file(one), load_file(other)
    assert before.keys() == after.keys()
    for key, value in before.items():
        assert value.tobytes() == after[key].tobytes(), key


def write_old_safetensors(h5: Path, safe: Path) -> None:
    """The tensors of `tf_model.h5` as v4 wrote them with `safe_serialization=True`."""
    found = {}
    with h5py.File(h5) as file:
        file.visititems(
            lambda name, each: found.update({name: each[()]}) if hasattr(each, "dtype") else None
        )
    named = {name.partition(":")[0].split("/", 2)[2]: value for name, value in found.items()}
    save_file(named, safe, metadata={"format": "tf"})


def test_a_class_that_v4_had_not_is_compared_alone(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "BertModel" in keras2_classes() and "ModernBertModel" not in keras2_classes()
    monkeypatch.setattr(formats, "keras2_classes", lambda: ["BertModel"])
    before = listing(tiny)
    code, record = convert(tiny)
    assert code == console.CLEAN and record["written"] is None and record["after"] is None
    assert "Transformers v4 had no TFBertForSequenceClassification" in record["notes"][1]
    assert listing(tiny) == before


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ([], "config.json in"),
        (["config.json"], "got: none of them"),
        (["config.json", "model.safetensors"], "model.safetensors, which is PyTorch's already"),
    ],
)
def test_what_is_no_old_checkpoint(
    tiny: Path, tmp_path: Path, files: list[str], words: str
) -> None:
    for name in files:
        shutil.copy(tiny / name, tmp_path)
    result = run("tf-to-pt", tmp_path)
    assert result.exit_code == console.USAGE and words in result.output
    assert "try: " in result.output and len(listing(tmp_path)) == len(files)
