"""Writes docs/support.md and the numbers in the README, from what `keraform matrix` computed.

python docs/support_table.py [--check]
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from keraform import support
from keraform.verify.matrix import Summary, summarise

REPOSITORY = Path(__file__).resolve().parent.parent
README, PAGE = REPOSITORY / "README.md", REPOSITORY / "docs" / "support.md"
BEGIN = "<!-- support table: begin (docs/support_table.py writes it) -->"
END = "<!-- support table: end -->"
NO_RESULTS = "*No results yet: `make support` computes them.*"
HEAD = """# Support table

<!-- docs/support_table.py writes this page -->

What `keraform matrix` found: every class of every model type against PyTorch's own, both on a tiny
random config.

"""


def sign(outcomes: list[str]) -> str:
    """One cell: what all classes of a type have on a rung."""
    if any(outcome.startswith("fail") for outcome in outcomes):
        return "✗"
    if any(outcome == "not run" for outcome in outcomes):
        return "·"
    return "✓" if "pass" in outcomes else "-"


def largest(classes: list[dict[str, Any]], dtype: str) -> str:
    """The largest error of a type's classes in a dtype."""
    errors = [each["max_error"].get(dtype) for each in classes]
    numbers = [float(error) for error in errors if error is not None]
    return f"{max(numbers):.0e}" if numbers else ""


def markdown(heads: list[str], rows: list[list[Any]]) -> str:
    """A table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def families(summary: Summary) -> str:
    """The numbers by what models read."""
    heads = ["reads", "types", "classes", "run in torch", *(f"rung {n}" for n in support.RUNGS)]
    return markdown(
        heads,
        [
            [each.name, each.types, each.classes, each.torch, *each.rungs.values()]
            for each in summary.families
        ],
    )


def versions() -> str:
    """What the table was computed with."""
    found = support.versions(support.table()).items()
    return "Computed with " + ", ".join(f"{name} {version}" for name, version in found) + "."


def types() -> str:
    """One row a model type."""
    rows = []
    for model_type, entry in sorted(support.table()["types"].items()):
        running = [each for each in entry["classes"].values() if support.runs_in_torch(each)]
        cells = [sign([each["rungs"][rung] for each in running]) for rung in support.RUNGS]
        errors = [largest(running, "float64"), largest(running, "float32")]
        counts = [len(entry["classes"]), len(running)]
        rows.append([model_type, *counts, *(cells if running else ["·"] * len(cells)), *errors])
    heads = ["type", "classes", "run in torch", *support.RUNGS, "largest error, float64", "float32"]
    return markdown(heads, rows)


def stopped() -> str:
    """Each class that is not proved, and why."""
    lines = []
    for model_type, entry in sorted(support.table()["types"].items()):
        for name, row in entry["classes"].items():
            if support.runs_in_torch(row) and not support.is_proved(row):
                lines.append(f"- `{name}` ({model_type}): {_plain(support.failure(row))}")
    return "\n".join(lines) or "None."


def elsewhere() -> str:
    """Each class whose original does not run where the table was computed."""
    lines = [
        f"- `{name}` ({model_type}): {_plain(row['torch'])}"
        for model_type, entry in sorted(support.table()["types"].items())
        for name, row in entry["classes"].items()
        if not support.runs_in_torch(row)
    ]
    return "\n".join(lines) or "None."


def _plain(text: str | None) -> str:
    """A message that Markdown does not take for its own signs."""
    return f"`` {text} ``" if text else "not run"


def page() -> str:
    """docs/support.md."""
    if not support.table()["types"]:
        return HEAD + NO_RESULTS + "\n"
    summary = summarise(support.table())
    reasons = [[count, f"`` {reason} ``"] for reason, count in summary.dispatched]
    parts = [
        versions(),
        "Rungs: [verifying.md](verifying.md). A type's cell is that of its classes whose original\n"
        "runs: `✓` all pass, `✗` one fails, `-` does not apply, `·` not run. In the first table a\n"
        "class counts on a rung when it and all rungs below hold.",
        families(summary),
        f"{summary.share:.1%} of all operations in the ports of these types are decided when a "
        "port runs, since what they work on\nis not known before. The commonest reasons:",
        markdown(["operations", "reason"], reasons),
        "## By type",
        types(),
        "## Not proved, and why",
        stopped(),
        "## Does not run in torch here",
        "There is nothing to compare these with where the table was computed: their originals want "
        "packages or kernels that are\nnot there, or are broken in this release of Transformers. "
        "They are not counted.",
        elsewhere(),
    ]
    return HEAD + "\n\n".join(parts) + "\n"


def excerpt() -> str:
    """What the README shows."""
    if not support.table()["types"]:
        return NO_RESULTS
    return f"{families(summarise(support.table()))}\n\n{versions()}"


def with_table(text: str) -> str:
    """The README's text with the numbers as they are computed now."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{excerpt()}\n{END}{after}"


def main() -> int:
    """Writes both; with --check ends with 1 when one is not current."""
    wanted = {README: with_table(README.read_text("utf-8")), PAGE: page()}
    if "--check" in sys.argv[1:]:
        return int(any(p.read_text("utf-8") != text for p, text in wanted.items()))
    for path, text in wanted.items():
        path.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
