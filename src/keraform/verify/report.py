"""The ladder as tables of words, which the command line draws and a terminal without it can
print.
"""

from __future__ import annotations

from dataclasses import dataclass

from keraform.verify.outcome import (
    NOT_RUN,
    PASS,
    RUNG_NAMES,
    RUNGS,
    ClassReport,
    Report,
    StageError,
)

MARKS = {PASS: "+", NOT_RUN: "."}
STYLES = {"+": "green", "-": "red", ".": "dim", "n": "dim"}


@dataclass(frozen=True)
class Table:
    """Columns and rows of words; whoever prints decides about lines and colours."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def mark(outcome: str) -> str:
    """`+` pass, `-` fail, `n` not applicable, `.` not run."""
    return MARKS.get(outcome) or ("n" if outcome.startswith("not applicable") else "-")


def ladder_table(report: Report) -> Table:
    """One row a class: its rung, a mark for each rung, the largest errors."""
    columns = (
        "class",
        "rung",
        *(f"{n} {RUNG_NAMES[n]}" for n in RUNGS),
        "float64",
        "float32",
        "noise",
    )
    rows = tuple(
        (
            entry.name,
            str(entry.rung),
            *(mark(entry.rungs[rung]) for rung in RUNGS),
            number(entry.max_error["float64"]),
            number(entry.max_error["float32"]),
            number(_most(entry, "noise")),
        )
        for entry in report.classes
    )
    return Table(
        f"{report.target}: transformers {report.transformers}, {report.backend}", columns, rows
    )


def stage_table(entry: ClassReport, most: int | None = None) -> Table:
    """One row a stage with its largest errors; only the worst `most`, in the order of the run."""
    stages = list(entry.stages.values())
    if most is not None and len(stages) > most:
        worst = sorted(stages, key=_badness, reverse=True)[:most]
        stages = [stage for stage in stages if stage in worst]
    rows = tuple((s.name, number(s.float64), number(s.float32), number(s.noise)) for s in stages)
    return Table(entry.name, ("stage", "float64", "float32", "torch's own noise"), rows)


def reasons(report: Report) -> list[str]:
    """One line for each rung that failed, and for each that does not apply."""
    lines = []
    for entry in report.classes:
        if entry.torch is not None:
            lines.append(f"{entry.name}: torch's own model does not run here: {entry.torch}")
        for rung, outcome in entry.rungs.items():
            if outcome not in (PASS, NOT_RUN):
                lines.append(f"{entry.name} rung {rung} {RUNG_NAMES[rung]}: {outcome}")
    return lines


def text(table: Table) -> str:
    """A table in plain characters."""
    lines = [table.columns, *table.rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(table.columns))]
    drawn = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
    return "\n".join([table.title, *drawn])


def number(value: float | None) -> str:
    """Two digits, or nothing."""
    return "" if value is None else f"{value:.1e}"


def _most(entry: ClassReport, name: str) -> float | None:
    values = [getattr(stage, name) for stage in entry.stages.values()]
    return max((value for value in values if value is not None), default=None)


def _badness(stage: StageError) -> tuple[float, float]:
    return (stage.float64 or 0.0, stage.float32 or 0.0)
