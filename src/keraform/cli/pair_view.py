"""How a comparison of two models is shown: the weight map, the stages, and what was found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console

from keraform.cli.finding_view import show_finding

if TYPE_CHECKING:
    from keraform.verify.handwritten.trace_pairs import PairReport
    from keraform.verify.handwritten.weight_map import WeightMap

    Shapes = dict[str, tuple[int, ...]]

MOST_STAGES = 40


def show(report: PairReport, where: Console) -> None:
    """Prints everything: what the weights are made of, the stages, remarks, findings."""
    show_map(report.weight_map, report.shapes, where)
    show_stages(report, where)
    for remark in report.remarks:
        where.print(f"note: {remark}", style="dim", markup=False, highlight=False)
    for finding in report.localisation.findings:
        show_finding(finding, where)
    if report.equal:
        where.print("equal", style="green")


def show_map(weight_map: WeightMap, shapes: tuple[Shapes, Shapes], where: Console) -> None:
    """Prints the weight map, the doubtful pairs marked, and what it leaves over."""
    from keraform.verify.handwritten.weight_map import doubtful
    from keraform.verify.handwritten.weight_pairs import whole_key

    torch, keras = shapes
    rows: list[tuple[str, ...]] = [("Keras", "shape", "torch", "shape", "layout", "sure", "why")]
    for pair in weight_map.pairs:
        wholes = [whole_key(key) for key in pair.torch]
        sizes = dict.fromkeys(_words(torch[key]) for key in wholes if key in torch)
        rows.append(
            (
                pair.keras,
                _words(keras.get(pair.keras, ())),
                " + ".join(pair.torch),
                ", ".join(sizes),
                pair.layout if pair.combine == "one" else f"{pair.combine}, {pair.layout}",
                f"{pair.confidence:.2f}",
                pair.reason,
            )
        )
    styles = [None, *("yellow" if doubtful(pair) else None for pair in weight_map.pairs)]
    _print_columns("weight map", rows, where, styles)
    for side, names in (("torch", weight_map.torch_left), ("Keras", weight_map.keras_left)):
        for name in names:
            where.print(f"{side} alone: {name}", style="yellow", markup=False, highlight=False)


def show_stages(report: PairReport, where: Console) -> None:
    """Prints the error of each stage that both have, and of each output; of many stages those that
    differ most.
    """
    errors = report.localisation.stages
    pairs = {each.torch: each for each in report.stages}
    rows: list[tuple[str, ...]] = [("torch", "Keras", "float64", "float32", "layout")]
    for name in _shown(report):
        stage = pairs.get(name)
        numbers = [errors[name].float64, errors[name].float32]
        how = stage.outputs.how if stage else ""
        if stage and numbers == [None, None]:
            how = "the activation is inside"
        words = ["" if value is None else f"{value:.1e}" for value in numbers]
        rows.append((name, stage.keras if stage else "", *words, how))
    _print_columns(
        "largest error of each stage, relative to the larger of 1 and its rms", rows, where
    )


def _shown(report: PairReport) -> list[str]:
    errors = report.localisation.stages
    outputs = [name for name in errors if name.startswith("outputs/")]
    inner = [name for name in errors if name not in outputs]
    if len(inner) > MOST_STAGES:
        worst = sorted(inner, key=lambda name: -(errors[name].float64 or 0.0))[:MOST_STAGES]
        inner = [name for name in inner if name in worst]
    return inner + outputs


def _print_columns(
    title: str,
    rows: Sequence[Sequence[str]],
    where: Console,
    styles: Sequence[str | None] = (),
) -> None:
    """Rows under each other, never cut: paths are to be copied."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    where.print(title, style="bold", highlight=False)
    for index, row in enumerate(rows):
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        style = styles[index] if index < len(styles) else None
        if index == 0:
            style = "dim"
        where.print("  ".join(cells).rstrip(), style=style, markup=False, highlight=False)


def _words(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "scalar"
