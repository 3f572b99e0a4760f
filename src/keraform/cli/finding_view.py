"""How findings are shown: the statements on both sides, the rule between them, values and cause."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

if TYPE_CHECKING:
    from keraform.verify.findings import Finding, Localisation, Place, Statistics


def show_localisation(found: Localisation, where: Console) -> None:
    """Prints what was found out about one class."""
    if found.remark:
        where.print(f"note: {found.remark}", style="yellow", markup=False, highlight=False)
    if not found.findings:
        where.print(f"{found.name}: no difference", style="green", highlight=False)
        return
    many = f"{len(found.findings)} differences" if len(found.findings) > 1 else "1 difference"
    where.print(f"{found.name}: {many}, the most basic first", style="bold", highlight=False)
    for finding in found.findings:
        show_finding(finding, where)


def show_finding(finding: Finding, where: Console) -> None:
    """Prints one difference with both places."""
    what = f"{finding.kind} of {finding.stage or 'the model itself'}"
    error = f", off by {finding.error:.1e}" if 0 < finding.error < float("inf") else ""
    where.print(f"{what} ({finding.dtype}{error})", style="red", markup=False, highlight=False)
    for side, place in (("torch", finding.torch), ("Keras", finding.keras)):
        if place is not None:
            where.print(f"  {side:<6}{_at(place)}", markup=False, highlight=False)
    for label, words in (
        ("rules", ", ".join(finding.rules)),
        ("problem", finding.problem),
        ("likely", finding.cause),
        ("torch has", _statistics(finding.torch_values)),
        ("Keras has", _statistics(finding.keras_values)),
    ):
        if words:
            where.print(f"  {label}: {words}", markup=False, highlight=False)


def _at(place: Place) -> str:
    lines = [line.strip() for line in place.text.strip().splitlines()]
    return f"{Path(place.file).name}:{place.line}: {' '.join(lines)}"


def _statistics(values: Statistics | None) -> str:
    if values is None:
        return ""
    shape = "x".join(map(str, values.shape)) or "scalar"
    nan = f", {values.nan} NaN" if values.nan else ""
    return (
        f"{values.dtype} {shape}, mean {values.mean:.4g}, rms {values.rms:.4g}, "
        f"from {values.smallest:.4g} to {values.largest:.4g}{nan}"
    )
