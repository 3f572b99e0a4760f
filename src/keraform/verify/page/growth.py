"""The plot of a page: how errors grow through the depth of a model, as SVG that follows the page's
colours.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from keraform.verify.outcome import StageError
from keraform.verify.page.tree import OUTPUT, Node, grow
from keraform.verify.tolerances import LIMITS

# Stand-ins that matplotlib draws with, and the page's colours that take their places.
INK, FAINT, GUILTY = "#010101", "#010102", "#010103"
BLUE, TEAL, ORANGE, GREY = "#010104", "#010105", "#010106", "#010107"
COLOURS = {
    INK: "var(--ink)",
    FAINT: "var(--line)",
    GUILTY: "var(--bad)",
    BLUE: "var(--float64)",
    TEAL: "var(--isolated)",
    ORANGE: "var(--float32)",
    GREY: "var(--noise)",
}

# An error of 0 has no place on a logarithmic axis: it is drawn on its lower edge, and what has no
# number on its upper.
LOWEST, HIGHEST = 1e-18, 1e4
MOST_LANDMARKS, LONGEST = 14, 34


@dataclass(frozen=True)
class Line:
    """One sort of error, and how it is drawn."""

    field: str
    label: str
    colour: str
    style: Mapping[str, Any]


LINES = (
    Line("float64", "float64, accumulated", BLUE, {"ls": "-", "lw": 1.8, "zorder": 4}),
    Line("isolated", "float64, isolated", TEAL, {"ls": "", "marker": "o", "ms": 3.2, "zorder": 5}),
    Line("float32", "float32, accumulated", ORANGE, {"ls": "-", "lw": 1.4, "zorder": 3}),
    Line("noise", "torch’s own float32 noise", GREY, {"ls": (0, (1, 1)), "lw": 1.6, "zorder": 2}),
)
STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "keraform",
    "text.parse_math": False,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": FAINT,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "font.size": 10,
    "axes.unicode_minus": False,
}


def growth(stages: Mapping[str, StageError], marks: Mapping[str, str], prefix: str) -> str:
    """The plot as an `<svg>` element; "" where no stage has a number.

    Args:
        stages: the errors, in the order of the run; outputs are left out.
        marks: the guilty stages.
        prefix: what its ids begin with, so that a page can hold several plots.
    """
    run = [stage for name, stage in stages.items() if OUTPUT not in name]
    lines = [line for line in LINES if any(getattr(each, line.field) is not None for each in run)]
    if not lines:
        return ""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(11, 4.6), layout="constrained")
        axes = figure.add_subplot()
        for line in lines:
            _draw(axes, line, [getattr(stage, line.field) for stage in run])
        _draw_limits(axes, lines)
        _draw_marks(axes, run, marks)
        _draw_axes(axes, run)
        figure.legend(loc="outside upper left", ncols=len(lines), frameon=False)
        text = io.StringIO()
        nothing = {"Date": None, "Creator": None, "Format": None, "Type": None}
        figure.savefig(text, format="svg", transparent=True, metadata=nothing)
    return _as_element(text.getvalue(), prefix)


def _draw(axes: Any, line: Line, errors: Sequence[float | None]) -> None:
    places = range(1, len(errors) + 1)
    heights = [math.nan if error is None else _height(error) for error in errors]
    axes.plot(places, heights, color=line.colour, label=line.label, **line.style)
    odd = [x for x, error in zip(places, errors, strict=True) if _has_no_number(error)]
    if odd:
        axes.plot(odd, [HIGHEST] * len(odd), color=line.colour, ls="", marker="^", clip_on=False)


def _height(error: float) -> float:
    return HIGHEST if _has_no_number(error) else min(max(error, LOWEST), HIGHEST)


def _has_no_number(error: float | None) -> bool:
    return error is not None and not math.isfinite(error)


def _draw_limits(axes: Any, lines: Sequence[Line]) -> None:
    drawn = {line.field: line.colour for line in lines}
    for dtype, limit in LIMITS.items():
        if dtype in drawn:
            axes.axhline(limit, color=drawn[dtype], ls="--", lw=1)
            axes.annotate(
                f"{dtype}\nlimit {limit:.0e}", (1, limit), xycoords=("axes fraction", "data"),
                xytext=(4, 0), textcoords="offset points", va="center", fontsize=9,
            )  # fmt: skip


def _draw_marks(axes: Any, run: Sequence[StageError], marks: Mapping[str, str]) -> None:
    for place, stage in enumerate(run, 1):
        if stage.name in marks:
            axes.axvline(place, color=GUILTY, lw=1.2, zorder=0)
            axes.annotate(
                f"{place}: {marks[stage.name]}", (place, HIGHEST), xytext=(3, -10),
                textcoords="offset points", fontsize=9, color=GUILTY,
            )  # fmt: skip


def _draw_axes(axes: Any, run: Sequence[StageError]) -> None:
    axes.set_yscale("log")
    axes.set_ylim(LOWEST, HIGHEST)
    axes.set_xlim(0.5, len(run) + 0.5)
    axes.set_ylabel("error")
    axes.set_yticks([10.0**power for power in range(-18, 5, 2)], minor=False)
    axes.set_yticks([], minor=True)
    axes.set_yticklabels(["0", *(f"1e{power}" for power in range(-16, 3, 2)), "none"])
    places = landmarks([stage.name for stage in run])
    axes.set_xticks(list(places), labels=list(places.values()), rotation=28, ha="right")
    axes.grid(color=FAINT, lw=0.5)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def landmarks(names: Sequence[str]) -> dict[int, str]:
    """Where along the run which part of the model begins: the tree's largest parts are split until
    there are enough, and names that would overlap are left out.
    """
    places = {name: place for place, name in enumerate(names, 1)}
    found = list(grow({name: StageError(name) for name in names}).children.values())
    room = len(names) / MOST_LANDMARKS
    while len(found) < MOST_LANDMARKS / 2:
        size = max((_size(node) for node in found if node.children), default=0)
        if size < 2 * room:
            break
        large = [node for node in found if node.children and _size(node) == size]
        found = [node for node in found if node not in large]
        found += [child for node in large for child in node.children.values()]
    kept: dict[int, str] = {}
    last = -math.inf
    for place, name in sorted((_begin(node, places), node.name) for node in found):
        if place - last >= room:
            kept[place] = name if len(name) <= LONGEST else f"…{name[1 - LONGEST :]}"
            last = place
    return kept


def _size(node: Node) -> int:
    return sum(1 for _ in node.stages())


def _begin(node: Node, places: Mapping[str, int]) -> int:
    return min(places[stage.name] for stage in node.stages())


def _as_element(svg: str, prefix: str) -> str:
    """Only the element, in the page's colours, with ids of its own and nothing that names a URL."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' xmlns(:\w+)?="[^"]*"', "", svg)
    svg = re.sub(r'(\bid="|url\(#|xlink:href="#)', rf"\g<1>{prefix}-", svg)
    svg = re.sub(r' (width|height)="[\d.]+pt"', "", svg, count=2)
    for stand_in, colour in COLOURS.items():
        svg = svg.replace(stand_in, colour)
    return svg.replace("<svg", '<svg role="img" aria-label="errors by stage"', 1)
