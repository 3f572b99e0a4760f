"""Findings: what `keraform localise` says of a difference, down to the statement, as plain data."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from keraform.verify.load_report import LoadReport
from keraform.verify.outcome import StageError, as_number

# What a finding is about.
WEIGHTS, CONSTRUCTION, STATEMENT, STAGE = "weights", "construction", "statement", "stage"


@dataclass(frozen=True)
class Place:
    """A statement in a file: `line` counts from 1, `text` is the whole statement."""

    file: str
    line: int
    text: str


@dataclass(frozen=True)
class Statistics:
    """What can be said of a tensor in a line; numbers over its finite values."""

    dtype: str
    shape: tuple[int, ...]
    mean: float
    rms: float
    smallest: float
    largest: float
    nan: int = 0


@dataclass(frozen=True)
class Finding:
    """One difference and who is to blame.

    Args:
        kind: `weights` (a weight differs), `construction` (a layer of the runtime was made with
            other arguments), `statement` (a statement of a `call` or function), `stage` (no
            statement could be named).
        stage: the path of the guilty stage, "" for the model itself.
        dtype: the run in which it shows: float64 (lifted), float32, bfloat16 or float16.
        error: the distance, relative to the larger of 1 and torch's rms; inf without a number.
        torch: the statement on torch's side.
        keras: the statement of the port.
        rules: ids of the rules that wrote the port's statement.
        cause: the likely cause in words, None where nothing in the catalogue explains it.
        torch_values: of the first value that differs.
        keras_values: the same on the port's side.
        problem: what has no number (a shape, a dtype, a key, a NaN).
    """

    kind: str
    stage: str
    dtype: str
    error: float
    torch: Place | None = None
    keras: Place | None = None
    rules: tuple[str, ...] = ()
    cause: str | None = None
    torch_values: Statistics | None = None
    keras_values: Statistics | None = None
    problem: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The finding's entry in `localise --json`."""
        return {**asdict(self), "error": as_number(self.error)}


@dataclass
class Localisation:
    """Everything that was found out about one class.

    Args:
        name: the class, as reports show it.
        stages: errors by stage in the order of the run, isolated ones included.
        weights: what loading said.
        findings: the differences, the most basic first; empty where there is none.
        remark: what the reader should know, and is no difference.
    """

    name: str
    stages: dict[str, StageError] = field(default_factory=dict)
    weights: LoadReport = field(default_factory=LoadReport)
    findings: list[Finding] = field(default_factory=list)
    remark: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The class's entry in `localise --json`."""
        return {
            "class": self.name,
            "remark": self.remark,
            "findings": [finding.to_json() for finding in self.findings],
            "weights": asdict(self.weights),
            "stages": [stage.to_json() for stage in self.stages.values()],
        }
