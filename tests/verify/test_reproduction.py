"""Reproductions: the written script runs by itself, shows the difference, and sees it go."""

from __future__ import annotations

import importlib
import importlib.util
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import mini
import numpy as np
import pytest
import torch
from torch import nn

from keraform.errors import KeraformError
from keraform.verify.cases import Case
from keraform.verify.eager import eager
from keraform.verify.files import file_cases
from keraform.verify.findings import STATEMENT, WEIGHTS, Finding, Localisation, Place
from keraform.verify.localising import reproduction
from keraform.verify.localising.localise import localise
from keraform.verify.localising.origins import origin_of
from keraform.verify.localising.reproduction import write_reproduction
from keraform.verify.localising.stored_calls import StoredCall
from keraform.verify.localising.watched import watched_variable
from keraform.verify.targets import Target, class_case, port_class
from keraform.verify.tiny import shrink_config

FAULTS = {
    "scale": ("scale = 1.0 if self", "scale = 1.0 if not self", "blocks.1", "elements differ"),
    "eps": ('1e-5 if fault == "eps"', "1e-5 if True", "blocks.1.norm", "elements differ"),
    "crash": (
        '"scale" else x.shape[-1]', '"scale" else x.no_such[-1]', "blocks.1", "AttributeError",
    ),
    "weight": (
        'width, name="value")', 'width, use_bias=False, name="value")', "blocks.1.value",
        "weight blocks.1.value.bias: the port does not have it",
    ),
}  # fmt: skip


def run(script: Path) -> tuple[int, str]:
    """A script's exit code and what it printed, in a process of its own."""
    source = str(Path(reproduction.__file__).parents[2])
    ran = subprocess.run(
        [sys.executable, script.name],
        cwd=script.parent,
        env={**os.environ, "PYTHONPATH": source},
        capture_output=True,
        text=True,
    )
    return ran.returncode, ran.stdout or ran.stderr


