"""`keraform verify TYPE|DIR|FILE.py`: compares ports with torch and prints the ladder."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from keraform.cli import console
from keraform.errors import KeraformError

if TYPE_CHECKING:
    from keraform.verify.findings import Localisation
    from keraform.verify.outcome import ClassReport, Report
    from keraform.verify.targets import Target

BACKENDS = ("tensorflow", "jax")
RUNGS = range(1, 11)

# Stages of a model are shown at the deepest level that still fits on a screen.
MOST_STAGES = 40


def verify(
    target: Annotated[
        str, typer.Argument(metavar="TYPE|DIR|FILE.py", help="What to prove.", show_default=False)
    ],
    class_name: Annotated[
        str | None, typer.Option("--class", metavar="C", help="This class only.")
    ] = None,
    init: Annotated[
        list[str] | None,
        typer.Option("--init", metavar="k=v", help="Argument of a FILE.py class; repeat it."),
    ] = None,
    inputs: Annotated[
        str | None,
        typer.Option(
            "--inputs", metavar="F.npz|module:function", help="Inputs of a FILE.py class."
        ),
    ] = None,
    rungs: Annotated[
        str, typer.Option("--rungs", metavar="1-10", help="Such as 1-5 or 4,7.")
    ] = "1-10",
    backend: Annotated[str, typer.Option("--backend", help="tensorflow or jax.")] = "tensorflow",
    trust: Annotated[
        bool,
        typer.Option("--trust-remote-code", help="Run and translate code that lies in DIR."),
    ] = False,
    report: Annotated[
        Path | None, typer.Option("--report", metavar="F.html", help="Write one page about it all.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")] = False,
) -> None:
    """Compare ports with their PyTorch originals, rung by rung. Needs torch.

    Ends with 0 when every rung that was asked for passes or does not apply, with 1 when one fails.

    Example: keraform verify bert --rungs 1-5. Next: keraform status bert
    """
    asked = parse_rungs(rungs)
    choose_backend(backend)
    arguments = parse_init(init or [])
    need_torch()
    if report is not None:
        need_page(report)
    with console.loading_backend(quiet=as_json):
        from keraform.verify import ladder  # noqa: F401  (imports Keras and torch)
        from keraform.verify.targets import Target
    class_names = (class_name,) if class_name else ()
    asked_for = Target(target, class_names, arguments, inputs, trust)
    result = run(asked_for, asked, quiet=as_json)
    if as_json:
        console.print_json(result.to_json())
    else:
        show(result)
    if report is not None:
        from keraform.verify.page import render

        page = render(result, failures(result, asked_for, as_json), console.command_line())
        console.write_whole(report, page, force=True)
    console.end(console.CLEAN if passed(result, asked) else console.FOUND)


def failures(result: Report, target: Target, quiet: bool) -> list[Localisation]:
    """What differs in the classes that failed as translations do: rungs 3 to 5."""
    from keraform.verify.localising.localise import localise_target

    names = [each.name for each in result.classes if not each.passed({3, 4, 5} & result.asked)]
    if not names:
        return []
    with console.steps(quiet) as step, contextlib.redirect_stdout(sys.stderr):
        examined = localise_target(replace(target, class_names=tuple(names)), step)
    return [found for _, found in examined]


def passed(result: Report, asked: set[int]) -> bool:
    """Whether every asked rung holds; a rung that was asked for by number must have been run."""
    if asked == set(RUNGS):
        return result.passed
    return bool(result.classes) and all(each.passed(asked) for each in result.classes)


def parse_rungs(text: str) -> set[int]:
    """The numbers in `1-5,7`."""
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.strip().partition("-")
        if not first.isdigit() or not (last or first).isdigit():
            raise KeraformError(
                expected="rungs from 1 to 10, such as 1-5 or 4,7",
                got=f"--rungs {text}",
                try_next="--rungs 1-5",
            )
        found.update(range(int(first), int(last or first) + 1))
    if not found or not found <= set(RUNGS):
        raise KeraformError(
            expected="rungs from 1 to 10", got=f"--rungs {text}", try_next="--rungs 1-10"
        )
    return found


def parse_init(pairs: list[str]) -> dict[str, str]:
    """`["width=8", "config=Config()"]` as arguments: expressions in the file's own names."""
    found: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name.isidentifier():
            raise KeraformError(
                expected="an argument as name=expression",
                got=f"--init {pair}",
                try_next="--init width=8",
            )
        found[name] = value
    return found


