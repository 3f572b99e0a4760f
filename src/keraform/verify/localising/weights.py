"""Weights under proof: which ones differ from torch's, where their layers are made, and why."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from keraform.verify.cases import Case
from keraform.verify.compare import distance
from keraform.verify.findings import WEIGHTS, Finding
from keraform.verify.leaves import Leaf
from keraform.verify.localising.blame import both_places, both_values
from keraform.verify.localising.causes import close, likely_cause
from keraform.verify.localising.construction import assignment_of, construction_of
from keraform.verify.localising.origins import Origin, OriginOf
from keraform.verify.port import LoadReport
from keraform.verify.rungs.kept import weights_of
from keraform.verify.rungs.sharing import differently_shared, keras_shares, torch_shares
from keraform.verify.twin import State

TIED = "_tied_weights_keys"  # the class's own list of them


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
        _finding(key, problem, None, state.get(key), own.get(key), model, files, case.origin)
        for key, problem in problems
    ]
    named = {key for key, _ in problems}
    found += _ties(case, model, files)
    for key, cause in _unequal(state, own):
        if key not in named:
            found.append(
                _finding(key, None, cause, state[key], own[key], model, files, case.origin)
            )
    return found


def _ties(case: Case, model: Any, files: dict[str, Origin]) -> list[Finding]:
    """Weights that are one parameter on one side only; `_tied_weights_keys` says which are."""
    apart = differently_shared(torch_shares(case.twin.build()), keras_shares(model))
    place = assignment_of(type(model), TIED, list(files)) if apart else None
    return [
        Finding(
            WEIGHTS,
            "",
            "float64",
            float("inf"),
            cause="tied or untied weights",
            problem="; ".join(apart),
            **both_places(place, case.origin),
        )
        for _ in apart[:1]
    ]


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
    origin: OriginOf,
) -> Finding:
    stage = key.rpartition(".")[0]
    place = construction_of(key, model, list(files))
    both = torch is not None and keras is not None and torch.shape == keras.shape
    return Finding(
        WEIGHTS,
        stage,
        "float64",
        distance(torch, keras) if both else float("inf"),  # type: ignore[arg-type]
        cause=f"{key}: {cause}" if cause else None,
        problem=f"{key}: {problem}" if problem else (None if cause else f"{key}: other values"),
        **both_places(place, origin),
        **both_values(_leaf(torch), _leaf(keras)),
    )


def _leaf(value: np.ndarray | None) -> Leaf | None:
    return Leaf(str(value.dtype), value) if value is not None else None
