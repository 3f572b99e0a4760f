"""What a conversion gives: how far each tensor is off, what was written, and notes; plain data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from keraform.verify.outcome import as_number

MAX_ERROR = 5e-5  # of the old `transformers-cli pt-to-tf`

WEIGHTS, OUTPUTS, HIDDEN, ATTENTIONS = "weights", "outputs", "hidden states", "attentions"
LOSS, GRADIENTS = "loss", "gradients"
GROUPS = (WEIGHTS, OUTPUTS, HIDDEN, ATTENTIONS, LOSS, GRADIENTS)

# Called before each step with (what, steps done, steps in all).
Step = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Measure:
    """How far one tensor is off, relative to the larger of 1 and its rms, and how far it may be.

    Args:
        group: One of GROUPS.
        name: An output, or a weight's key.
        error: The distance, infinite where there is no number for it.
        limit: How far it may be off.
        problem: What has no number: a key, a shape, a NaN.
    """

    group: str
    name: str
    error: float
    limit: float
    problem: str | None = None

    @property
    def beyond(self) -> bool:
        """Whether it is too far off."""
        return self.problem is not None or not self.error <= self.limit

    def to_json(self) -> dict[str, Any]:
        """The tensor's entry in `--json`."""
        return {
            "group": self.group,
            "tensor": self.name,
            "error": as_number(self.error),
            "limit": self.limit,
            "problem": self.problem,
        }


@dataclass
class Conversion:
    """What a conversion measured and wrote.

    Args:
        source: The checkpoint.
        class_name: The Keras class.
        max_error: How far a tensor may be off.
        before: The Keras model with the checkpoint's weights, against torch's.
        after: What was written and read back, against torch's; None where nothing was.
        written: The file or folder, where one was written.
        url: The pull request or commit that offers it.
        notes: What the reader should know.
    """

    source: str
    class_name: str
    max_error: float
    before: list[Measure] = field(default_factory=list)
    after: list[Measure] | None = None
    written: Path | None = None
    url: str | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def beyond(self) -> list[Measure]:
        """What is too far off."""
        return [each for each in (*self.before, *(self.after or ())) if each.beyond]

    def to_json(self) -> dict[str, Any]:
        """What `--json` prints."""
        return {
            "source": self.source,
            "class": self.class_name,
            "max_error": self.max_error,
            "before": _summary(self.before),
            "after": None if self.after is None else _summary(self.after),
            "beyond": [each.to_json() for each in self.beyond],
            "written": None if self.written is None else str(self.written),
            "url": self.url,
            "notes": self.notes,
        }


def worst_of_groups(measures: list[Measure]) -> dict[str, Measure]:
    """The tensor that is farthest off in each group that there is."""
    found: dict[str, Measure] = {}
    for group in GROUPS:
        members = [each for each in measures if each.group == group]
        if members:
            found[group] = max(members, key=lambda each: (each.beyond, each.error))
    return found


def _summary(measures: list[Measure]) -> dict[str, Any]:
    return {
        group: {"error": as_number(worst.error), "limit": worst.limit, "tensor": worst.name}
        for group, worst in worst_of_groups(measures).items()
    }
