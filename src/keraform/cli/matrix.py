"""`keraform matrix`: the ladder of many model types, as the data behind the support table."""

from __future__ import annotations

import concurrent.futures
import importlib.metadata
import json
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from keraform.cli import console
from keraform.cli.types import modules_of
from keraform.cli.verify import parse_rungs
from keraform.errors import KeraformError

# The packages that a proof belongs to.
PACKAGES = ("keraform", "transformers", "keras", "tensorflow", "torch", "jax")


def matrix(
    types: Annotated[
        list[str] | None,
        typer.Option("--types", metavar="TYPES", help="Such as bert,vit; may be repeated."),
    ] = None,
    rungs: Annotated[str, typer.Option("--rungs", metavar="1-10", help="Such as 1-5.")] = "1-10",
    jobs: Annotated[int, typer.Option("--jobs", metavar="N", help="Types at once.", min=1)] = 1,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="F.json", help="Write the results here.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the results as JSON.")] = False,
) -> None:
    """Compute the ladder of model types, each in a process of its own. Needs torch.

    F.json is written after each type. What it has of the same generated files and is not asked for
    again is kept.

    Example: keraform matrix --types bert,vit --out support.json. Next: keraform status
    """
    parse_rungs(rungs)
    named = [each.strip() for group in types or [] for each in group.split(",") if each.strip()]
    wanted = named or _proved_types()
    results: dict[str, Any] = {"versions": versions(), "types": {}}
    earlier = json.loads(out.read_text("utf-8")) if out is not None and out.is_file() else None
    failed, crash = False, None
    with (
        console.progress(len(wanted), "types", quiet=as_json) as begin,
        concurrent.futures.ThreadPoolExecutor(jobs) as pool,
    ):
        futures = {pool.submit(_verify, each, rungs): each for each in wanted}
        for future in concurrent.futures.as_completed(futures):
            begin(futures[future])
            try:
                entry, passed = future.result()
            except KeraformError as error:  # the other types are computed all the same
                crash = crash or error
                continue
            results["types"][futures[future]] = entry
            failed = failed or not passed
            if earlier is not None:
                keep_results(results, earlier)
            results["types"] = dict(sorted(results["types"].items()))
            if out is not None:
                console.write_whole(out, json.dumps(results, indent=1) + "\n", force=True)
    if crash is not None:
        raise crash
    if as_json:
        console.print_json(results)
    elif out is None:
        for model_type, entry in results["types"].items():
            lowest = min((each["rung"] for each in entry["classes"]), default=0)
            console.out.print(f"{model_type}: {len(entry['classes'])} classes, rung {lowest}")
    console.end(console.FOUND if failed else console.CLEAN)


def keep_results(results: dict[str, Any], earlier: dict[str, Any]) -> None:
    """Fills what was not run now from earlier results of the same generated files and versions."""
    from keraform.verify.outcome import NOT_RUN, ClassReport

    if earlier["versions"] != results["versions"]:
        return
    for model_type, old in earlier["types"].items():
        new = results["types"].setdefault(model_type, old)
        if new is old or new["files"] != old["files"]:
            continue
        before = {each["class"]: each for each in old["classes"]}
        for each in new["classes"]:
            known = before.get(each["class"])
            if known is None:
                continue
            for rung, outcome in known["rungs"].items():
                if each["rungs"][rung] == NOT_RUN:
                    each["rungs"][rung] = outcome
            for name, error in known["max_error"].items():
                if each["max_error"][name] is None:
                    each["max_error"][name] = error
            rungs = {int(rung): outcome for rung, outcome in each["rungs"].items()}
            each["rung"] = ClassReport(each["class"], rungs).rung


def _proved_types() -> list[str]:
    from keraform.verify.classes import PROVED_TYPES

    return list(PROVED_TYPES)


def versions() -> dict[str, str]:
    """The versions that the results are made with."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _verify(model_type: str, rungs: str) -> tuple[dict[str, Any], bool]:
    """One type's entry, from `keraform verify` in a process of its own."""
    command = [sys.executable, "-m", "keraform", "verify", model_type, "--rungs", rungs, "--json"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode not in (console.CLEAN, console.FOUND):
        raise KeraformError(
            expected=f"a ladder of {model_type}",
            got=result.stderr.strip()[-2000:],
            try_next=f"keraform verify {model_type}",
        )
    classes = json.loads(result.stdout)["classes"]
    for each in classes:
        each.pop("stages", None)  # thousands of lines, and not what the table shows
    entry = {"files": _hashes(model_type), "classes": classes}
    return entry, result.returncode == console.CLEAN


def _hashes(model_type: str) -> dict[str, str]:
    """The digests of the generated files: a proof belongs to them."""
    from keraform import translate

    return {
        module: translate.digest_of(translate.translation(module).code)
        for module in modules_of(model_type)
    }
