"""Writes the support table into the README, from the results that `keraform matrix` computed.

python docs/support_table.py [--check]
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
RESULTS = REPOSITORY / "src" / "keraform" / "support.json"
README = REPOSITORY / "README.md"
BEGIN = "<!-- support table: begin (docs/support_table.py writes it) -->"
END = "<!-- support table: end -->"
RUNGS = [str(rung) for rung in range(1, 11)]
NO_RESULTS = "*No results yet: `make support` computes them.*"


def sign(outcomes: list[str]) -> str:
    """One cell: what all classes of a type have on a rung."""
    if any(outcome.startswith("fail") for outcome in outcomes):
        return "✗"
    if any(outcome == "not run" for outcome in outcomes):
        return "·"
    return "✓" if "pass" in outcomes else "-"


def largest(classes: list[dict], dtype: str) -> str:
    """The largest error of a type's classes in a dtype."""
    errors = [each["max_error"].get(dtype) for each in classes]
    numbers = [float(error) for error in errors if error is not None]
    return f"{max(numbers):.0e}" if numbers else ""


def table() -> str:
    """The table in Markdown, one row a model type."""
    if not RESULTS.exists():
        return NO_RESULTS
    results = json.loads(RESULTS.read_text("utf-8"))
    heads = ["type", "classes", *RUNGS, "largest error, float64", "float32"]
    lines = [" | ".join(heads), " | ".join("---" for _ in heads)]
    for model_type, entry in sorted(results["types"].items()):
        classes = entry["classes"]
        cells = [sign([each["rungs"][rung] for each in classes]) for rung in RUNGS]
        errors = [largest(classes, "float64"), largest(classes, "float32")]
        lines.append(" | ".join([model_type, str(len(classes)), *cells, *errors]))
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    return "\n".join(f"| {line} |" for line in lines) + f"\n\nComputed with {versions}."


def with_table(text: str) -> str:
    """The README's text with the table as it is computed now."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


def main() -> int:
    """Writes the README; with --check ends with 1 when its table is not current."""
    text = README.read_text("utf-8")
    new = with_table(text)
    if "--check" in sys.argv[1:]:
        return int(new != text)
    README.write_text(new, "utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
