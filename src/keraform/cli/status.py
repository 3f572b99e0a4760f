"""`keraform status [TYPE|DIR]`: what is supported, what is proved, and why not."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from keraform.cli import console, types
from keraform.errors import KeraformError

RESULTS = "support.json"
NOT_PROVED = "not yet proved: `keraform verify` has no result for it in this release"
OUTDATED = "not yet proved: the file that was proved is another than the one generated now"
OTHER_RELEASE = (
    "not yet proved: it was proved with transformers {proved}, and the installed {installed} gives "
    "another file"
)


def status(
    target: Annotated[
        str | None, typer.Argument(metavar="TYPE|DIR", help="A model type or a checkpoint.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")] = False,
) -> None:
    """Say whether a model type or a checkpoint is supported and proved.

    Without a target, list the proved types. All others are translated on demand.

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
    """The proved types and the number of all."""
    results = read_results()
    return {
        "target": None,
        "versions": results["versions"],
        "known": len(types.folders()),
        "types": [
            {"type": name, "classes": len(entry["classes"]), "rung": _lowest(entry["classes"])}
            for name, entry in results["types"].items()
        ],
    }


def of_type(model_type: str, quiet: bool = False) -> dict[str, Any]:
    """One type: its classes and their rungs.

    Raises:
        KeraformError: Transformers has no such type.
    """
    types.folder_of(model_type)
    results = read_results()
    entry = results["types"].get(model_type)
    proved_with = results["versions"].get("transformers")
    why = NOT_PROVED if entry is None else _outdated(entry, proved_with, quiet)
    return {
        "target": model_type,
        "type": model_type,
        "supported": True,
        "proved": why is None,
        "why": why,
        "versions": results["versions"],
        "classes": [
            {"class": each["class"], "rung": each["rung"], "rungs": each["rungs"]}
            for each in (entry or {"classes": []})["classes"]
        ],
    }


def of_directory(path: Path, quiet: bool = False) -> dict[str, Any]:
    """A checkpoint: the classes that its config names.

    Raises:
        KeraformError: There is no readable config.json, or its type is unknown.
    """
    file = path / "config.json"
    if not file.is_file():
        raise KeraformError(
            expected="a directory with config.json", got=str(path), try_next=f"ls {path}"
        )
    try:
        config = json.loads(file.read_text("utf-8"))
        model_type = config["model_type"]
    except (ValueError, KeyError, TypeError) as error:
        raise KeraformError(
            expected="a config.json with a model_type",
            got=f"{file}: {type(error).__name__}: {error}",
            try_next=f"cat {file}",
        ) from error
    record = of_type(model_type, quiet)
    named = [f"TF{name}" for name in config.get("architectures") or []]
    record |= {"target": str(path), "architectures": named}
    if named:
        record["classes"] = [each for each in record["classes"] if each["class"] in named]
    return record


def read_results() -> dict[str, Any]:
    """What `keraform matrix` computed for this release."""
    file = resources.files("keraform") / RESULTS
    if not file.is_file():
        return {"versions": {}, "types": {}}
    return json.loads(file.read_text("utf-8"))


def _outdated(entry: dict[str, Any], proved_with: str | None, quiet: bool) -> str | None:
    """Why the results do not belong to the files as generated now, or None when they do."""
    from keraform import translate
    from keraform.translate.source import transformers_version

    with console.waiting("looking at the generated files", quiet):
        for module, proved in entry.get("files", {}).items():
            if translate.digest_of(translate.translation(module).code) != proved:
                installed = transformers_version()
                if installed == proved_with:
                    return OUTDATED
                return OTHER_RELEASE.format(proved=proved_with, installed=installed)
    return None


def _lowest(classes: list[dict[str, Any]]) -> int:
    return min((each["rung"] for each in classes), default=0)


def _show_overview(record: dict[str, Any]) -> None:
    table = Table("type", "classes", "lowest rung", box=None)
    for entry in record["types"]:
        table.add_row(entry["type"], str(entry["classes"]), str(entry["rung"]))
    if record["types"]:
        console.out.print(table)
    console.out.print(
        f"{len(record['types'])} of {record['known']} model types are proved; "
        "the others are translated on demand.",
        highlight=False,
    )
    console.out.print("next: keraform status TYPE, keraform verify TYPE", style="dim")


def _show_type(record: dict[str, Any]) -> None:
    where = "" if record["target"] == record["type"] else f" ({record['type']})"
    word = "proved" if record["proved"] else record["why"]
    console.out.print(f"{record['target']}{where}: supported, {word}", highlight=False)
    for name in record.get("architectures", ()):
        console.out.print(f"config names {name}", highlight=False)
    for each in record["classes"]:
        reasons = [
            f"rung {rung} {outcome}"
            for rung, outcome in each["rungs"].items()
            if outcome.startswith("fail")
        ]
        console.out.print(
            f"  {each['class']}: rung {each['rung']}" + "".join(f"; {one}" for one in reasons),
            highlight=False,
            markup=False,
        )
    console.out.print(f"next: keraform verify {record['target']}", style="dim", highlight=False)
