"""Rows of the matrix: what is kept of earlier runs, and what has to be run."""

from __future__ import annotations

from typing import Any

from keraform.verify.outcome import NOT_RUN, RUNGS, UNFIT, ClassReport, failed

Row = dict[str, Any]


def rungs_to_run(asked: set[int], known: Row | None) -> set[int]:
    """Those of the asked rungs that an earlier row of the same file does not have."""
    if known is None:
        return asked
    return {rung for rung in asked if known["rungs"].get(str(rung), NOT_RUN) == NOT_RUN}


def is_without_twin(known: Row) -> bool:
    """Whether there was nothing to compare with when an earlier row was made."""
    unfit = failed(UNFIT)
    return "torch" in known or any(each.startswith(unfit) for each in known["rungs"].values())


def merged(row: Row, known: Row | None) -> Row:
    """A row with what an earlier one of the same file has and it has not."""
    earlier: Row = known or {}
    rungs = {
        str(rung): _first(row, earlier, "rungs", str(rung), NOT_RUN) or NOT_RUN for rung in RUNGS
    }
    errors = {
        name: _first(row, earlier, "max_error", name, None)
        for name in ("float64", "float32", "loss", "gradient")
    }
    rung = ClassReport("", {int(each): outcome for each, outcome in rungs.items()}).rung
    extra: Row = {
        key: row.get(key, earlier.get(key))
        for key in ("torch", "refusals")
        if key in row or key in earlier
    }
    return {
        "source": row["source"],
        "hash": row["hash"],
        "family": row["family"],
        "rung": rung,
        "rungs": rungs,
        "max_error": errors,
        **extra,
    }


def broken(asked: set[int], known: Row | None, reason: str) -> Row:
    """The row of a class at which a worker process ended or was ended."""
    row = {"source": "", "hash": "", "family": "other", **(known or {})}
    row["rungs"] = {str(rung): failed(reason) for rung in rungs_to_run(asked, known)}
    return merged(row, known)


def _first(row: Row, earlier: Row, part: str, name: str, absent: Any) -> Any:
    value = row.get(part, {}).get(name, absent)
    return earlier.get(part, {}).get(name, absent) if value == absent else value
