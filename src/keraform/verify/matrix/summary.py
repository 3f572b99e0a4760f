"""What a whole matrix says: by what models read, by reason of refusal, by where classes stop."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

from keraform import support

COMMONEST = 10


@dataclass(frozen=True)
class Family:
    """The classes that read the same kinds of input.

    Args:
        name: such as "text" or "text and image".
        types: model types.
        classes: all.
        torch: those whose original runs here.
        rungs: how many of those stand on each rung or higher.
    """

    name: str
    types: int
    classes: int
    torch: int
    rungs: dict[int, int]


@dataclass(frozen=True)
class Summary:
    """The numbers of a matrix.

    Args:
        families: the largest first; "all" is the last.
        refused: reasons of refusal and the number of classes, the commonest first.
        stopped: what failed first, without names and numbers, and the number of classes.
        torch: why torch's own models do not run, and the number of classes.
        share: of operations that are decided when a port runs.
        dispatched: the reasons for that, the commonest first.
    """

    families: list[Family]
    refused: list[tuple[str, int]]
    stopped: list[tuple[str, int]]
    torch: list[tuple[str, int]]
    share: float
    dispatched: list[tuple[str, int]]


def summarise(table: dict[str, Any]) -> Summary:
    """The numbers of a support table."""
    rows = [
        (model_type, row)
        for model_type, entry in table["types"].items()
        for row in entry["classes"].values()
    ]
    names = Counter(row["family"] for _, row in rows)
    families = [
        _family(name, [pair for pair in rows if pair[1]["family"] == name])
        for name, _ in names.most_common()
    ]
    reasons: Counter[str] = Counter()
    for counts in table.get("files", {}).values():
        reasons.update(counts["reasons"])
    return Summary(
        families=[*families, _family("all", rows)],
        refused=_commonest(each for _, row in rows for each in row.get("refusals", ())),
        stopped=_commonest(_kind(word) for _, row in rows if (word := _stopped(row)) is not None),
        torch=_commonest(_kind(row["torch"]) for _, row in rows if "torch" in row),
        share=_share(table),
        dispatched=reasons.most_common(COMMONEST),
    )


def _family(name: str, rows: list[tuple[str, dict[str, Any]]]) -> Family:
    running = [row for _, row in rows if support.runs_in_torch(row)]
    return Family(
        name,
        types=len({model_type for model_type, _ in rows}),
        classes=len(rows),
        torch=len(running),
        rungs={
            number: sum(row["rung"] >= number for row in running)
            for number in map(int, support.RUNGS)
        },
    )


def _stopped(row: dict[str, Any]) -> str | None:
    if not support.runs_in_torch(row):
        return None
    return support.failure(row)


def _kind(reason: str) -> str:
    """A reason without what differs from class to class."""
    return re.sub(r"\d+(\.\d+)?(e-?\d+)?|'[^']*'", "_", reason)[:120]


def _commonest(reasons: Any) -> list[tuple[str, int]]:
    return Counter(reasons).most_common(COMMONEST)


def _share(table: dict[str, Any]) -> float:
    files = table.get("files", {}).values()
    return sum(each["dispatched"] for each in files) / max(
        1, sum(each["operations"] for each in files)
    )
