"""Directories with code of their own are proved like others, when their code may run."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from auto import tiny_repository
from keraform.cli.app import app
from keraform.errors import KeraformError
from keraform.verify import ladder
from keraform.verify.targets import Target


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tiny_repository.write(tmp_path_factory.mktemp("2-tiny"))
    tiny_repository.write_weights(folder)
    return folder


def test_it_is_proved(folder):
    report = ladder.climb(Target(str(folder), trust=True), {1, 2, 3, 4})
    (found,) = report.classes
    assert found.name == "TFTinyForSequenceClassification"
    assert found.passed({1, 2, 3, 4}), found


def test_a_wrong_port_is_found(folder, monkeypatch):
    from keraform.runtime import ops

    right = ops.gelu
    monkeypatch.setattr(ops, "gelu", lambda x: 1.001 * right(x))
    report = ladder.climb(Target(str(folder), trust=True), {4})
    assert not report.classes[0].passed({4})


def test_its_code_runs_only_with_leave(folder, monkeypatch):
    monkeypatch.delenv("TINY_RAN", raising=False)
    with pytest.raises(KeraformError, match=r"modeling_tiny\.py of"):
        ladder.climb(Target(str(folder)), {1})


def test_its_status(folder):
    result = CliRunner().invoke(app, ["status", str(folder), "--json"])
    record = json.loads(result.stdout)
    assert record["state"] == "code of its own, not proved" and not record["proved"]
    assert "configuration_tiny.py, modeling_tiny.py" in record["why"]
    shown = CliRunner().invoke(app, ["status", str(folder)]).stdout
    assert f"keraform verify {folder} --trust-remote-code" in "".join(shown.split("\n"))
