"""`keraform verify --report`: the page is written, whole, and what the terminal shows stays."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
from tests.verify.made_up import equal_report
from typer.testing import CliRunner

from keraform.cli import console
from keraform.cli.app import app

runner = CliRunner()


@pytest.fixture
def proved(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is run: the result is made up."""
    monkeypatch.setattr("keraform.cli.verify.run", lambda *args, **kwargs: equal_report())


def test_the_page_is_written_beside_the_same_output(tmp_path: Path, proved: None) -> None:
    page = tmp_path / "new" / "page.html"
    command = ["verify", "mini", "--rungs", "1-5"]
    plain = runner.invoke(app, command)
    result = runner.invoke(app, [*command, "--report", str(page)])
    assert result.exit_code == plain.exit_code == console.CLEAN
    assert result.stdout == plain.stdout
    assert "TFMini equals torch’s Mini" in page.read_text("utf-8")
    assert [each.name for each in page.parent.iterdir()] == ["page.html"]


def test_a_directory_is_no_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("it ran")

    monkeypatch.setattr("keraform.cli.verify.run", never)
    result = runner.invoke(app, ["verify", "mini", "--report", str(tmp_path)])
    assert result.exit_code == console.USAGE
    assert "expected: a file for --report" in result.output


def test_what_draws_the_page_is_asked_for_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "matplotlib" else find(name)
    )
    result = runner.invoke(app, ["verify", "mini", "--report", str(tmp_path / "page.html")])
    assert result.exit_code == console.USAGE
    assert "matplotlib" in result.output and 'pip install "keraform[verify]"' in result.output


def test_a_place_where_nothing_can_be_written(tmp_path: Path, proved: None) -> None:
    (tmp_path / "file").write_text("", "utf-8")
    page = tmp_path / "file" / "page.html"
    result = runner.invoke(app, ["verify", "mini", "--rungs", "1-5", "--report", str(page)])
    assert result.exit_code == console.USAGE
    assert "expected: a place to write" in result.output
