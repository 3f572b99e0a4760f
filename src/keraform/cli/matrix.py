"""`keraform matrix`: the ladder of many model types, as the data behind the support table."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from filelock import FileLock, Timeout
from rich.table import Table

from keraform import support
from keraform.cli import console
from keraform.cli.types import folder_of, folders
from keraform.cli.verify import choose_backend, need_package, need_torch, parse_rungs
from keraform.errors import KeraformError

if TYPE_CHECKING:
    from keraform.verify.matrix import Summary

SHOWN_RUNGS = (1, 3, 4, 5, 7, 9)


def matrix(
    types: Annotated[
        list[str] | None,
        typer.Option("--types", metavar="TYPES", help="Such as bert,vit; may be repeated."),
    ] = None,
    rungs: Annotated[str, typer.Option("--rungs", metavar="1-10", help="Such as 1-5.")] = "1-10",
    jobs: Annotated[int, typer.Option("--jobs", metavar="N", help="Worker processes.", min=1)] = 1,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="F.json", help="Write the results here.")
    ] = None,
    baseline: Annotated[
        Path | None,
        typer.Option(
            "--baseline",
            metavar="F.json",
            help="Compute what is generated differently than for these results, of their types.",
        ),
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Compute also what there is already.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the results as JSON.")] = False,
) -> None:
    """Compute the ladder of all classes of model types, of all types by default. Needs torch.

    F.json is written after each class, and an interrupted run goes on from there: what it has of
    the same generated files and the same versions is kept. A class at which a worker process
    crashes or that takes too long costs its own row. Ends with 0 when every asked rung of every
    class that torch itself can run holds, else with 1; with --baseline, 1 means that a class stands
    lower than there.

    Example: keraform matrix --types bert,vit --out support.json. Next: keraform status
    """
    asked = parse_rungs(rungs)
    named = [each.strip() for group in types or [] for each in group.split(",") if each.strip()]
    for each in named:
        folder_of(each)
    need_torch()
    need_package("pebble", "which runs the worker processes")
    choose_backend("tensorflow")
    before = _read(baseline) if baseline is not None else {}
    known = _read(out) if out is not None and out.is_file() else before
    from keraform.verify.matrix import Matrix, summarise

    wanted = named or list(folders() if baseline is None else before["types"])
    found = Matrix(wanted, asked, jobs, known, versions(), again)
    table: dict[str, Any] = {}
    with _alone(out), console.steps(quiet=as_json) as step:
        for table in found.run(step):
            if out is not None:
                console.write_whole(out, json.dumps(table, indent=1) + "\n", force=True)
    if as_json:
        console.print_json(table)
    else:
        show(summarise(table))
    if baseline is None:
        console.end(console.CLEAN if _holds(table, wanted, asked) else console.FOUND)
    lower = [line for each in wanted for line in _lower(each, before, table, asked)]
    for line in lower:
        console.err.print(line, highlight=False, markup=False)
    console.end(console.FOUND if lower else console.CLEAN)


def versions() -> dict[str, str]:
    """The versions that the results are made with."""
    found = {}
    for package in support.PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def show(summary: Summary) -> None:
    """Prints a matrix's numbers."""
    heads = ("reads", "types", "classes", "run in torch", *(f"rung {n}" for n in SHOWN_RUNGS))
    table = Table(*heads, box=None)
    for each in summary.families:
        counts = (each.types, each.classes, each.torch, *(each.rungs[n] for n in SHOWN_RUNGS))
        table.add_row(each.name, *map(str, counts))
    console.out.print(table)
    for title, reasons in (
        ("refused", summary.refused),
        ("stopped at", summary.stopped),
        ("does not run in torch", summary.torch),
        ("decided when a port runs", summary.dispatched),
    ):
        for reason, count in reasons:
            console.out.print(f"{title}: {count} x {reason}", highlight=False, markup=False)
    console.out.print(f"{summary.share:.1%} of all operations are decided when a port runs")


@contextmanager
def _alone(out: Path | None) -> Iterator[None]:
    """Keeps a second run from writing the same file, which would lose rows."""
    if out is None:
        yield
        return
    lock = FileLock(f"{out}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise KeraformError(
            expected=f"to be the only one that writes {out}",
            got="another keraform matrix that does so",
            try_next=f"wait for it, or --out another file than {out.name}",
        ) from error
    try:
        yield
    finally:
        lock.release()
        Path(lock.lock_file).unlink(missing_ok=True)


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise KeraformError(
            expected="results of keraform matrix", got=f"no file {path}", try_next=f"ls {path}"
        )
    try:
        known = json.loads(path.read_text("utf-8"))
        if not isinstance(known["types"], dict):
            raise TypeError("its types are not a table")
    except (ValueError, KeyError, TypeError) as error:
        raise KeraformError(
            expected="results of keraform matrix, or no file",
            got=f"{path}: {type(error).__name__}: {error}",
            try_next=f"mv {path} {path}.old",
        ) from error
    return known


def _holds(table: dict[str, Any], types: list[str], asked: set[int]) -> bool:
    """Whether every asked rung holds for every class that torch itself runs."""
    from keraform.verify.outcome import holds

    return all(
        holds(row["rungs"][str(rung)])
        for each in types
        for row in support.rows(table, each).values()
        if support.runs_in_torch(row)
        for rung in asked
    )


def _lower(
    model_type: str, before: dict[str, Any], now: dict[str, Any], asked: set[int]
) -> list[str]:
    """The rungs of a type's classes that held before and do not now."""
    from keraform.verify.outcome import holds

    old, new = support.rows(before, model_type), support.rows(now, model_type)
    return [
        f"{name} rung {rung} held before: {new[name]['rungs'][str(rung)]}"
        for name in old.keys() & new.keys()
        for rung in sorted(asked)
        if holds(old[name]["rungs"][str(rung)]) and not holds(new[name]["rungs"][str(rung)])
    ]
