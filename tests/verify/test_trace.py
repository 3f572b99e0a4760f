"""Traces: written and read back whole, compared without either framework, and made where only one
of them can be imported.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from hiding import without
from keraform.errors import KeraformError
from keraform.verify.findings import Place
from keraform.verify.handwritten.trace import Trace, inputs_of, read, weights_of, write
from keraform.verify.handwritten.trace_pairs import compare_traces, in_order
from keraform.verify.handwritten.weight_map import guess
from keraform.verify.handwritten.weight_pairs import Weight
from keraform.verify.leaves import Leaf, Recording
from keraform.verify.localising.recorder import Execution
from keraform.verify.localising.statements import Site, Statement

FILES = Path(__file__).parent / "pairs"


def leaf(value: np.ndarray) -> Leaf:
    return Leaf(str(value.dtype), value)


def small_trace(framework: str = "torch", scale: float = 1.0, seed: int = 0) -> Trace:
    """A linear layer, on one side or the other."""
    rng = np.random.default_rng(seed)
    x, weight = rng.normal(size=(2, 3)), rng.normal(size=(4, 3))
    inner = x @ weight.T * scale
    keras = framework == "keras"
    name = "fc.kernel" if keras else "fc.weight"
    recording = Recording({"output": leaf(inner * 2)})
    recording.add("fc", {"0": leaf(x)}, {"output": leaf(inner)})
    statement = Statement("m.py", 3, 3, "M.call", "y = self.fc(x)", ("y",))
    return Trace(
        framework,
        f"m.py:{framework}",
        "float64",
        {framework: "1"},
        {"x": leaf(x)},
        {name: weight.T if keras else weight},
        [Weight(name, (3, 4), "Dense") if keras else Weight(name, (4, 3), "Linear")],
        recording,
        {"fc": "Dense" if keras else "Linear"},
        {"fc": Place("m.py", 3, "y = self.fc(x)")},
        executions=[
            Execution(
                statement,
                "",
                operations=[(Site("self.fc(x)", False), {"output": leaf(inner)})],
                result={"": leaf(inner)},
            )
        ],
    )


def test_a_trace_survives_its_file(tmp_path: Path) -> None:
    made = small_trace("keras")
    made.weight_map = guess(small_trace().weight_list, made.weight_list)
    made.recording.outputs["wave"] = leaf(np.array([1 + 2j, 3j]))
    made.recording.outputs["count"] = leaf(np.array(3))
    made.notes.append("a note")
    write(made, tmp_path / "t.safetensors")
    found = read(tmp_path / "t.safetensors")
    assert found.weight_map == made.weight_map
    assert found.notes == made.notes
    assert found.places == made.places
    assert found.weight_list == made.weight_list
    assert list(found.recording.stages) == ["fc"]
    assert found.executions[0].statement == made.executions[0].statement
    for name, each in made.recording.outputs.items():
        np.testing.assert_array_equal(found.recording.outputs[name].array, each.array)
        assert found.recording.outputs[name].array.shape == each.array.shape
    np.testing.assert_array_equal(
        found.executions[0].operations[0][1]["output"].array,
        made.executions[0].operations[0][1]["output"].array,
    )
    assert not list(tmp_path.glob(".*"))


def test_names_of_the_tensors_are_the_documented_ones(tmp_path: Path) -> None:
    write(small_trace(), tmp_path / "t.safetensors")
    names = set(load_file(tmp_path / "t.safetensors"))
    assert {
        "inputs/x", "weights/fc.weight", "stages/fc/inputs/0", "stages/fc/outputs/output",
        "outputs/output",
    } <= names  # fmt: skip


def test_equal_traces(tmp_path: Path) -> None:
    report = compare_traces(*in_order(small_trace("keras"), small_trace()))
    assert report.equal
    assert [(each.torch, each.keras) for each in report.stages] == [("fc", "fc")]
    assert json.dumps(report.to_json())


def test_the_first_stage_that_differs_is_named() -> None:
    report = compare_traces(small_trace(), small_trace("keras", scale=1.5))
    (finding,) = report.localisation.findings
    assert finding.stage == "fc"
    assert finding.keras == Place("m.py", 3, "y = self.fc(x)")
    assert finding.error > 1e-3


def test_other_weights_are_named() -> None:
    keras = small_trace("keras")
    keras.weights["fc.kernel"] = keras.weights["fc.kernel"] + 1
    report = compare_traces(small_trace(), keras)
    assert [finding.kind for finding in report.localisation.findings] == ["weights"]
    assert "fc.kernel does not hold fc.weight" in report.localisation.findings[0].problem


def test_nan_on_both_sides_is_a_difference() -> None:
    torch, keras = small_trace(), small_trace("keras")
    for each in (torch, keras):
        each.recording.outputs["output"] = leaf(np.full((2, 4), np.nan))
    assert not compare_traces(torch, keras).equal


def test_an_output_that_one_side_lacks_is_a_difference() -> None:
    torch = small_trace()
    torch.recording.outputs["second"] = torch.recording.outputs["output"]
    (finding,) = compare_traces(torch, small_trace("keras")).localisation.findings
    assert "Keras does not give it" in finding.problem


def test_two_traces_of_one_framework() -> None:
    with pytest.raises(KeraformError, match="two of torch"):
        in_order(small_trace(), small_trace())


def test_other_inputs() -> None:
    with pytest.raises(KeraformError, match="with other numbers"):
        compare_traces(small_trace(), small_trace("keras", seed=1))


def test_other_dtypes() -> None:
    keras = small_trace("keras")
    keras.dtype = "float32"
    with pytest.raises(KeraformError, match="torch in float64, Keras in float32"):
        compare_traces(small_trace(), keras)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-50])


def _plain(path: Path) -> None:
    save_file({"a": np.ones(2)}, path)


def _newer(path: Path) -> None:
    save_file({"a": np.ones(2)}, path, {"format": "keraform-trace", "version": "99"})


def _hollow(path: Path) -> None:
    save_file({"a": np.ones(2)}, path, {"format": "keraform-trace", "version": "1"})


def _text(path: Path) -> None:
    path.write_text("no tensors", "utf-8")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_cut, "SafetensorError"),
        (_plain, "a safetensors file that is no trace"),
        (_newer, "format version 99"),
        (_hollow, "a part is missing or wrong"),
        (_text, "SafetensorError"),
        (Path.unlink, "no such file"),
    ],
)
def test_a_bad_file_is_said_in_three_parts(tmp_path: Path, spoil: object, words: str) -> None:
    path = tmp_path / "t.safetensors"
    write(small_trace(), path)
    spoil(path)
    with pytest.raises(KeraformError) as error:
        read(path)
    assert words in str(error.value)
    assert [line.partition(":")[0] for line in str(error.value).splitlines()[:1]] == ["expected"]
    assert "keraform trace" in str(error.value)


def test_inputs_and_weights_come_from_a_trace_or_from_plain_tensors(tmp_path: Path) -> None:
    write(small_trace(), tmp_path / "t.safetensors")
    save_file({"x": np.ones(3)}, tmp_path / "plain.safetensors")
    assert list(inputs_of(tmp_path / "t.safetensors")) == ["x"]
    assert list(weights_of(tmp_path / "t.safetensors")) == ["fc.weight"]
    assert list(inputs_of(tmp_path / "plain.safetensors")) == ["x"]
    with pytest.raises(KeraformError, match="expected: a safetensors file"):
        weights_of(tmp_path / "none.safetensors")


def run_without(modules: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command line where importing these modules fails."""
    code = without(*modules.split(",")) + "from keraform.cli import main\nmain()"
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_each_side_runs_without_the_other(tmp_path: Path) -> None:
    torch, keras = str(tmp_path / "t.safetensors"), str(tmp_path / "k.safetensors")
    source = FILES / "torch_gpt.py"
    first = run_without(
        "keras,tensorflow,jax", "trace", f"{source}:GPT", "--framework", "torch",
        "--inputs", f"{source}:make_inputs", "--out", torch,
    )  # fmt: skip
    assert first.returncode == 0, first.stderr
    second = run_without(
        "torch", "trace", f"{FILES / 'keras_gpt.py'}:TinyGPT", "--framework", "keras",
        "--weights", torch, "--out", keras,
    )  # fmt: skip
    assert second.returncode == 0, second.stderr
    third = run_without("torch,keras,tensorflow,jax", "compare", torch, keras)
    assert third.returncode == 0, third.stdout + third.stderr
    assert third.stdout.rstrip().endswith("equal")


@pytest.mark.slow
def test_a_transformers_class_without_the_other(tmp_path: Path) -> None:
    torch, keras = str(tmp_path / "t.safetensors"), str(tmp_path / "k.safetensors")
    first = run_without(
        "keras,tensorflow,jax", "trace", "bert", "--class", "BertModel", "--framework", "torch",
        "--out", torch,
    )  # fmt: skip
    assert first.returncode == 0, first.stderr
    second = run_without(
        "torch", "trace", "bert", "--framework", "keras", "--weights", torch, "--out", keras
    )
    assert second.returncode == 0, second.stderr
    assert run_without("torch,keras,tensorflow,jax", "compare", torch, keras).returncode == 0
