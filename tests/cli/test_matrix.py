"""Results of earlier runs are kept for the same generated files, and for those alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from keraform.cli.app import app
from keraform.cli.matrix import keep_results
from keraform.errors import KeraformError


def table(digest: str, rungs: dict[str, str], error: float | None = None) -> dict[str, Any]:
    """Results of one class."""
    every = {str(rung): "not run" for rung in range(1, 11)} | rungs
    entry = {"class": "TFBertModel", "rung": 0, "rungs": every, "max_error": {"float64": error}}
    files = {"transformers.models.bert.modeling_bert": digest}
    return {"versions": {}, "types": {"bert": {"files": files, "classes": [entry]}}}


def test_results_of_the_same_file_are_kept() -> None:
    earlier = table("a", {"1": "pass", "2": "fail: x"}, 1e-12)
    now = table("a", {"2": "pass"})
    keep_results(now, earlier)
    entry = now["types"]["bert"]["classes"][0]
    assert (entry["rungs"]["1"], entry["rungs"]["2"], entry["rung"]) == ("pass", "pass", 2)
    assert entry["max_error"]["float64"] == 1e-12


def test_results_of_another_file_are_not() -> None:
    now = table("b", {"2": "pass"})
    keep_results(now, table("a", {"1": "pass"}))
    assert now["types"]["bert"]["classes"][0]["rungs"]["1"] == "not run"


def test_types_that_were_not_asked_for_stay() -> None:
    now = {"versions": {}, "types": {}}
    keep_results(now, table("a", {"1": "pass"}))
    assert list(now["types"]) == ["bert"]


def test_a_crash_of_one_type_leaves_the_others(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    out = tmp_path / "support.json"

    def verify(model_type: str, rungs: str) -> tuple[dict[str, Any], bool]:
        if model_type == "bert":
            raise KeraformError("a ladder of bert, got a crash")
        return table("a", {"1": "pass"})["types"]["bert"], True

    monkeypatch.setattr("keraform.cli.matrix._verify", verify)
    asked = ["matrix", "--types", "bert,vit", "--types", "swin", "--out", str(out)]
    result = CliRunner().invoke(app, asked)
    assert result.exit_code == 2, result.output
    assert "a ladder of bert, got a crash" in result.output
    assert list(json.loads(out.read_text())["types"]) == ["swin", "vit"]
