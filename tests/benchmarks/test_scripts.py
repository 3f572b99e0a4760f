"""The benchmark scripts run: tiny sizes, and each one's help."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

SCRIPTS = (
    "forward",
    "eager_call",
    "loading",
    "training",
    "translation",
    "checkpointing",
    "compiled_decoding",
    "generation",
)


def run(repository, script, *options):
    command = [sys.executable, str(repository / "benchmarks" / f"{script}.py"), *options]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS)
def test_help(repository, script):
    assert f"benchmarks/{script}.py" in run(repository, script, "--help")


@pytest.mark.slow
def test_every_network_agrees_with_its_hand_written_one(repository):
    found = json.loads(run(repository, "forward", "--tiny", "--json"))
    assert {row["network"] for row in found["rows"]} == {"bert", "gpt2", "vit", "convnext", "llama"}
    assert found["machine"]["torch_blas"]


@pytest.mark.slow
def test_one_translation(repository):
    options = ("--types", "vit", "--sample", "2", "--rounds", "1", "--json")
    found = json.loads(run(repository, "translation", *options))
    assert found["failures"] == "none"


@pytest.mark.slow
@pytest.mark.parametrize("network", ["bert", "gpt2", "vit"])
def test_every_side_trains_alike(repository, network):
    options = ("--tiny", "--networks", network, "--rounds", "1", "--steps", "2", "--json")
    found = json.loads(run(repository, "training", *options))
    assert len(found["rows"]) == 5
    assert all(row["steps_per_s"] > 0 and row["peak_GB"] > 0 for row in found["rows"])


@pytest.mark.slow
def test_every_side_generates_alike(repository):
    options = ("--tiny", "--networks", "gpt2", "--rounds", "1", "--batches", "2", "--new", "8")
    found = json.loads(run(repository, "generation", *options, "--json"))
    assert len(found["rows"]) == 3
    assert all(row["tokens_per_s"] > 0 and row["same"] == 1 for row in found["rows"])