def imported(path: Path, name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def spoiled(folder: Path, source: Path, before: str, after: str) -> Path:
    """A copy of a file in which one expression is another."""
    text = source.read_text("utf-8")
    assert before in text
    path = folder / f"spoiled_{source.name}"
    path.write_text(text.replace(before, after, 1), "utf-8")
    return path


def mini_finding(port: Path, before: str, stage: str) -> Localisation:
    """What localising says of a fault in the hand-written pair."""
    lines = port.read_text("utf-8").splitlines()
    line = next(number for number, text in enumerate(lines, 1) if before in text)
    place = Place(str(port), line, lines[line - 1])
    kind = WEIGHTS if "use_bias" in before else STATEMENT
    finding = Finding(kind, stage, "float64", 0.1, keras=place)
    return Localisation("Mini", findings=[finding])


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_a_stage_runs_alone_and_the_mended_port_is_equal(fault: str, tmp_path: Path) -> None:
    before, after, stage, words = FAULTS[fault]
    source = Path(mini.__file__)
    path = spoiled(tmp_path, source, before, after)
    port = imported(path, f"spoiled_{fault}")
    case = replace(mini.mini_case(), make_port=port.TFMini)
    script = tmp_path / "out" / "shows.py"
    written = write_reproduction(case, mini_finding(path, after, stage), script)

    names = ["shows.py", "shows.npz", "shows_torch.py", "shows_port.py"]
    assert [each.name for each in written] == names
    assert sorted(os.listdir(script.parent)) == sorted(names), "nothing half written is left"
    assert "keraform.verify" not in script.read_text("utf-8")

    code, said = run(script)
    assert code == 1, said
    shown = "the whole model" if fault == "weight" else stage
    assert f"stage: {shown}, in float64" in said
    assert after in said, "the line is named"
    assert words in said
    assert said.rstrip().endswith("the two sides differ")

    (script.parent / "shows_port.py").write_text(source.read_text("utf-8"), "utf-8")
    code, said = run(script)
    assert (code, said.rstrip().splitlines()[-1]) == (0, "the two sides are equal"), said


def test_a_call_is_stored_as_source_that_makes_it_again() -> None:
    half = torch.tensor([1.5, -2.0], dtype=torch.bfloat16)
    given = {
        "mask": None,
        "pair": (half, torch.arange(3)),
        "one": (2,),
        "scale": float("-inf"),
        "options": {"flag": True, "name": "it's"},
        "cache": object(),
    }
    call = StoredCall.of(nn.Linear(2, 2), (half,), given)
    made: dict[str, Any] = {}
    exec(f"def arguments(tensor):\n{call.text()}", made)
    args, named = made["arguments"](lambda name, dtype: (call.arrays[name], dtype))

    assert args[0][0].tolist() == [1.5, -2.0] and args[0][1] == "bfloat16"
    assert args[0][0].dtype == np.float64, "floats are kept in float64"
    assert "input" in call.arrays, "positional arguments have their parameters' names"
    assert named["pair"][0][1] == "bfloat16" and named["pair"][1][0].tolist() == [0, 1, 2]
    assert named["one"] == (2,) and named["mask"] is None and named["scale"] == float("-inf")
    assert named["options"] == {"flag": True, "name": "it's"}
    assert named["cache"] is None and "cannot be stored: cache, a object" in call.text()


CODE = """
class A:
    def call(self, x):
        if x:
            scores = (
                x
            )
        self.kept = x
        a, b = x
        x[0] = 1
        return scores
"""


def test_the_watched_variable_is_the_one_that_both_statements_assign(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_text(CODE, "utf-8")

    def at(line: int) -> Place:
        return Place(str(path), line, "")

    assert watched_variable(at(6), at(5)) == ("A.call", "A.call", "scores")
    assert watched_variable(at(9), at(9)) == ("A.call", "A.call", "a")
    assert watched_variable(at(11), at(11)) == ("A.call", "A.call", "return")
    for pair in ((at(5), at(11)), (at(8), at(8)), (at(10), at(10)), (None, at(5))):
        assert watched_variable(*pair) is None


def test_nothing_is_written_without_a_finding(tmp_path: Path) -> None:
    with pytest.raises(KeraformError, match="got: none was found"):
        write_reproduction(mini.mini_case(), Localisation("Mini"), tmp_path / "f.py")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_script_that_shows_nothing_is_not_written(tmp_path: Path) -> None:
    source = Path(mini.__file__)
    found = mini_finding(source, "scores = scores", "blocks.1")
    with pytest.raises(KeraformError, match="ends with: the two sides are equal"):
        write_reproduction(mini.mini_case(), found, tmp_path / "f.py")
    assert not list(tmp_path.iterdir())


def spoiled_type(
    folder: Path, model_type: str, class_name: str, before: str, after: str
) -> tuple[Case, str]:
    """The case of a class whose port has one other expression, and the good port's text."""
    module = f"transformers.models.{model_type}.modeling_{model_type}"
    torch_class = getattr(importlib.import_module(module), class_name)
    config = shrink_config(torch_class.config_class, class_name)
    good = Path(sys.modules[port_class(module, class_name).__module__].__file__)
    path = spoiled(folder, good, before, after)
    port = imported(path, f"spoiled_{model_type}")
    case = replace(
        class_case(module, torch_class, config),
        make_port=lambda: getattr(port, f"TF{class_name}")(eager(config)),
        origin=lambda file: origin_of(str(good) if file == str(path) else file),
    )
    return case, good.read_text("utf-8")


TYPES = {
    "statement": (
        "bert", "BertModel", "ops.swapaxes(key, 2, 3)) * scaling", "ops.swapaxes(key, 2, 3))",
        "stage: encoder.layer.0.attention.self, in float64",
    ),
    "half": (
        "llama", "LlamaModel", 'hidden_states = ops.cast(hidden_states, "float32")',
        "hidden_states = hidden_states", "stage: layers.0.input_layernorm, in bfloat16",
    ),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("kind", TYPES)
def test_a_found_fault_of_a_model_type(kind: str, tmp_path: Path) -> None:
    model_type, name, before, after, words = TYPES[kind]
    case, good = spoiled_type(tmp_path, model_type, name, before, after)
    written = write_reproduction(case, localise(case), tmp_path / "f.py")
    code, said = run(written[0])
    assert code == 1 and words in said and after in said, said
    assert f"modeling_{model_type}.py, line " in said, "torch's statement is named, too"

    (tmp_path / "f_port.py").write_text(good, "utf-8")
    code, said = run(written[0])
    assert code == 0, said


TORCH_FILE = """
import torch
from torch import nn


class Model(nn.Module):
    def __init__(self, width, mode="plain"):
        super().__init__()
        self.linear = nn.Linear(width, 3)
        self.mode = mode

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x) * 2
"""


@pytest.mark.slow
def test_a_plain_file_with_constructor_arguments(tmp_path: Path) -> None:
    path = tmp_path / "plain.py"
    path.write_text(TORCH_FILE, "utf-8")
    np.savez(tmp_path / "x.npz", x=np.ones((2, 5)))
    init = {"width": "2 + 3", "mode": "fast"}
    (case,) = file_cases(Target(str(path), (), init, str(tmp_path / "x.npz")))
    good = Path(sys.modules[type(case.make_port()).__module__].__file__)
    port = imported(spoiled(tmp_path, good, "* 2", "* 3"), "spoiled_plain")
    wrong = replace(case, make_port=lambda: port.TFModel(5))
    found = Localisation("Model", findings=[Finding(STATEMENT, "", "float64", 0.1)])

    written = write_reproduction(wrong, found, tmp_path / "out" / "f.py")
    names = ["f.py", "f.npz", "f_torch.py", "f_port.py"]
    assert [each.name for each in written] == names
    assert "Model(width=2 + 3, mode='fast')" in written[0].read_text("utf-8")
    assert run(written[0])[0] == 1
    (tmp_path / "out" / "f_port.py").write_text(good.read_text("utf-8"), "utf-8")
    code, said = run(written[0])
    assert code == 0, said
