"""`keraform port` and `source`: the port itself, its measures, and the user's files."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from keraform.cli import console
from keraform.cli.app import app

runner = CliRunner()

PLAIN = '''\
"""A plain PyTorch file."""

import torch
from torch import nn


class Net(nn.Module):
    """Two layers."""

    def __init__(self, width: int = 8):
        super().__init__()
        self.up = nn.Linear(width, 2 * width)  # wider
        self.down = nn.Linear(2 * width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        # a gate that is never negative
        return self.down(torch.relu(self.up(x)))
'''


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    path = tmp_path / "net.py"
    path.write_text(PLAIN, "utf-8")
    return path


def test_source_prints_the_path_as_its_last_line() -> None:
    result = runner.invoke(app, ["source", "bert"])
    assert result.exit_code == console.CLEAN, result.output
    path = Path(result.stdout.splitlines()[-1])
    assert path.is_file()
    assert "class TFBertModel(" in path.read_text("utf-8")


def test_source_as_json() -> None:
    record = json.loads(runner.invoke(app, ["source", "bert", "--json"]).stdout)
    assert record["type"] == "bert"
    assert all(Path(path).is_file() for path in record["files"].values())


def test_a_plain_file_goes_to_standard_output(plain: Path) -> None:
    result = runner.invoke(app, ["port", str(plain)])
    assert result.exit_code == console.CLEAN, result.output
    tree = ast.parse(result.stdout)
    assert [node.name for node in tree.body if isinstance(node, ast.ClassDef)] == ["TFNet"]
    assert "# wider" in result.stdout and "# a gate that is never negative" in result.stdout
    assert "import torch" not in result.stdout


def test_out_writes_a_file_and_measures(plain: Path, tmp_path: Path) -> None:
    out = tmp_path / "ports"
    result = runner.invoke(app, ["port", str(plain), "--out", str(out), "--json"])
    assert result.exit_code == console.CLEAN, result.output
    (record,) = json.loads(result.stdout)["files"]
    assert Path(record["path"]) == out / "net.py"
    assert record["comments"] == record["comments_kept"] == 2
    assert record["ratio"] == pytest.approx(record["lines"] / record["source_lines"], abs=1e-3)
    assert record["helper_share"] <= 0.05
    assert record["refusals"] == []


def test_an_edited_file_is_not_written_over(plain: Path, tmp_path: Path) -> None:
    out = tmp_path / "ports"
    arguments = ["port", str(plain), "--out", str(out)]
    assert runner.invoke(app, arguments).exit_code == console.CLEAN
    (out / "net.py").write_text("mine\n", "utf-8")
    result = runner.invoke(app, arguments)
    assert result.exit_code == console.USAGE
    assert "--force" in result.output
    assert (out / "net.py").read_text("utf-8") == "mine\n"
    assert runner.invoke(app, [*arguments, "--force"]).exit_code == console.CLEAN
    assert "TFNet" in (out / "net.py").read_text("utf-8")


def test_a_syntax_error_is_named_and_nothing_is_written(tmp_path: Path) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("class Net(:\n", "utf-8")
    out = tmp_path / "ports"
    result = runner.invoke(app, ["port", str(broken), "--out", str(out)])
    assert result.exit_code == console.USAGE
    assert "broken.py" in result.output
    assert not out.exists()


def test_a_refusal_ends_with_1_and_names_its_line(tmp_path: Path) -> None:
    file = tmp_path / "odd.py"
    file.write_text(
        "import torch\nfrom torch import nn\n\n\n"
        "class Odd(nn.Module):\n"
        "    def forward(self, x: torch.Tensor) -> torch.Tensor:\n"
        "        return torch.sparse.mm(x, x)\n",
        "utf-8",
    )
    result = runner.invoke(app, ["port", str(file), "--json"])
    assert result.exit_code == console.FOUND, result.output
    (record,) = json.loads(result.stdout)["files"]
    (refusal,) = record["refusals"]
    assert refusal["line"] == 7
    assert refusal["rule"] and refusal["reason"]
    ast.parse(record["code"])
    assert "NotImplementedError" in record["code"]
