"""What both commands that convert have: options, and how a conversion is shown: the largest
differences before and after, and what is too far off.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from keraform.cli import console

if TYPE_CHECKING:
    from keraform.verify.conversion.result import Conversion, Measure

MaxError = Annotated[
    float, typer.Option("--max-error", metavar="X", min=0.0, help="How far a tensor may be off.")
]
ModelClass = Annotated[
    str | None,
    typer.Option(
        "--override-model-class", metavar="C", help="Not the class that the config names."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]

# Tensors that are too far off are listed, so many of them.
MOST = 40


def finish(result: Conversion, as_json: bool) -> None:
    """Prints a conversion and ends the command.

    Args:
        result: The conversion.
        as_json: As JSON.
    """
    if as_json:
        console.print_json(result.to_json())
    else:
        show(result, console.out)
    console.end(console.FOUND if result.beyond else console.CLEAN)


def show(result: Conversion, out: Console) -> None:
    """Prints a conversion.

    Args:
        result: The conversion.
        out: Where to.
    """
    from keraform.verify.conversion.result import GROUPS, worst_of_groups

    before, after = worst_of_groups(result.before), worst_of_groups(result.after or [])
    table = Table("", "before", "after", "farthest off", box=None)
    table.title = (
        f"{result.class_name}: largest difference from torch; loss and gradients in float64, "
        "the rest in float32"
    )
    for group in (each for each in GROUPS if each in {**before, **after}):
        pair = before.get(group), after.get(group)
        worst = max(filter(None, pair), key=lambda each: each.error)
        table.add_row(group, *map(_cell, pair), worst.name if worst.error else "")
    if table.rows:
        out.print(table)
    beyond = result.beyond
    if beyond:
        out.print(f"{len(beyond)} tensors are beyond --max-error {result.max_error:g}:")
    for each in beyond[:MOST]:
        _line(out, f"  {each.group}: {each.name}: {_words(each)}", "red")
    if len(beyond) > MOST:
        _line(out, f"  and {len(beyond) - MOST} more, all of them with --json", "red")
    for note in result.notes:
        _line(out, f"note: {note}", "yellow")
    if result.written is not None:
        _line(out, f"wrote {result.written}")
    if result.url is not None:
        _line(out, f"see {result.url}")
    if beyond:
        _line(out, f"nothing was written. Next: keraform localise {result.source}, which names the "
              "statement that differs; or a larger --max-error", "dim")  # fmt: skip


def _cell(measure: Measure | None) -> str:
    from keraform.verify.report import number

    if measure is None:
        return "-"
    return f"[red]{number(measure.error)}[/]" if measure.beyond else number(measure.error)


def _words(measure: Measure) -> str:
    return measure.problem or f"{measure.error:.1e}, may be {measure.limit:.1e}"


def _line(out: Console, text: str, style: str = "") -> None:
    out.print(text, style=style, markup=False, highlight=False)
