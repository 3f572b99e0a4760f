"""What every command keeps: exit codes, no tracebacks, JSON alone, nothing half-written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from keraform.cli import console
from keraform.cli.app import COMMANDS, app
from keraform.cli.verify import parse_init, parse_rungs
from keraform.errors import KeraformError, explain

runner = CliRunner()


def test_every_command_has_help_with_an_example_and_the_next_command() -> None:
    for name in (each.__name__.replace("_", "-") for each in COMMANDS):
        result = runner.invoke(app, [name, "--help"])
        assert result.exit_code == console.CLEAN, name
        assert "Example: " in result.output, name
        assert "Next: " in result.output, name


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nonsense"], "nonsense"),
        (["source"], "TYPE"),
        (["status", "bret"], "keraform status bert"),
        (["source", "no_such_model"], "no_such_model"),
        (["port"], "keraform port --all"),
        (["port", "no_such_file.py"], "no_such_file.py"),
        (["verify", "bert", "--rungs", "0-3"], "rungs from 1 to 10"),
        (["verify", "bert", "--rungs", "one"], "--rungs 1-5"),
        (["verify", "bert", "--backend", "numpy"], "tensorflow or jax"),
        (["verify", "bert", "--init", "=3"], "name=expression"),
        (["facts"], "keraform facts bert"),
    ],
)
def test_wrong_usage_ends_with_2_and_words(arguments: list[str], words: str) -> None:
    result = runner.invoke(app, arguments)
    assert result.exit_code == console.USAGE, result.output
    assert words in result.output
    assert "Traceback" not in result.output


def test_a_directory_without_config_is_wrong_usage(tmp_path: Path) -> None:
    result = runner.invoke(app, ["status", str(tmp_path)])
    assert result.exit_code == console.USAGE
    assert "expected: a directory with config.json" in result.output


@pytest.mark.parametrize("text", ["", "{", "[]", '{"architectures": []}'])
def test_a_broken_config_is_wrong_usage(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text, "utf-8")
    result = runner.invoke(app, ["status", str(tmp_path)])
    assert result.exit_code == console.USAGE
    assert "expected: a config.json with a model_type" in result.output


def test_errors_have_three_parts() -> None:
    error = KeraformError(expected="a stone", got="bread", try_next="keraform status")
    assert str(error) == explain("a stone", "bread", "keraform status")
    assert str(error).splitlines() == [
        "expected: a stone",
        "got: bread",
        "try: keraform status",
    ]
    assert str(KeraformError("one line")) == "one line"


@pytest.mark.parametrize(
    ("text", "rungs"),
    [("1-10", set(range(1, 11))), ("4", {4}), ("1-3,7, 9-9", {1, 2, 3, 7, 9})],
)
def test_rungs(text: str, rungs: set[int]) -> None:
    assert parse_rungs(text) == rungs


def test_init_arguments_stay_expressions() -> None:
    assert parse_init(["width=8", "config=Config(a=1)"]) == {
        "width": "8",
        "config": "Config(a=1)",
    }


def test_files_are_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "new" / "port.py"
    console.write_whole(path, "one\n")
    console.write_whole(path, "one\n")
    with pytest.raises(KeraformError, match="--force"):
        console.write_whole(path, "two\n")
    assert path.read_text("utf-8") == "one\n"
    console.write_whole(path, "two\n", force=True)
    assert [each.name for each in path.parent.iterdir()] == ["port.py"]


def test_status_prints_json_alone() -> None:
    result = runner.invoke(app, ["status", "--json"])
    assert result.exit_code == console.CLEAN
    record = json.loads(result.stdout)
    assert record["known"] > 300
    assert {"versions", "types"} <= record.keys()


def test_status_of_a_type_and_of_a_directory_agree(tmp_path: Path) -> None:
    config = {"model_type": "bert", "architectures": ["BertForMaskedLM"]}
    (tmp_path / "config.json").write_text(json.dumps(config), "utf-8")
    of_type = json.loads(runner.invoke(app, ["status", "bert", "--json"]).stdout)
    of_directory = json.loads(runner.invoke(app, ["status", str(tmp_path), "--json"]).stdout)
    assert of_type["supported"] and of_directory["supported"]
    assert of_type["proved"] == of_directory["proved"]
    assert of_directory["architectures"] == ["TFBertForMaskedLM"]
    if not of_type["proved"]:
        assert of_type["why"].startswith("not yet proved")


def test_what_a_file_prints_is_not_among_the_json(tmp_path: Path) -> None:
    path = tmp_path / "printing.py"
    path.write_text(
        "from torch import nn\nprint('imported')\n\n\nclass Model(nn.Module):\n"
        "    def __init__(self):\n        super().__init__()\n        print('built')\n"
        "        self.linear = nn.Linear(2, 3)\n\n"
        "    def forward(self, x):\n        return self.linear(x)\n\n\n"
        "def inputs():\n    return {'x': [[1.0, 2.0]]}\n",
        "utf-8",
    )
    asked = ["verify", str(path), "--inputs", f"{path}:inputs", "--rungs", "1-3", "--json"]
    result = runner.invoke(app, asked)
    assert json.loads(result.stdout)["classes"][0]["rung"] == 3
    assert "built" in result.stderr
