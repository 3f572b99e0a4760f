"""The support table: which class of which model type stands on which rung of the ladder.

`keraform matrix` computes it (`support.json`). It is of one release of Transformers and of Keras;
a proof belongs to the generated file that it was made with, whose hash stands beside it; the
translator is the one that was seen to generate them all:

    {"transformers": VERSION, "keras": VERSION, ..., "translator": HASH,
     "types": {TYPE: {"source": MODULE,
                      "classes": {CLASS: {"hash": ..., "rung": 9, "rungs": {"1": "pass", ...}}}}}}
"""

from __future__ import annotations

import functools
import json
from importlib import resources
from typing import Any

# From this rung on a class counts as proved: every weight loaded, exact, fit for release.
PROVED = 5
RUNGS = [str(rung) for rung in range(1, 11)]
# The packages that a proof belongs to.
PACKAGES = ("keraform", "transformers", "keras", "tensorflow", "torch", "jax")


@functools.cache
def table() -> dict[str, Any]:
    """The published support table; of no types where none is shipped."""
    file = resources.files("keraform") / "support.json"
    return json.loads(file.read_text("utf-8")) if file.is_file() else {"types": {}}


@functools.cache
def classes() -> dict[str, dict[str, Any]]:
    """Each class's entry by its name, of all types; of a class of several types the one on the
    highest rung.
    """
    found: dict[str, dict[str, Any]] = {}
    for entry in table()["types"].values():
        for name, each in entry["classes"].items():
            if name not in found or found[name]["rung"] < each["rung"]:
                found[name] = each
    return found


def rows(of: dict[str, Any], model_type: str) -> dict[str, dict[str, Any]]:
    """The classes of a type in a table; none where the table does not have it."""
    entry = of["types"].get(model_type)
    return {} if entry is None else entry["classes"]


def outdated(installed: str) -> str:
    """Why a class is not proved whose generated file is not the one in the published table.

    Args:
        installed: the version of Transformers here.
    """
    proved = table().get("transformers")
    if proved == installed:
        return "the file that was proved is another than the one generated now"
    return (
        f"it was proved with transformers {proved}, and the installed {installed} gives "
        "another file"
    )


def versions(of: dict[str, Any]) -> dict[str, str]:
    """The versions that a table was computed with."""
    return {package: of[package] for package in PACKAGES if package in of}


def is_proved(entry: dict[str, Any]) -> bool:
    """Whether a class was proved, in the file that its entry names."""
    return entry["rung"] >= PROVED


def runs_in_torch(entry: dict[str, Any]) -> bool:
    """Whether torch's own model ran where the table was computed."""
    return "torch" not in entry


def failure(entry: dict[str, Any]) -> str | None:
    """Why a class does not stand higher: the first rung that failed, with its reason."""
    if not runs_in_torch(entry):
        return f"torch's own model does not run: {entry['torch']}"
    return next(
        (
            f"rung {rung} {outcome}"
            for rung, outcome in entry["rungs"].items()
            if outcome.startswith("fail")
        ),
        None,
    )
