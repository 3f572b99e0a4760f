"""What a target may be, and what is said when it is none."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from keraform.errors import KeraformError
from keraform.verify.files import arguments, import_file, read_inputs
from keraform.verify.refusals import Refusal, refusals_of
from keraform.verify.targets import Target, cases_of

TORCH_FILE = """
from dataclasses import dataclass

import torch
from torch import nn


@dataclass
class Config:
    width: int = 4


def scaled(x):
    return x * 2


class Inner(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.linear = nn.Linear(config.width, config.width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return scaled(self.linear(x))


class Outer(nn.Module):
    def __init__(self, config, mode="plain"):
        super().__init__()
        self.inner = Inner(config)
        self.mode = mode

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x)


class Other(nn.Module):
    pass


def make_inputs():
    return {"x": [[1.0, 2.0, 3.0, 4.0]]}
"""


@pytest.fixture
def torch_file(tmp_path):
    path = tmp_path / "torch_file.py"
    path.write_text(TORCH_FILE, encoding="utf-8")
    return path


def test_a_target_survives_the_way_to_another_process():
    target = Target("a.py", ("A",), {"width": "3"}, "x.npz")
    assert Target.from_json(target.to_json()) == target


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("no_such_type", "expected: a model type, a directory with config.json, or a Python file"),
        ("missing.py", "got: no file missing.py"),
    ],
)
def test_no_such_target(name, words):
    with pytest.raises(KeraformError) as error:
        cases_of(Target(name))
    assert words in str(error.value)


def test_a_directory_without_a_config(tmp_path):
    with pytest.raises(KeraformError, match=r"config\.json"):
        cases_of(Target(str(tmp_path)))


def test_no_such_class():
    with pytest.raises(KeraformError, match="got: BertForEverything"):
        cases_of(Target("bert", ("TFBertForEverything",)))


def test_classes_go_by_either_name():
    names = [case.name for case in cases_of(Target("bert", ("BertModel", "TFBertForMaskedLM")))]
    assert sorted(names) == ["TFBertForMaskedLM", "TFBertModel"]


def test_a_file_with_two_roots_asks_for_the_class(torch_file):
    with pytest.raises(KeraformError, match="--class Outer") as error:
        cases_of(Target(str(torch_file)))
    assert "got: Outer, Other" in str(error.value)


def test_a_file_without_inputs(torch_file):
    with pytest.raises(KeraformError, match="no --inputs"):
        cases_of(Target(str(torch_file), ("Outer",)))


def test_a_file_with_inputs_from_a_function(torch_file):
    given = f"{torch_file}:make_inputs"
    target = Target(str(torch_file), ("Outer",), {"config": "Config()"}, given)
    (case,) = cases_of(target)
    recording = case.twin.run(case.variants[0].inputs)
    assert recording.outputs["output"].array.shape == (1, 4)
    assert "inner.linear" in recording.stages


def test_inputs_from_a_file(tmp_path):
    np.savez(tmp_path / "x.npz", a=np.ones(3))
    assert list(read_inputs(str(tmp_path / "x.npz"), tmp_path)) == ["a"]


def test_inputs_from_a_module_beside_one(tmp_path, monkeypatch):
    (tmp_path / "my_inputs.py").write_text("def make():\n    return {'a': [1.0]}\n", "utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", list(sys.path))
    assert read_inputs("my_inputs:make", tmp_path)["a"].shape == (1,)
    with pytest.raises(KeraformError, match="expected: a function other in my_inputs"):
        read_inputs("my_inputs:other", tmp_path)
    with pytest.raises(KeraformError, match="ModuleNotFoundError: No module named 'no_inputs'"):
        read_inputs("no_inputs:make", tmp_path)


def test_arguments_are_expressions_or_text(torch_file):
    module = import_file(torch_file, "torch_file")
    values = arguments({"config": "Config(width=2)", "mode": "gelu-new", "n": "3"}, module)
    assert values["config"].width == 2
    assert values["mode"] == "gelu-new"
    assert values["n"] == 3


def test_a_file_that_does_not_parse(tmp_path):
    path = tmp_path / "broken.py"
    path.write_text("def (:\n", encoding="utf-8")
    with pytest.raises(KeraformError, match="SyntaxError"):
        cases_of(Target(str(path)))


def test_refusals_concern_the_classes_that_reach_them(torch_file):
    lines = Path(torch_file).read_text(encoding="utf-8").splitlines()
    line = 1 + next(i for i, text in enumerate(lines) if "return x * 2" in text)
    refusal = Refusal("rule", "torch_file.py", line, "because")
    assert refusals_of(str(torch_file), "Outer", [refusal]) == [refusal]
    assert refusals_of(str(torch_file), "Other", [refusal]) == []
    top = Refusal("rule", "torch_file.py", 2, "because")
    assert refusals_of(str(torch_file), "Other", [top]) == [top]
