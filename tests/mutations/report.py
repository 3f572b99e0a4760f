"""What is published of a run: `docs/detector.json`, and the page that is made from it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib.metadata import version
from typing import Any

from tests.mutations.mutators import KINDS
from tests.mutations.worker import GOOD

from keraform.version import __version__

Entry = dict[str, Any]

# What the issue tracker asks of the detector, as shares of the seeded faults.
DETECTED, NAMED = 0.99, 0.92
PACKAGES = ("transformers", "torch", "keras", "tensorflow")


def versions() -> dict[str, str]:
    """What a result depends on besides the ports, whoever built it."""
    return {
        "keraform": __version__,
        **{name: version(name).partition("+")[0] for name in PACKAGES},
    }


def summary(lines: dict[str, Iterable[Entry]]) -> Entry:
    """The results of every model type as one record."""
    models, faults, dropped = {}, [], {"equivalent": [], "stillborn": []}
    ports, alarms = {}, []
    for model_type, entries in lines.items():
        for entry in entries:
            if entry["kind"] == GOOD:
                ports[model_type] = entry["port"]
                alarms += [
                    {"model": model_type, "class": name, "found": found}
                    for name, found in entry["classes"].items()
                ]
                continue
            for why, names in dropped.items():
                names += entry[why]
            if "fault" in entry:
                faults.append({"model": model_type, "kind": entry["kind"], **entry["fault"]})
        models[model_type] = counts([f for f in faults if f["model"] == model_type])
    return {
        "versions": versions(),
        "ports": ports,
        "score": {
            **counts(faults),
            "good ports": len(alarms),
            "false alarms": sum(_detected(each) for each in alarms),
            **{why: len(names) for why, names in dropped.items()},
        },
        "kinds": {kind: counts([f for f in faults if f["kind"] == kind]) for kind in KINDS},
        "models": models,
        "alarms": [each for each in alarms if _detected(each)],
        "equivalent": dropped["equivalent"],
        "faults": faults,
    }


def counts(faults: list[Entry]) -> Entry:
    """How many there are, how many were detected, and of how many the statement was named."""
    return {
        "seeded": len(faults),
        "detected": sum(_detected(each) for each in faults),
        "named": sum(each["found"]["named"] for each in faults),
    }


def _detected(entry: Entry) -> bool:
    return bool(entry["found"]["rung"] or entry["found"]["kind"])


def page(results: Entry) -> str:
    """The page, in Markdown."""
    score = results["score"]
    return "\n".join(
        [
            "# The detector, tested",
            "",
            "Written by `make detector`; `detector.json` beside it holds every fault.",
            "",
            f"**{score['seeded']} faults** were seeded into {len(results['models'])} good ports, "
            f"one of each kind in each model that has a place for it. "
            f"**{_share(score, 'detected')} were detected**, and of "
            f"**{_share(score, 'named')} the spoiled statement was named first**. "
            f"Of {score['good ports']} unspoiled ports {score['false alarms']} gave an alarm.",
            "",
            *_method(score),
            *_table("By kind", "kind", results["kinds"]),
            *_table("By model", "model", results["models"]),
            *_misses(results["faults"]),
            f"Run with {', '.join(f'{k} {v}' for k, v in results['versions'].items())}.",
            "",
        ]
    )


def _method(score: Entry) -> list[str]:
    return [
        "A fault is one expression of one statement of a generated file, rewritten; or one square "
        "weight, loaded transposed. The statement must be one that the model's tiny run executes; "
        "which one it is is drawn by lot (a hash), never chosen. Two sorts of drawn faults do not "
        f"count: {score['equivalent']} were equivalent (weights, ties, every stage in float64, "
        "gradients, and every value in bfloat16 and float16 are those of the good port, to the "
        f"last bit), and {score['stillborn']} raised an exception at once, for which nobody needs "
        "a detector. Neither was decided by looking at what the detector says.",
        "",
        "Detected means that a rung of `keraform verify` fails or that `keraform localise` has a "
        "finding. Named means that its first finding is at the spoiled statement's line; for a "
        "transposed weight at the statement that constructs its layer, for a tie at the "
        "statement that ties or one that constructs what should be tied.",
        "",
        "Not seeded: dropouts, which do nothing in the runs that are compared.",
        "",
    ]


def _share(score: Entry, what: str) -> str:
    return f"{score[what]} ({score[what] / max(1, score['seeded']):.1%})"


def _table(title: str, head: str, rows: dict[str, Entry]) -> Iterator[str]:
    yield from (f"## {title}", "")
    yield from (f"| {head} | seeded | detected | statement named |", "|---|---|---|---|")
    for name, row in rows.items():
        yield f"| {name} | {row['seeded']} | {row['detected']} | {row['named']} |"
    yield ""


def _misses(faults: list[Entry]) -> Iterator[str]:
    yield from ("## Misses", "")
    for fault in faults:
        found = fault["found"]
        if _detected(fault) and found["named"]:
            continue
        what = f"`{fault['before']}` became `{fault['after']}`"
        place = f"{fault['model']}, {fault['owner']}, line {fault['line']}"
        yield f"- **{fault['kind']}** ({place}): {what}. {_said(found)}"
    yield ""


def _said(found: Entry) -> str:
    if not (found["rung"] or found["kind"]):
        return "Not detected."
    where = f"named line {found['line']}" if found["line"] else "no statement named"
    return f"Detected (rung {found['rung'] or '-'}), {where}: {found['cause'] or found['said']}"
