"""Results on a terminal: a table by rich, or JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table


def show(title: str, rows: Sequence[dict[str, Any]], notes: dict[str, Any], as_json: bool) -> None:
    """Print rows of equal keys.

    Args:
        title: over the table.
        rows: the results.
        notes: what holds for all rows.
        as_json: print one JSON object instead.
    """
    if as_json:
        print(json.dumps({"title": title, **notes, "rows": list(rows)}, indent=1))
        return
    table = Table(title=title, title_justify="left")
    for name in rows[0] if rows else ():
        table.add_column(name.replace("_", " "), justify="left" if name == "side" else "right")
    for row in rows:
        table.add_row(*(_word(value) for value in row.values()))
    console = Console(width=max(110, Console().width))
    console.print(table)
    for name, value in notes.items():
        console.print(f"{name.replace('_', ' ')}: {_word(value)}", highlight=False)


def _word(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_word(entry)}" for name, entry in value.items())
    return "" if value is None else str(value)
