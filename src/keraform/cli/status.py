"""`keraform status [TYPE|DIR]`: what is supported, what is proved, and why not."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from keraform import support
from keraform.cli import console, types
from keraform.errors import KeraformError

PROVED, TRANSLATES, REFUSED = "proved", "translates, not proved", "refused"
OWN = "code of its own, not proved"
NOT_PROVED = "`keraform matrix` has no result for it in this release"


def status(
    target: Annotated[
        str | None, typer.Argument(metavar="TYPE|DIR", help="A model type or a checkpoint.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")] = False,
) -> None:
    """Say whether a model type or a checkpoint is proved, only translates, or is refused, and why.

    Of a checkpoint its config.json is read: its type, the types of its parts, its classes. What is
    not proved is looked for among the open pull requests of Transformers and KerasHub, unless
    HF_HUB_OFFLINE is set. Without a target, list all types.

    Example: keraform status bert. Next: keraform verify bert
    """
    if target is None:
        record = overview()
    elif Path(target).is_dir():
        record = of_directory(Path(target), as_json)
    elif target.endswith(".py"):
        raise KeraformError(
            expected="a model type or a checkpoint's directory",
            got=f"{target}, a file, of which nothing is known before it is verified",
            try_next=f"keraform verify {target}",
        )
    else:
        record = of_type(target, as_json)
    if as_json:
        console.print_json(record)
    elif target is None:
        _show_overview(record)
    else:
        _show_type(record)


def overview() -> dict[str, Any]:
    """All types that results are published of, and the number of those that can be asked for."""
    table = support.table()
    return {
        "target": None,
        "versions": support.versions(table),
        "known": len(types.folders()),
        "types": [
            {
                "type": name,
                "classes": len(entry["classes"]),
                "proved": sum(map(support.is_proved, entry["classes"].values())),
                "rung": min((each["rung"] for each in entry["classes"].values()), default=0),
            }
            for name, entry in table["types"].items()
        ],
    }


def of_type(
    model_type: str, quiet: bool = False, only: frozenset[str] = frozenset()
) -> dict[str, Any]:
    """One type: its classes, each with its rung and what it stands for.

    Args:
        model_type: the type.
        quiet: show nothing while files are generated.
        only: these classes, such as those that a checkpoint names; all when empty.

    Raises:
        KeraformError: Transformers has no such type.
    """
    record = _known(model_type, quiet, only)
    upstream = [] if record["proved"] else _upstream(model_type)
    return record | {"target": model_type, "upstream": upstream}


def _known(model_type: str, quiet: bool, only: frozenset[str] = frozenset()) -> dict[str, Any]:
    """What is known of a type here, in the table and by translating it."""
    modules = _modules(model_type)
    with console.waiting("looking at the generated files", quiet):
        made = {module: _made(module) for module in modules}
    hashes = {digest for digest, _ in made.values()}
    classes = [
        _class(name, row, hashes)
        for name, row in support.rows(support.table(), model_type).items()
        if not only or name in only
    ]
    refusals = sorted({reason for _, reasons in made.values() for reason in reasons})
    states = {each["state"] for each in classes}
    if not states:  # nothing is published: what was translated now is all that is known
        states = {REFUSED if refusals else TRANSLATES}
    state = next(each for each in (REFUSED, TRANSLATES, PROVED) if each in states)
    why = None if state == PROVED else _why(classes, refusals)
    return {
        "type": model_type,
        "state": state,
        "supported": state != REFUSED,
        "proved": state == PROVED,
        "why": why,
        "refusals": refusals,
        "versions": support.versions(support.table()),
        "classes": classes,
    }


def of_directory(path: Path, quiet: bool = False) -> dict[str, Any]:
    """A checkpoint: the classes that its config names, and the types of its parts.

    Raises:
        KeraformError: There is no readable config.json, or its type is unknown.
    """
    config = _config(path)
    if config["model_type"] not in types.folders() and isinstance(config.get("auto_map"), dict):
        return _of_own_code(path, config)
    named = [f"TF{name}" for name in config.get("architectures") or []]
    record = of_type(config["model_type"], quiet, frozenset(named))
    parts = {
        name: _known(part["model_type"], quiet)["state"]
        for name, part in config.items()
        if isinstance(part, dict)
        and part.get("model_type") in types.folders()
        and part["model_type"] != config["model_type"]
    }
    return record | {"target": str(path), "architectures": named, "parts": parts}


def _of_own_code(path: Path, config: dict[str, Any]) -> dict[str, Any]:
    """A checkpoint whose modeling code lies beside it: nothing of it is published."""
    files = sorted({f"{str(each).split('.')[0]}.py" for each in config["auto_map"].values()})
    return {
        "target": str(path),
        "type": config["model_type"],
        "state": OWN,
        "supported": True,
        "proved": False,
        "why": f"{', '.join(files)}; translated where trust_remote_code=True allows it",
        "refusals": [],
        "versions": support.versions(support.table()),
        "classes": [],
        "upstream": [],
        "architectures": [f"TF{name}" for name in config.get("architectures") or []],
        "parts": {},
    }


def _modules(model_type: str) -> list[str]:
    """The modeling modules of a type; an unknown one is looked for upstream."""
    try:
        return types.modules_of(model_type)
    except KeraformError as error:
        at_it = [f"{each['title']} {each['url']}" for each in _upstream(model_type)]
        if not at_it:
            raise
        raise KeraformError(
            expected=error.expected,
            got=f"{error.got}, which somebody is adding upstream: {'; '.join(at_it)}",
            try_next=error.try_next,
        ) from error


def _upstream(model_type: str) -> list[dict[str, str]]:
    """Who is already at a type, as far as can be asked."""
    from keraform.hub.upstream import open_pull_requests

    return [asdict(each) for each in open_pull_requests(model_type) or ()]


def _config(path: Path) -> dict[str, Any]:
    file = path / "config.json"
    if not file.is_file():
        raise KeraformError(
            expected="a directory with config.json", got=str(path), try_next=f"ls {path}"
        )
    try:
        config = json.loads(file.read_text("utf-8"))
        if not isinstance(config["model_type"], str):
            raise TypeError(f"model_type is {config['model_type']!r}")
    except (ValueError, KeyError, TypeError) as error:
        raise KeraformError(
            expected="a config.json with a model_type",
            got=f"{file}: {type(error).__name__}: {error}",
            try_next=f"cat {file}",
        ) from error
    return config


def _made(module: str) -> tuple[str, list[str]]:
    """The digest of a file as it is generated now, and what is refused in it."""
    from keraform import translate

    made = translate.translation(module)
    refusals = [f"{each.rule}: {each.reason} (line {each.line})" for each in made.refusals]
    return translate.digest_of(made.code), refusals


def _class(name: str, row: dict[str, Any], hashes: set[str]) -> dict[str, Any]:
    from keraform.translate.source import transformers_version

    current = row["hash"] in hashes
    if current and support.is_proved(row):
        state, why = PROVED, None
    elif row["rungs"]["1"].startswith("fail"):
        state, why = REFUSED, row["rungs"]["1"]
    else:
        state = TRANSLATES
        why = support.failure(row) if current else support.outdated(transformers_version())
    return {"class": name, "rung": row["rung"], "rungs": row["rungs"], "state": state, "why": why}


def _why(classes: list[dict[str, Any]], refusals: list[str]) -> str:
    reasons = [each["why"] for each in classes if each["why"] is not None]
    return reasons[0] if reasons else refusals[0] if refusals else NOT_PROVED


def _show_overview(record: dict[str, Any]) -> None:
    table = Table("type", "classes", "proved", "lowest rung", box=None)
    for entry in record["types"]:
        numbers = (entry["classes"], entry["proved"], entry["rung"])
        table.add_row(entry["type"], *map(str, numbers))
    if record["types"]:
        console.out.print(table)
    whole = sum(entry["classes"] == entry["proved"] > 0 for entry in record["types"])
    classes = sum(entry["proved"] for entry in record["types"])
    console.out.print(
        f"{classes} classes are proved; {whole} of {record['known']} model types with all their "
        "classes. The others are translated on demand.",
        highlight=False,
    )
    console.out.print("next: keraform status TYPE, keraform verify TYPE", style="dim")


def _show_type(record: dict[str, Any]) -> None:
    where = "" if record["target"] == record["type"] else f" ({record['type']})"
    why = f": {record['why']}" if record["why"] else ""
    _line(f"{record['target']}{where}: {record['state']}{why}")
    for name in record.get("architectures", ()):
        _line(f"config names {name}")
    for name, state in record.get("parts", {}).items():
        _line(f"  its {name}: {state}")
    for each in record["classes"]:
        reason = f"; {each['why']}" if each["why"] else ""
        _line(f"  {each['class']}: rung {each['rung']}, {each['state']}{reason}")
    for reason in record["refusals"]:
        _line(f"  refused: {reason}")
    for each in record["upstream"]:
        _line(f"  upstream: {each['title']} {each['url']}")
    console.out.print(f"next: {_next(record)}", style="dim", highlight=False)


def _next(record: dict[str, Any]) -> str:
    """What to do about it."""
    if record["state"] == PROVED:
        return f"keraform verify {record['target']}"
    if record["state"] == OWN:
        return f"read that code, then keraform verify {record['target']} --trust-remote-code"
    if record["state"] == REFUSED:
        return (
            f"keraform port {record['type']} --out DIR, which marks each refused line, to be "
            "written by hand; keraform verify DIR/FILE.py proves it then"
        )
    return f"keraform verify {record['target']}, then keraform localise {record['type']}"


def _line(text: str) -> None:
    console.out.print(text, highlight=False, markup=False)
