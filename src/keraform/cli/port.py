"""`keraform port TYPE|FILE.py`: translates, says how readable the result is, and gives it away."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from keraform.cli import console
from keraform.cli.types import folders, modules_of
from keraform.errors import KeraformError

if TYPE_CHECKING:
    from keraform.translate import Translation


def port(
    target: Annotated[
        str | None, typer.Argument(metavar="TYPE|FILE.py", help="A model type, or a PyTorch file.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Write the port into this directory."),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All model types, into the cache.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Write over an edited file.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")] = False,
) -> None:
    """Translate a model type or any PyTorch file, and measure how readable the port is.

    A type's port goes into the cache, or with --out into a directory, where it is yours to edit. A
    file's port goes to standard output, or with --out into a directory. Ends with 1 when something
    was refused.

    Example: keraform port bert --out my_package. Next: keraform verify bert
    """
    if every:
        records = _all(as_json)
    elif target is None:
        raise KeraformError(
            expected="a model type or a Python file",
            got="neither",
            try_next="keraform port bert, or keraform port --all",
        )
    elif target.endswith(".py"):
        records = [_file(Path(target), out, force, as_json)]
    else:
        records = _type(target, out, force, as_json)
    if as_json:
        console.print_json({"target": target or "all", "files": records})
    else:
        # a port on standard output must stay a Python file: the measures then go beside it
        to_output = out is not None or target is None or not target.endswith(".py")
        _show(records, console.out if to_output else console.err)
    console.end(console.FOUND if any(record["refusals"] for record in records) else console.CLEAN)


def _type(model_type: str, out: Path | None, force: bool, quiet: bool) -> list[dict]:
    from keraform import translate

    modules = modules_of(model_type)
    records = []
    with console.progress(len(modules), "files", quiet) as begin:
        for module in modules:
            begin(module.rsplit(".", 1)[-1])
            translation = translate.translation(module)
            path = translate.port_module(module)
            if out is not None:
                path = out / f"{module.rsplit('.', 1)[-1]}.py"
                console.write_whole(path, translation.code, force)
            records.append(record_of(translation, module, path))
    return records


def _file(path: Path, out: Path | None, force: bool, quiet: bool) -> dict:
    from keraform import translate

    text = console.read_source(path)
    with console.waiting(f"translating {path.name}", quiet):
        translation = translate.translate_source(text, filename=path.name)
    written = None
    if out is not None:
        written = out / path.name
        console.write_whole(written, translation.code, force)
    elif not quiet:
        console.out.print(translation.code, highlight=False, markup=False, end="")
    record = record_of(translation, str(path), written)
    if written is None:
        record["code"] = translation.code
    return record


def _all(quiet: bool) -> list[dict]:

    from keraform import translate

    records: list[dict] = []
    seen: set[str] = set()
    types = folders()
    with console.progress(len(types), "types", quiet) as begin:
        for model_type in types:
            begin(model_type)
            for module in modules_of(model_type):
                if module not in seen:
                    seen.add(module)
                    path = translate.port_module(module)
                    records.append(record_of(translate.translation(module), module, path))
    return records


def record_of(translation: Translation, name: str, path: Path | None) -> dict:
    """What was measured of one translation, ready for JSON."""
    stats = translation.stats
    return {
        "source": name,
        "path": str(path) if path is not None else None,
        "source_lines": stats.source_lines,
        "lines": stats.lines,
        "doc_lines": stats.doc_lines,
        "ratio": round((stats.lines - stats.doc_lines) / max(stats.source_lines, 1), 3),
        "operations": stats.operations,
        "helper_calls": stats.helper_calls,
        "helper_share": round(stats.helper_calls / max(stats.operations, 1), 4),
        "comments": stats.comments,
        "comments_kept": stats.comments_kept,
        "refusals": [
            {"rule": each.rule, "file": each.file, "line": each.line, "reason": each.reason}
            for each in translation.refusals
        ],
    }


def _show(records: list[dict], where: console.Console) -> None:
    table = Table("port of", "lines", "ratio", "helper calls", "comments kept", "refused", box=None)
    for record in records:
        table.add_row(
            record["source"].rsplit(".modeling_", 1)[-1].rsplit("/", 1)[-1],
            f"{record['lines']} of {record['source_lines']}",
            f"{record['ratio']:.2f}",
            f"{record['helper_calls']} of {record['operations']} ({record['helper_share']:.1%})",
            f"{record['comments_kept']} of {record['comments']}",
            str(len(record["refusals"])),
        )
    where.print(table)
    if any(record["doc_lines"] for record in records):
        where.print("(the ratio leaves out the lines of expanded docstrings)", style="dim")
    for record in records:
        for refusal in record["refusals"]:
            where.print(
                f"refused: {refusal['file']}:{refusal['line']}: {refusal['rule']}: "
                f"{refusal['reason']}",
                style="yellow",
                markup=False,
                highlight=False,
            )
    for record in records:
        if record["path"] and len(records) < 10:
            where.print(record["path"], highlight=False, markup=False)