def choose_backend(backend: str) -> None:
    """Keras reads its backend from the environment when it is imported, so it is said here."""
    if backend not in BACKENDS:
        raise KeraformError(
            expected=f"a backend: {' or '.join(BACKENDS)}",
            got=f"--backend {backend}",
            try_next="--backend tensorflow",
        )
    os.environ["KERAS_BACKEND"] = backend
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
    if backend == "jax":
        os.environ["JAX_ENABLE_X64"] = "1"  # else float64 is silently float32


def need_torch() -> None:
    """Says how to get torch where it is not."""
    need_package("torch", "which ports are compared with")


def need_package(package: str, purpose: str) -> None:
    """Says how to get a package that proofs need where it is not."""
    try:
        found = importlib.util.find_spec(package) is not None
    except ValueError:  # `sys.modules["torch"] = None` blocks it
        found = False
    if not found:
        raise KeraformError(
            expected=f"{package}, {purpose}",
            got="no such package",
            try_next='pip install "keraform[verify]"',
        )


def need_page(path: Path) -> None:
    """Says before a long run what would keep the page from being written after it."""
    for package in ("jinja2", "matplotlib"):
        need_package(package, "which --report draws with")
    if path.is_dir():
        raise KeraformError(
            expected="a file for --report",
            got=f"the directory {path}",
            try_next=f"--report {path / 'report.html'}",
        )


def run(target: Target, asked: set[int], quiet: bool) -> Report:
    """Hands the target to the room that proves, with a bar that moves rung by rung.

    What a user's file prints goes to standard error: standard output is the result's.
    """
    from keraform.verify import ladder

    with console.steps(quiet) as step, contextlib.redirect_stdout(sys.stderr):
        return ladder.climb(
            target,
            asked,
            lambda name, rung, done, total: step(f"{name}, rung {rung}", done, total),
        )


def show(result: Report) -> None:
    """Prints the ladder; for a single class also its stages."""
    from keraform.verify.outcome import RUNG_NAMES
    from keraform.verify.report import STYLES, ladder_table, reasons

    ladder = ladder_table(result)
    # the rungs' names would make the table wider than a terminal: numbers above, names below
    columns = [name.split(" ")[0] for name in ladder.columns]
    table = Table(*columns, title=ladder.title, box=None)
    for row in ladder.rows:
        table.add_row(*(f"[{STYLES[cell]}]{cell}[/]" if cell in STYLES else cell for cell in row))
    console.out.print(table)
    names = "  ".join(f"{rung} {name}" for rung, name in RUNG_NAMES.items())
    legend = "+ pass  - fail  n not applicable  . not run"
    console.out.print(f"{names}\n{legend}", style="dim", highlight=False)
    if len(result.classes) == 1:
        show_stages(result.classes[0])
    for remark in [*result.remarks, *(f"{c.name}: {r}" for c in result.classes for r in c.remarks)]:
        console.out.print(f"note: {remark}", style="yellow", markup=False, highlight=False)
    for line in reasons(result):
        style = "red" if ": fail" in line else "dim"
        console.out.print(line, style=style, markup=False, highlight=False)


def show_stages(report: ClassReport) -> None:
    """Prints the largest error of each stage, beside torch's own float32-to-float64 noise."""
    if not report.stages:
        return
    table = Table("stage", "float64", "float32", "torch's own float32 noise", box=None)
    table.title = "largest error of each stage, relative to the larger of 1 and its rms"
    for name, errors in gather_stages(report).items():
        table.add_row(name, *("" if each is None else f"{each:.1e}" for each in errors))
    console.out.print(table)


def gather_stages(report: ClassReport) -> dict[str, tuple[float | None, ...]]:
    """Stages with their largest errors, at the deepest level of paths that fits on a screen."""
    deepest = max(name.count(".") for name in report.stages) + 1
    groups: dict[str, list[Any]] = {}
    for depth in range(deepest, 0, -1):
        groups = {}
        for name, stage in report.stages.items():
            groups.setdefault(".".join(name.split(".")[:depth]), []).append(stage)
        if len(groups) <= MOST_STAGES:
            break
    fields = ("float64", "float32", "noise")
    return {
        name: tuple(_largest([getattr(stage, each, None) for stage in stages]) for each in fields)
        for name, stages in groups.items()
    }


def _largest(values: list[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)
