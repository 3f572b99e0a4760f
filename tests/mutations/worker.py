"""The work on one model type: a line of JSON for each kind of fault, and one for the good ports."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from tests.mutations.detection import Detection, detect
from tests.mutations.faults import Fault
from tests.mutations.mutators import KINDS
from tests.mutations.selection import Urn
from tests.mutations.subjects import Subject, subjects

from keraform.translate.cache import digest_of
from keraform.verify.quiet import quiet

GOOD = "none"  # the kind of a port as it is


def work(model_type: str, path: Path) -> None:
    """Seed and look for one fault of each kind; lines that `path` has already are kept."""
    done = _known(path)
    with quiet():
        pool = subjects(model_type)
        taken = {entry["fault"]["line"] for entry in done.values() if entry.get("fault")}
        if GOOD not in done:
            _keep(path, _good(pool))
        urn = None
        for number, kind in enumerate(KINDS):
            if kind in done:
                continue
            urn = urn or Urn(pool)
            start = time.perf_counter()
            entry = _seeded(urn, kind, taken)
            if entry.get("fault"):
                taken.add(entry["fault"]["line"])
            _keep(path, entry)
            print(_words(model_type, number, entry, time.perf_counter() - start), flush=True)


def _known(path: Path) -> dict[str, dict[str, Any]]:
    """The whole lines of an earlier run."""
    found = {}
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        path.write_text(whole, encoding="utf-8")
    for line in whole.splitlines():
        entry = json.loads(line)
        found[entry["kind"]] = entry
    return found


def _keep(path: Path, entry: dict[str, Any]) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(entry) + "\n")


def _seeded(urn: Urn, kind: str, taken: set[int]) -> dict[str, Any]:
    drawn = urn.draw(kind, taken)
    entry = {"kind": kind, "equivalent": drawn.equivalent, "stillborn": drawn.stillborn}
    if drawn.subject is None or drawn.fault is None:
        return entry
    return {**entry, "fault": fault_entry(drawn.fault, detect(drawn.subject, drawn.fault))}


def fault_entry(fault: Fault, found: Detection) -> dict[str, Any]:
    """A fault's entry in the results."""
    return {
        "class": f"TF{fault.class_name}",
        "mutator": fault.mutator,
        "owner": fault.owner,
        "line": fault.line,
        "before": fault.before,
        "after": fault.after,
        "found": found.to_json(),
    }


def _good(pool: list[Subject]) -> dict[str, Any]:
    """The good ports, through the same door as the spoiled ones."""
    found = {}
    for subject in pool:
        text = subject.source.text
        whole = Fault(subject.model_type, subject.class_name, GOOD, GOOD, "", 0, 0, "", "", text)
        found[f"TF{subject.class_name}"] = detect(subject, whole).to_json()
    return {"kind": GOOD, "port": digest_of(pool[0].source.text), "classes": found}


def _words(model_type: str, number: int, entry: dict[str, Any], seconds: float) -> str:
    head = f"{model_type} {number + 1}/{len(KINDS)} {entry['kind']}"
    fault = entry.get("fault")
    if fault is None:
        return f"{head}: no place ({seconds:.0f} s)"
    found = fault["found"]
    by = f"rung {found['rung']}" if found["rung"] else found["kind"] or "NOT DETECTED"
    line = "right line" if found["named"] else f"line {found['line']}, not {fault['line']}"
    return f"{head}: {by}, {line} ({seconds:.0f} s)"
