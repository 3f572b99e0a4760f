"""The verdict of a page: what was found, in one sentence that a person understands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from keraform.verify.findings import CONSTRUCTION, STATEMENT, WEIGHTS, Finding
from keraform.verify.outcome import NOT_RUN, RUNG_NAMES, ClassReport, StageError, holds
from keraform.verify.page.heat import COLUMNS, Limits, words, worst

# What a verdict can be.
EQUAL, DIFFERS, FAILS, OPEN = "equal", "differs", "fails", "open"

# The runs that decide, and the last rung that compares their values.
RUNS = ("float64", "float32")
VALUES = 5


@dataclass(frozen=True)
class Verdict:
    """EQUAL, DIFFERS (in values), FAILS (in something else) or OPEN (nothing was compared), and the
    sentence.
    """

    word: str
    sentence: str


def verdict_of(
    report: ClassReport,
    stages: Mapping[str, StageError],
    findings: Sequence[Finding],
    limits: Limits,
) -> Verdict:
    """The verdict on one class; the most basic fault speaks."""
    ours, theirs = names_of(report.name)
    failed = next((rung for rung, outcome in report.rungs.items() if not _stands(outcome)), None)
    beyond = next((stage for stage in stages.values() if limits.exceeded(stage)), None)
    agreed = _agreement(stages, limits)
    if findings:
        return Verdict(DIFFERS, f"{ours} differs from {theirs} {_blame(findings[0])}.")
    if beyond is not None:
        return Verdict(DIFFERS, f"{ours} differs from {theirs} first at {_where(beyond, limits)}.")
    if failed is not None:
        but = f"its values equal those of {theirs}, but " if agreed and failed > VALUES else ""
        return Verdict(FAILS, f"{ours}: {but}{_reason(report, failed)}.")
    if agreed:
        return Verdict(EQUAL, f"{ours} equals {theirs}: {agreed}.")
    run = [f"{rung} {RUNG_NAMES[rung]}" for rung in RUNG_NAMES if report.rungs[rung] != NOT_RUN]
    nothing = f"; nothing failed in {', '.join(run)}" if run else ""
    return Verdict(OPEN, f"{ours}: no values were compared with those of {theirs}{nothing}.")


def verdict_on_all(target: str, verdicts: Mapping[str, Verdict]) -> Verdict:
    """The verdict on a target; that of its class where it has one only."""
    if not verdicts:
        return Verdict(OPEN, f"Nothing was compared in {target}.")
    if len(verdicts) == 1:
        return next(iter(verdicts.values()))
    words_of = {each.word for each in verdicts.values()}
    bad = [name for name, each in verdicts.items() if each.word in (DIFFERS, FAILS)]
    unknown = [name for name, each in verdicts.items() if each.word == OPEN]
    of_all = f"of {len(verdicts)} classes of {target}"
    if bad:
        fail = "fails" if len(bad) == 1 else "fail"
        word = DIFFERS if DIFFERS in words_of else FAILS
        return Verdict(word, f"{len(bad)} {of_all} {fail}: {', '.join(bad)}.")
    if unknown:
        return Verdict(OPEN, f"The values of {len(unknown)} {of_all} were not compared.")
    return Verdict(EQUAL, f"All {len(verdicts)} classes of {target} equal torch’s.")


def names_of(name: str) -> tuple[str, str]:
    """How the two sides of a class are called."""
    theirs = name.removeprefix("TF")
    return (name if theirs != name else f"Keras’s {name}"), f"torch’s {theirs}"


def stage_words(name: str) -> str:
    """A stage in a sentence."""
    return f"stage {name}" if name else "the model’s own code"


def _stands(outcome: str) -> bool:
    return outcome == NOT_RUN or holds(outcome)


def _reason(report: ClassReport, rung: int) -> str:
    reason = report.rungs[rung].removeprefix("fail: ")
    return f"rung {rung} ({RUNG_NAMES[rung]}) fails: {reason}"


def _blame(finding: Finding) -> str:
    """`first at stage encoder.layer.0: the statement in line 123 of modeling_bert.py`."""
    place = finding.keras or finding.torch
    at = f"in line {place.line} of {Path(place.file).name}" if place is not None else ""
    what = {
        WEIGHTS: "a weight has other values",
        CONSTRUCTION: f"the layer is made with other arguments {at}",
        STATEMENT: f"the statement {at}",
    }.get(finding.kind, "no statement could be named")
    cause = f"; likely cause: {finding.cause}" if finding.cause else ""
    return f"first at {stage_words(finding.stage)}: {what.strip()}{cause}"


def _where(stage: StageError, limits: Limits) -> str:
    column = limits.exceeded(stage) or COLUMNS[0]
    error, limit = getattr(stage, column.field), limits.of(stage, column)
    return f"{stage_words(stage.name)} ({column.title} error {words(error)}, limit {words(limit)})"


def _agreement(stages: Mapping[str, StageError], limits: Limits) -> str:
    """`all 43 stages and outputs agree, to 2.2e-15 in float64 (limit 1.0e-09) and to ...`."""
    parts = []
    for column in COLUMNS:
        stage = worst(stages.values(), column)
        if column.field in RUNS and stage is not None:
            error, limit = getattr(stage, column.field), limits.of(stage, column)
            parts.append(f"to {words(error)} in {column.title} (limit {words(limit)})")
    return f"all {len(stages)} stages and outputs agree, {' and '.join(parts)}" if parts else ""
