"""Traces: one run of a model in either framework, in memory and as one safetensors file. Needs
neither torch nor Keras.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from keraform.errors import KeraformError
from keraform.verify.findings import Place
from keraform.verify.handwritten.weight_map import WeightMap
from keraform.verify.handwritten.weight_pairs import Weight
from keraform.verify.leaves import Leaf, Leaves, Recording, Stage, State
from keraform.verify.localising.recorder import Execution
from keraform.verify.localising.statements import Site, Statement

FORMAT, VERSION = "keraform-trace", 1
FRAMEWORKS = ("torch", "keras")


@dataclass
class Trace:
    """What one run of one model gave.

    Args:
        framework: `torch` or `keras`.
        target: what was run, such as `my_torch.py:Model`.
        dtype: of the run.
        versions: of the libraries.
        inputs: of the whole model.
        weights: by name, in the framework's own layout.
        weight_list: what is known of each of them.
        recording: the outputs, and the stages in the order in which they ended.
        classes: the class of each stage's module or layer.
        places: where the user's code calls each stage.
        weight_map: how a Keras run got torch's weights; None where it has its own.
        options: simple options of each stage's module or layer, such as `eps`.
        executions: of the statements of the user's files, where they were asked for.
        config: of a Transformers model: its class and configuration.
        notes: what the reader should know, such as inputs turned to channels-last.
    """

    framework: str
    target: str
    dtype: str
    versions: dict[str, str] = field(default_factory=dict)
    inputs: Leaves = field(default_factory=dict)
    weights: State = field(default_factory=dict)
    weight_list: list[Weight] = field(default_factory=list)
    recording: Recording = field(default_factory=Recording)
    classes: dict[str, str] = field(default_factory=dict)
    places: dict[str, Place] = field(default_factory=dict)
    weight_map: WeightMap | None = None
    options: dict[str, dict[str, Any]] = field(default_factory=dict)
    executions: list[Execution] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def write(trace: Trace, path: Path) -> None:
    """Writes a trace as one file, which appears whole or not at all."""
    tensors = {name: np.array(value, order="C") for name, value in _tensors(trace)}
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    try:
        save_file(tensors, part, metadata=_metadata(trace))
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _tensors(trace: Trace) -> Iterator[tuple[str, np.ndarray]]:
    yield from ((f"weights/{name}", value) for name, value in trace.weights.items())
    for group, leaves in _groups(trace):
        yield from ((f"{group}/{name}", _storable(leaf.array)) for name, leaf in leaves.items())


def _groups(trace: Trace) -> Iterator[tuple[str, Leaves]]:
    yield "inputs", trace.inputs
    yield "outputs", trace.recording.outputs
    for stage in trace.recording.stages.values():
        yield f"stages/{stage.name}/inputs", stage.inputs
        yield f"stages/{stage.name}/outputs", stage.outputs
    for number, execution in enumerate(trace.executions):
        yield f"statements/{number}/result", execution.result or {}
        for index, (_, values) in enumerate(execution.operations):
            yield f"statements/{number}/{index}", values


def _storable(array: np.ndarray) -> np.ndarray:
    """Complex numbers as pairs, which safetensors can hold; `_restored` is the way back."""
    if array.dtype.kind != "c":
        return array
    return np.stack([array.real, array.imag], axis=-1)


def _restored(array: np.ndarray, dtype: str) -> np.ndarray:
    return array[..., 0] + 1j * array[..., 1] if dtype.startswith("complex") else array


def _metadata(trace: Trace) -> dict[str, str]:
    record = {
        "framework": trace.framework,
        "target": trace.target,
        "dtype": trace.dtype,
        "versions": trace.versions,
        "weights": [asdict(weight) for weight in trace.weight_list],
        "leaves": {
            group: {name: leaf.dtype for name, leaf in leaves.items()}
            for group, leaves in _groups(trace)
        },
        "stages": list(trace.recording.stages),
        "classes": trace.classes,
        "places": {name: asdict(place) for name, place in trace.places.items()},
        "weight_map": None if trace.weight_map is None else trace.weight_map.to_json(),
        "options": trace.options,
        "statements": [
            {
                "stage": each.stage,
                "statement": asdict(each.statement),
                "operations": [asdict(site) for site, _ in each.operations],
            }
            for each in trace.executions
        ],
        "config": trace.config,
        "notes": trace.notes,
    }
    texts = {name: json.dumps(value, default=str) for name, value in record.items()}
    return {"format": FORMAT, "version": str(VERSION), **texts}


def read(path: Path) -> Trace:
    """Reads a trace.

    Raises:
        KeraformError: the file is missing, cut short, no trace, or of another version.
    """
    record, tensors = _open(path)
    found = {name: json.loads(text) for name, text in record.items() if name != "format"}
    try:
        return _trace(found, tensors)
    except (KeyError, TypeError, ValueError) as error:
        raise _no_trace(path, f"a part is missing or wrong: {type(error).__name__}: {error}") from (
            error
        )


def is_trace(path: Path) -> bool:
    """Whether a file says that it is a trace, of whatever version."""
    try:
        with safe_open(path, "np") as file:
            return (file.metadata() or {}).get("format") == FORMAT
    except (OSError, SafetensorError):
        return False


def _open(path: Path) -> tuple[dict[str, str], State]:
    try:
        with safe_open(path, "np") as file:
            record = file.metadata() or {}
            if record.get("format") != FORMAT:
                raise _no_trace(path, "a safetensors file that is no trace")
            if record.get("version") != str(VERSION):
                raise _no_trace(path, f"format version {record.get('version')}")
            return record, {name: file.get_tensor(name) for name in file.keys()}
    except FileNotFoundError as error:
        raise _no_trace(path, "no such file") from error
    except (OSError, SafetensorError) as error:
        raise _no_trace(path, f"{type(error).__name__}: {error}") from error


def _no_trace(path: Path, got: str) -> KeraformError:
    return KeraformError(
        expected=f"a trace of format version {VERSION}, as `keraform trace` writes it",
        got=f"{path}: {got}",
        try_next=f"keraform trace my_model.py:Model --framework torch --out {path}",
    )


def _trace(record: dict[str, Any], tensors: State) -> Trace:
    if record["framework"] not in FRAMEWORKS:
        raise ValueError(f"framework {record['framework']!r}")

    def leaves(group: str) -> Leaves:
        return {
            name: Leaf(dtype, _restored(tensors[f"{group}/{name}"], dtype))
            for name, dtype in record["leaves"][group].items()
        }

    weights = [Weight(**{**each, "shape": tuple(each["shape"])}) for each in record["weights"]]
    stages = {
        name: Stage(name, leaves(f"stages/{name}/inputs"), leaves(f"stages/{name}/outputs"))
        for name in record["stages"]
    }
    told = record["weight_map"]
    executions = [
        _execution(each, number, leaves) for number, each in enumerate(record["statements"])
    ]
    return Trace(
        framework=record["framework"],
        target=record["target"],
        dtype=record["dtype"],
        versions=record["versions"],
        inputs=leaves("inputs"),
        weights={weight.name: tensors[f"weights/{weight.name}"] for weight in weights},
        weight_list=weights,
        recording=Recording(leaves("outputs"), stages),
        classes=record["classes"],
        places={name: Place(**each) for name, each in record["places"].items()},
        weight_map=None if told is None else WeightMap.from_json(told),
        options=record["options"],
        executions=executions,
        config=record["config"],
        notes=list(record["notes"]),
    )


def _execution(record: dict[str, Any], number: int, leaves: Callable[[str], Leaves]) -> Execution:
    statement = {**record["statement"], "targets": tuple(record["statement"]["targets"])}
    operations = [
        (Site(**site), leaves(f"statements/{number}/{index}"))
        for index, site in enumerate(record["operations"])
    ]
    result = leaves(f"statements/{number}/result")
    return Execution(Statement(**statement), record["stage"], operations=operations, result=result)


def inputs_of(path: Path) -> dict[str, np.ndarray]:
    """The inputs of a trace, or of any safetensors file that holds nothing else."""
    if is_trace(path):
        return {name: leaf.array for name, leaf in read(path).inputs.items()}
    return tensors_of(path)


def weights_of(path: Path) -> State:
    """The weights of a trace, or a checkpoint's."""
    return read(path).weights if is_trace(path) else tensors_of(path)


def tensors_of(path: Path) -> State:
    """All tensors of a safetensors file.

    Raises:
        KeraformError: it cannot be read.
    """
    try:
        with safe_open(path, "np") as file:
            return {name: file.get_tensor(name) for name in file.keys()}
    except (OSError, SafetensorError) as error:
        raise KeraformError(
            expected="a safetensors file",
            got=f"{path}: {type(error).__name__}: {error}",
            try_next=f"ls -l {path}",
        ) from error


def input_leaves(inputs: dict[str, Any]) -> Leaves:
    """Inputs as leaves."""
    arrays = {name: np.asarray(value) for name, value in inputs.items()}
    return {name: Leaf(str(array.dtype), array) for name, array in arrays.items()}
