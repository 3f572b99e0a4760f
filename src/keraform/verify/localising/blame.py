"""Blame: findings made of a pair of statements, of a wrong argument, or of an exception."""

from __future__ import annotations

import traceback
from typing import Any

from keraform.verify.cases import Case
from keraform.verify.findings import STATEMENT, Finding, Place
from keraform.verify.leaves import Leaf
from keraform.verify.localising.alignment import Pair, difference
from keraform.verify.localising.causes import likely_cause
from keraform.verify.localising.origins import OriginOf, place_at, place_of
from keraform.verify.localising.statistics import statistics_of


def both_places(keras: Place | None, origin: OriginOf) -> dict[str, Any]:
    """A statement of the port with the one of torch that it came of, and the rules between."""
    known = origin(keras.file) if keras is not None else None
    if keras is None or known is None:
        return {"keras": keras}
    torch = place_at(known.torch_file, known.lines.torch_line(keras.line))
    return {"keras": keras, "torch": torch, "rules": known.lines.rules(keras.line)}


def both_values(torch: Leaf | None, keras: Leaf | None) -> dict[str, Any]:
    """The statistics of two values."""
    return {
        "torch_values": statistics_of(torch) if torch is not None else None,
        "keras_values": statistics_of(keras) if keras is not None else None,
    }


def pair_finding(
    pair: Pair, stage: str, dtype: str, limit: float, origin: OriginOf, kind: str = STATEMENT
) -> Finding | None:
    """What is wrong with an execution; None where it agrees.

    A function that was given something else is not to blame: the statement that called it is.
    """
    found = difference(pair, limit)
    if found is None:
        return None
    wrong, torch, keras = found
    caller = pair.keras.caller
    place = place_of(caller if caller is not None else pair.keras.statement)
    problem = wrong.problem
    if caller is not None:
        what = problem or f"off by {wrong.error:.1e}"
        problem = f"{wrong.stage} of {pair.keras.statement.function}: {what}"
    reads = pair.torch.reads if caller is None else {}
    return Finding(
        kind,
        stage,
        dtype,
        wrong.error,
        cause=likely_cause(torch.array, keras.array, reads) if keras is not None else None,
        problem=problem,
        **both_places(place, origin),
        **both_values(torch, keras),
    )


def crash_finding(
    case: Case, stage: str, error: BaseException, dtype: str = "float64", kind: str = STATEMENT
) -> Finding:
    """An exception of the port: the innermost statement of a generated file on its way."""
    frames = traceback.extract_tb(error.__traceback__)
    frame = next((f for f in reversed(frames) if case.origin(f.filename) is not None), None)
    place = place_at(frame.filename, frame.lineno) if frame is not None else None
    message = " ".join(str(error).split())[:300]
    return Finding(
        kind,
        stage,
        dtype,
        float("inf"),
        problem=f"{type(error).__name__}: {message}",
        **both_places(place, case.origin),
    )
