"""A repository's checkpoint is fetched whole, and nothing else of what may be large."""

from __future__ import annotations

from pathlib import Path

import pytest
from huggingface_hub import constants

from hub.state import Hub
from keraform.errors import KeraformError
from keraform.hub.snapshot import fetch, require_access

NAME = "somebody/tiny"
SMALL = {"config.json": b"{}", "tokenizer.json": b"{}", "1_Pooling/config.json": b"{}"}
BIN = {"pytorch_model.bin": b"b"}
SHARDS = {
    "model-00001-of-00001.safetensors": b"s",
    "model.safetensors.index.json": b"{}",
}
OTHERS = {"flax_model.msgpack": b"f", "onnx/model.onnx": b"o", "model.fp16.safetensors": b"h"}


def found(folder: Path) -> set[str]:
    paths = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {path.as_posix() for path in paths if path.parts[0][0] != "."}


def test_weights_are_those_that_are_read_first(hub: Hub, tmp_path: Path) -> None:
    saved = {"saved_model/1/saved_model.pb": b"p", "saved_model/1/variables/variables.index": b"v"}
    hub.put(NAME, {**SMALL, **BIN, **SHARDS, **OTHERS, **saved, "tf_model.h5": b"t"})
    assert found(fetch(NAME, "tf_model.h5")) == {*SMALL, *SHARDS, "tf_model.h5"}
    assert found(fetch(NAME, "saved_model/1", tmp_path / "clone")) == {*SMALL, *SHARDS, *saved}


def test_old_weights_come_where_there_are_no_others(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.put(NAME, {**SMALL, **BIN, **OTHERS})
    assert found(fetch(NAME, "model.keras")) == {*SMALL, *BIN}
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert found(fetch(NAME, "model.keras")) == {*SMALL, *BIN}


def test_what_cannot_be_fetched_or_sent_is_told(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KeraformError, match="'somebody/none' on the Hub that you may read"):
        fetch("somebody/none", "tf_model.h5")
    with pytest.raises(KeraformError, match="got: no token\ntry: hf auth login"):
        require_access(NAME)
    monkeypatch.setenv("HF_TOKEN", "hf_writer")
    require_access(NAME)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(KeraformError, match="got: HF_HUB_OFFLINE=1\ntry: --no-pr with --local-dir"):
        require_access(NAME)
