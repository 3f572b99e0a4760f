"""`keraform matrix`: what it refuses before it begins, what it writes, how it ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from filelock import FileLock
from typer.testing import CliRunner

from keraform.cli import console
from keraform.cli import matrix as commands
from keraform.cli.app import app
from keraform.translate.cache import translator_version
from keraform.verify import matrix

runner = CliRunner()


def table(outcome: str) -> dict:
    """Results of one class that torch runs and of one that it does not."""
    rungs = {str(rung): "not run" for rung in range(1, 11)} | {"1": outcome}
    row = {"hash": "a", "family": "text", "rung": 0, "rungs": rungs, "max_error": {}}
    other = {**row, "rungs": rungs | {"1": "fail: refused"}, "torch": "ImportError: timm"}
    return {"types": {"bert": {"source": "m", "classes": {"TFA": row, "TFB": other}}}, "files": {}}


@pytest.mark.parametrize(("outcome", "code"), [("pass", console.CLEAN), ("fail: x", console.FOUND)])
def test_only_what_torch_runs_decides_how_it_ends(monkeypatch, tmp_path, outcome, code):
    monkeypatch.setattr(matrix.Matrix, "run", lambda self, step: iter([table(outcome)]))
    out = tmp_path / "support.json"
    result = runner.invoke(app, ["matrix", "--types", "bert", "--rungs", "1", "--out", str(out)])
    assert result.exit_code == code, result.output
    assert json.loads(out.read_text("utf-8")) == table(outcome)
    assert "does not run in torch: 1 x ImportError: timm" in result.output


def test_a_baseline_may_fail_but_not_be_undercut(monkeypatch, tmp_path):
    baseline = tmp_path / "before.json"
    asked = ["matrix", "--types", "bert", "--rungs", "1", "--baseline", str(baseline)]
    for before, now, code in (
        ("fail: x", "fail: x", 0),
        ("pass", "pass", 0),
        ("pass", "fail: x", 1),
    ):
        baseline.write_text(json.dumps(table(before)), "utf-8")
        found = iter([table(now)])
        monkeypatch.setattr(matrix.Matrix, "run", lambda self, step, found=found: found)
        result = runner.invoke(app, asked)
        assert result.exit_code == code, result.output
        assert ("TFA rung 1 held before: fail: x" in result.output) == bool(code)


def test_nothing_is_computed_of_the_same_translator(monkeypatch, tmp_path):
    baseline = tmp_path / "before.json"
    asked = ["matrix", "--types", "bert", "--rungs", "1", "--baseline", str(baseline)]
    monkeypatch.setattr(matrix.Matrix, "run", lambda self, step: iter([table("fail: x")]))
    signed = table("pass") | commands.versions() | {"translator": translator_version()}
    for before, options, code in (
        (signed, [], 0),
        (signed, ["--again"], 1),
        (signed | {"translator": "another"}, [], 1),
        (signed | {"transformers": "4.0.0"}, [], 1),
    ):
        baseline.write_text(json.dumps(before), "utf-8")
        result = runner.invoke(app, [*asked, *options])
        assert result.exit_code == code, result.output


def test_two_do_not_write_one_file(monkeypatch, tmp_path):
    out = tmp_path / "support.json"
    monkeypatch.setattr(matrix.Matrix, "run", lambda self, step: iter([table("pass")]))
    asked = ["matrix", "--types", "bert", "--rungs", "1", "--out", str(out)]
    with FileLock(f"{out}.lock"):
        result = runner.invoke(app, asked)
    assert result.exit_code == console.USAGE
    assert "another keraform matrix" in result.output and not out.exists()
    assert runner.invoke(app, asked).exit_code == console.CLEAN
    assert [each.name for each in tmp_path.iterdir()] == ["support.json"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--types", "bret"], "keraform status bert"),
        (["--types", "bert", "--rungs", "11"], "--rungs 1-10"),
        (["--types", "bert", "--out", "{broken}"], "mv {broken} {broken}.old"),
        (["--types", "bert", "--baseline", "{broken}"], "mv {broken} {broken}.old"),
        (["--types", "bert", "--baseline", "{broken}.no"], "ls {broken}.no"),
    ],
)
def test_mistakes_are_told_before_it_begins(tmp_path: Path, arguments, told):
    broken = tmp_path / "broken.json"
    broken.write_text('{"types": [', "utf-8")
    given = [each.format(broken=broken) for each in arguments]
    result = runner.invoke(app, ["matrix", *given])
    assert result.exit_code == console.USAGE
    assert told.format(broken=broken) in result.output
