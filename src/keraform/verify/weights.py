"""Weights under proof: which ones differ from torch's, where their layers are made, and why."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from keraform.verify.cases import Case
from keraform.verify.causes import close, likely_cause
from keraform.verify.compare import distance
from keraform.verify.construction import construction_of
from keraform.verify.findings import WEIGHTS, Finding
from keraform.verify.kept import weights_of
from keraform.verify.leaves import Leaf
from keraform.verify.origins import Origin, place_at
from keraform.verify.port import LoadReport
from keraform.verify.statistics import statistics_of
from keraform.verify.twin import State


def weight_findings(
    case: Case, model: Any, report: LoadReport, files: dict[str, Origin]
) -> list[Finding]:
    """One finding for each weight that is missing, left over, or of another shape or value."""
    state, own = case.state, weights_of(model)
    problems = [
        *((key, "the port has it, torch has not") for key in report.missing),
        *((key, "torch has it, the port has not") for key in report.unexpected),
        *((key.split(":")[0].split(" ")[0], f"wrong shape: {key}") for key in report.mismatched),
    ]
    found = [
        _finding(key, problem, None, state.get(key), own.get(key), model, files)
        for key, problem in problems
    ]
    named = {key for key, _ in problems}
    for key, cause in _unequal(state, own):
        if key not in named:
            found.append(_finding(key, None, cause, state[key], own[key], model, files))
    return found


def _unequal(state: State, own: State) -> Iterator[tuple[str, str | None]]:
    for key, value in state.items():
        mine = own.get(key)
        if mine is None or mine.shape != value.shape or value.dtype.kind not in "fiu":
            continue
        if distance(value.astype("float64"), mine.astype("float64")) > 1e-6:
            yield key, _cause(key, value, mine, state)


def _cause(key: str, value: np.ndarray, mine: np.ndarray, state: State) -> str | None:
    for other, held in state.items():
        if other != key and value.ndim and close(held, mine):
            return f"it holds the values of {other}"
    return likely_cause(value, mine)


def _finding(
    key: str,
    problem: str | None,
    cause: str | None,
    torch: np.ndarray | None,
    keras: np.ndarray | None,
    model: Any,
    files: dict[str, Origin],
) -> Finding:
    stage = key.rpartition(".")[0]
    place = construction_of(key, model, list(files))
    origin = files[place.file] if place is not None else None
    both = torch is not None and keras is not None and torch.shape == keras.shape
    return Finding(
        WEIGHTS,
        stage,
        "float64",
        distance(torch, keras) if both else float("inf"),  # type: ignore[arg-type]
        torch=place_at(origin.torch_file, origin.lines.torch_line(place.line))
        if origin is not None and place is not None
        else None,
        keras=place,
        rules=origin.lines.rules(place.line) if origin is not None and place is not None else (),
        cause=f"{key}: {cause}" if cause else None,
        torch_values=statistics_of(Leaf("float64", torch)) if torch is not None else None,
        keras_values=statistics_of(Leaf("float64", keras)) if keras is not None else None,
        problem=f"{key}: {problem}" if problem else (None if cause else f"{key}: other values"),
    )
