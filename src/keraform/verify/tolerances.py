"""How far a stage may be off: one table, each entry with its reason, and those that were not
needed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

LIMITS = {"float64": 1e-9, "float32": 1e-5}
# Float64 decides right or wrong: the lift leaves no smaller float, and one ulp moves outputs by
# 1e-15 to 1e-12. Float32 decides release; torch's own distance to float64 is printed beside each
# stage.

TRAINING_LIMITS = {
    "trained": 0.0,
    "loss": 1e-9,
    "gradient": 1e-8,
    "statistics": 1e-9,
    "step": 1e-8,
}
# Of rung 6, all in float64. Losses and running statistics are outputs of a forward pass. A gradient
# comes through twice as many operations, and sums over batch and length what cancels in part; it
# measures 1e-15 to 1e-11 between right ports. A step's new weights differ by at most what the
# gradients do, times the learning rate over epsilon (steps.py). A parameter is trained or is not.

NOISE_FACTOR = 2.0
# Trained weights have outliers (single values of 190 in MiniLM, where the rms is 1.9), at which
# torch itself is 1e-4 away from float64. Two float32 runs differ by at most the sum of their
# distances from float64, so for a checkpoint's own weights a stage may also be off by this many
# times torch's own noise, the larger of two: with torch's kernels and with the backend's
# (kernels.py). Random twins have no such outliers and keep the flat limit.


@dataclass(frozen=True)
class Tolerance:
    """A wider limit for the stages whose name matches, of the classes whose name matches."""

    classes: str
    stages: str
    dtype: str
    limit: float
    reason: str


TOLERANCES: tuple[Tolerance, ...] = ()


def limit_of(
    class_name: str, stage: str, dtype: str, table: tuple[Tolerance, ...] = TOLERANCES
) -> float:
    """The limit of one stage."""
    entry = entry_of(class_name, stage, dtype, table)
    return LIMITS[dtype] if entry is None else entry.limit


def allowed(class_name: str, stage: str, dtype: str, noise: float, trained: bool) -> float:
    """The limit of one stage; on trained weights (`trained`) torch's own noise counts too."""
    limit = limit_of(class_name, stage, dtype)
    return max(limit, NOISE_FACTOR * noise) if trained and dtype == "float32" else limit


def entry_of(
    class_name: str, stage: str, dtype: str, table: tuple[Tolerance, ...] = TOLERANCES
) -> Tolerance | None:
    """The entry that speaks about a stage; the first match wins."""
    for entry in table:
        if (
            entry.dtype == dtype
            and re.fullmatch(entry.classes, class_name)
            and re.fullmatch(entry.stages, stage)
        ):
            return entry
    return None


def unneeded(
    errors: dict[str, dict[tuple[str, str], float]], table: tuple[Tolerance, ...] = TOLERANCES
) -> list[Tolerance]:
    """Entries whose classes were run and none of whose stages passed the general limit.

    Args:
        errors: for each class its `(stage, dtype) -> error`.
        table: the entries.
    """
    idle = []
    for entry in table:
        seen = [
            error
            for class_name, stages in errors.items()
            if re.fullmatch(entry.classes, class_name)
            for (stage, dtype), error in stages.items()
            if dtype == entry.dtype and re.fullmatch(entry.stages, stage)
        ]
        if seen and max(seen) <= LIMITS[entry.dtype]:
            idle.append(entry)
    return idle
