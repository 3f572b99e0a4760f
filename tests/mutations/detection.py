"""Detection: whether the ladder or `localise` says that a case has a fault, and where."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from tests.mutations.faults import Fault, seeded
from tests.mutations.subjects import Subject

from keraform.verify.cases import Case
from keraform.verify.ladder import CLIMBS, attempt
from keraform.verify.localising.localise import localise
from keraform.verify.outcome import ClassReport, holds

# The rungs that look at what the port computes and learns; the first one that fails speaks.
RUNGS = tuple(rung for rung in (3, 4, 5, 6) if rung in CLIMBS)


@dataclass(frozen=True)
class Detection:
    """What was found in one case.

    Args:
        rung: the first rung that failed, 0 where all hold.
        said: in the ladder's words.
        named: whether the first finding names the spoiled statement.
        line: the line that it names in the port, 0 where none.
        kind: what the finding is about, "" where there is none.
        cause: the likely cause that it gives.
    """

    rung: int
    said: str
    named: bool
    line: int
    kind: str
    cause: str

    @property
    def detected(self) -> bool:
        """Whether anything was found."""
        return bool(self.rung or self.kind)

    def to_json(self) -> dict[str, Any]:
        """The detection's entry in `docs/detector.json`."""
        return asdict(self)


def detect(subject: Subject, fault: Fault) -> Detection:
    """Seed a fault and look for it."""
    with seeded(subject, fault) as case:
        return look(case, fault)


def look(case: Case, fault: Fault) -> Detection:
    """Climb the ladder, then localise, whatever the ladder says."""
    rung, said = _first_failure(case)
    try:
        findings = localise(case).findings
    except Exception as error:  # the detector's own fault: nothing is named
        findings, said = [], f"{said}; localise raised {type(error).__name__}: {error}"
    first = findings[0] if findings else None
    place = first.keras if first is not None else None
    line = place.line if place is not None else 0
    return Detection(
        rung=rung,
        said=said[:400],
        named=fault.is_at(line),
        line=line,
        kind=first.kind if first is not None else "",
        cause=(first.cause or first.problem or "") if first is not None else "",
    )


def _first_failure(case: Case) -> tuple[int, str]:
    report = ClassReport(case.name)
    for rung in RUNGS:
        outcome = attempt(CLIMBS[rung], case, report)
        if not holds(outcome):
            return rung, outcome
    return 0, ""
