"""Outcomes: what the ladder found of one class and of a whole target, and its JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from keraform.verify.refusals import Refusal

RUNGS = range(1, 11)
PASS, NOT_RUN = "pass", "not run"
# Why a rung fails for which there is nothing to compare with, though torch's own model could run.
UNFIT = "no config and inputs were found with which torch's own model runs"

RUNG_NAMES = {
    1: "translated",
    2: "built",
    3: "loaded",
    4: "exact",
    5: "release",
    6: "learns",
    7: "compiled",
    8: "kept",
    9: "portable",
    10: "speaks",
}


def failed(reason: str) -> str:
    """The word for a rung that failed."""
    return f"fail: {reason}"


def not_applicable(reason: str) -> str:
    """The word for a rung that has no meaning for a class."""
    return f"not applicable: {reason}"


def holds(outcome: str) -> bool:
    """Whether a rung passed or does not apply."""
    return outcome == PASS or outcome.startswith("not applicable")


@dataclass
class StageError:
    """One stage's errors, accumulated from the model's inputs on, and alone.

    Args:
        name: the stage's path.
        float64: accumulated error with casts lifted.
        float32: accumulated error as users see it.
        noise: torch's own distance from float32 to float64 (`Case.noise`).
        isolated: the float64 error of the stage's own code, given what torch's twin was given, its
            children's outputs replaced by torch's.
        layer: the class of the port's layer.
    """

    name: str
    float64: float | None = None
    float32: float | None = None
    noise: float | None = None
    isolated: float | None = None
    layer: str = ""

    def note(self, column: str, error: float) -> None:
        """Keep the largest error of a column, over all that was run."""
        setattr(self, column, max(getattr(self, column) or 0.0, error))

    def to_json(self) -> dict[str, Any]:
        """The stage's entry in `--json`."""
        numbers = ("float64", "float32", "noise", "isolated")
        return {
            "name": self.name,
            "layer": self.layer,
            **{each: as_number(getattr(self, each)) for each in numbers},
        }


@dataclass
class ClassReport:
    """Everything about one class; `torch` says why torch's own model cannot run here, where it
    cannot: then there is nothing to compare with, and only rung 1 is run. `remarks` say what could
    not be compared and why.
    """

    name: str
    rungs: dict[int, str] = field(default_factory=lambda: dict.fromkeys(RUNGS, NOT_RUN))
    max_error: dict[str, float | None] = field(
        default_factory=lambda: {"float64": None, "float32": None, "loss": None, "gradient": None}
    )
    refusals: list[Refusal] = field(default_factory=list)
    stages: dict[str, StageError] = field(default_factory=dict)
    seconds: float = 0.0
    torch: str | None = None
    remarks: list[str] = field(default_factory=list)

    @property
    def rung(self) -> int:
        """The highest rung up to which nothing failed or was left out."""
        reached = 0
        for rung in RUNGS:
            if not holds(self.rungs[rung]):
                break
            reached = rung
        return reached

    def passed(self, asked: set[int]) -> bool:
        """Whether every asked rung holds."""
        return all(holds(self.rungs[rung]) for rung in asked)

    def to_json(self) -> dict[str, Any]:
        """The class's entry in `verify --json`."""
        return {
            "class": self.name,
            "rung": self.rung,
            "rungs": {str(rung): outcome for rung, outcome in self.rungs.items()},
            "max_error": {name: as_number(error) for name, error in self.max_error.items()},
            "refusals": [asdict(refusal) for refusal in self.refusals],
            "stages": [stage.to_json() for stage in self.stages.values()],
            **({"torch": self.torch} if self.torch is not None else {}),
            **({"remarks": self.remarks} if self.remarks else {}),
        }


@dataclass
class Report:
    """The ladder of one target; `trained` weights are a checkpoint's own, not random ones;
    `remarks` are what the reader should know and is no difference.
    """

    target: str
    transformers: str
    backend: str
    classes: list[ClassReport] = field(default_factory=list)
    asked: set[int] = field(default_factory=lambda: set(RUNGS))
    trained: bool = False
    remarks: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether every asked rung holds for every class."""
        return bool(self.classes) and all(report.passed(self.asked) for report in self.classes)

    def to_json(self) -> dict[str, Any]:
        """What `verify --json` prints."""
        return {
            "target": self.target,
            "transformers": self.transformers,
            "backend": self.backend,
            "classes": [report.to_json() for report in self.classes],
            **({"remarks": self.remarks} if self.remarks else {}),
        }


def as_number(value: float | None) -> float | str | None:
    """JSON has no infinity: it becomes the word."""
    if value is None or abs(value) != float("inf"):
        return value
    return "inf"
