"""What a page says of one number: its column, its limit, its colour and its words."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from keraform.verify.outcome import StageError
from keraform.verify.tolerances import allowed


@dataclass(frozen=True)
class Column:
    """One kind of error; `field` is its name in StageError.

    Args:
        field: the attribute that holds it.
        title: its head in the tree.
        dtype: the run that it is from, whose limit it has.
        meaning: what it measures.
        judged: whether a number beyond the limit is the port's fault.
    """

    field: str
    title: str
    dtype: str
    meaning: str
    judged: bool = True


COLUMNS = (
    Column(
        "isolated", "isolated", "float64",
        "the stage's own code alone, in float64: it is given what torch's twin was given, and its "
        "children's outputs are torch's. A stage that is wrong here is guilty.",
    ),
    Column(
        "float64", "float64", "float64",
        "accumulated from the model's inputs on, with casts inside the model lifted to float64 on "
        "both sides. It decides whether the port is right.",
    ),
    Column(
        "float32", "float32", "float32",
        "accumulated from the model's inputs on, in float32 as users run it. It decides whether "
        "the port may be released.",
    ),
    Column(
        "noise", "torch’s noise", "float32",
        "the noise floor: how far torch's own float32 run is from torch's float64 run. A port is "
        "not expected to be closer than that.",
        judged=False,
    ),
)  # fmt: skip

# Upper ends of the colours, in multiples of the limit; what has no number has the last one.
HEAT: tuple[tuple[float, str], ...] = (
    (0.0, "0"),
    (1e-4, "≤ limit/10⁴"),
    (1e-2, "≤ limit/100"),
    (1.0, "≤ limit"),
    (1e2, "≤ 100 × limit"),
    (1e4, "≤ 10⁴ × limit"),
    (math.inf, "beyond that, or no number"),
)


def heat(error: float | None, limit: float) -> int | None:
    """The colour of an error: an index of HEAT, None where nothing was measured."""
    if error is None:
        return None
    if not math.isfinite(error):
        return len(HEAT) - 1
    return next(index for index, (bound, _) in enumerate(HEAT) if error <= bound * limit)


def words(error: float | None) -> str:
    """An error in two digits; what has no number as what it is."""
    if error is None:
        return "–"
    if math.isnan(error):
        return "NaN"
    if math.isinf(error):
        return "∞"
    return f"{error:.1e}" if error else "0"


def worst(stages: Iterable[StageError], column: Column) -> StageError | None:
    """The stage with the largest error of those that were measured; one that has no number is
    larger than all.
    """

    def size(stage: StageError) -> float:
        error = getattr(stage, column.field)
        return error if math.isfinite(error) else math.inf

    measured = [stage for stage in stages if getattr(stage, column.field) is not None]
    return max(measured, key=size, default=None)


@dataclass(frozen=True)
class Limits:
    """The limits of one class's stages; on trained weights torch's own noise counts."""

    class_name: str
    trained: bool = False

    def of(self, stage: StageError, column: Column) -> float:
        """How far a stage may be off."""
        return allowed(self.class_name, stage.name, column.dtype, stage.noise or 0.0, self.trained)

    def exceeds(self, stage: StageError, column: Column) -> bool:
        """Whether a stage is beyond its limit in one column."""
        error = getattr(stage, column.field)
        return column.judged and error is not None and not error <= self.of(stage, column)

    def exceeded(self, stage: StageError) -> Column | None:
        """The first column in which a stage is beyond its limit."""
        return next((column for column in COLUMNS if self.exceeds(stage, column)), None)
