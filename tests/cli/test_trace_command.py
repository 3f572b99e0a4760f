"""`keraform trace`, `compare` and `localise`: exit codes, JSON alone, and words for mistakes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from keraform.cli import console
from keraform.cli.app import app

runner = CliRunner()
PAIRS = Path(__file__).parents[1] / "verify" / "pairs"
TORCH, KERAS = f"{PAIRS / 'torch_mixer.py'}:MixerNet", f"{PAIRS / 'keras_mixer.py'}:build"
INPUTS = f"{PAIRS / 'torch_mixer.py'}:make_inputs"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["trace", TORCH, "--framework", "jax", "--out", "t"], "--framework torch or keras"),
        (["trace", TORCH, "--framework", "torch", "--out", "t"], "no --inputs"),
        (["trace", "x.py:A", "--framework", "torch", "--out", "t"], "no file x.py"),
        (["trace", "x.py", "--framework", "torch", "--out", "t"], "expected: FILE.py:NAME"),
        (["trace", f"{PAIRS / 'torch_gpt.py'}:Gpt", "--framework", "torch", "--out", "t"], "GPT"),
        (["trace", "bret", "--framework", "torch", "--out", "t"], "a model type"),
        (["trace", "bert", "--framework", "torch", "--out", "t"], "one class of bert"),
        (["trace", "bert", "--framework", "keras", "--out", "t"], "no --weights"),
        (["trace", TORCH, "--framework", "torch", "--dtype", "int8", "--out", "t"], "float32"),
        (["compare", "a.safetensors", "b.safetensors"], "a.safetensors: no such file"),
        (["localise", "--torch", TORCH, "--keras", KERAS], "no --inputs"),
        (["localise", "--torch", KERAS, "--keras", KERAS, "--inputs", INPUTS], "torch.nn.Module"),
        (["localise", "--torch", TORCH, "--keras", TORCH, "--inputs", INPUTS], "keras.Model"),
        (
            ["localise", "--torch", TORCH, "--keras", KERAS, "--inputs", INPUTS, "--init", "a=1"],
            "constructor arguments of MixerNet",
        ),
    ],
)
def test_wrong_usage_ends_with_2_and_words(arguments: list[str], words: str) -> None:
    result = runner.invoke(app, arguments)
    assert result.exit_code == console.USAGE, result.output
    assert words in result.output
    assert "try: " in result.output
    assert "Traceback" not in result.output


def test_a_pair_is_localised_and_its_map_saved_and_read(tmp_path: Path) -> None:
    told = ["localise", "--torch", TORCH, "--keras", KERAS, "--inputs", INPUTS]
    saved = tmp_path / "map.json"
    result = runner.invoke(app, [*told, "--json", "--save-map", str(saved)])
    assert result.exit_code == console.CLEAN, result.output
    record = json.loads(result.stdout)
    assert record["findings"] == []
    assert record["weight_map"] == json.loads(saved.read_text("utf-8"))
    changed = json.loads(saved.read_text("utf-8"))
    (mix,) = [pair for pair in changed["pairs"] if pair["torch"] == ["mix"]]
    mix["layout"] = "kernel"
    saved.write_text(json.dumps({"pairs": [mix]}), "utf-8")
    wrong = runner.invoke(app, [*told, "--map", str(saved)])
    assert wrong.exit_code == console.FOUND, wrong.output
    assert "torch_mixer.py:36: x = self.first(patches) @ self.mix" in wrong.stdout
    assert "keras_mixer.py:12: return ops.matmul(x, self.matrix)" in wrong.stdout


def test_traces_are_written_and_compared(tmp_path: Path) -> None:
    torch, keras = str(tmp_path / "t.safetensors"), str(tmp_path / "k.safetensors")
    first = runner.invoke(
        app, ["trace", TORCH, "--framework", "torch", "--inputs", INPUTS, "--out", torch]
    )
    assert first.exit_code == console.CLEAN, first.output
    second = runner.invoke(
        app, ["trace", KERAS, "--framework", "keras", "--weights", torch, "--out", keras]
    )
    assert second.exit_code == console.CLEAN, second.output
    result = runner.invoke(app, ["compare", keras, torch, "--json"])
    assert result.exit_code == console.CLEAN, result.output
    assert json.loads(result.stdout)["findings"] == []
    twice = runner.invoke(app, ["compare", torch, torch])
    assert twice.exit_code == console.USAGE
    assert "two of torch" in twice.output
