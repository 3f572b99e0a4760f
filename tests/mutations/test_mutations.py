"""The detector is tested with seeded faults: a sample here, all of them by `make detector`.

What is published in `docs/detector.json` has to be what the sample finds now.
"""

from __future__ import annotations

import ast
import hashlib
import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import transformers
from tests.mutations.detection import detect
from tests.mutations.faults import Fault, seeded
from tests.mutations.fingerprints import EQUIVALENT, Fingerprints
from tests.mutations.mutators import COMMON
from tests.mutations.report import DETECTED, NAMED, page, versions
from tests.mutations.score import PAGE, RESULTS
from tests.mutations.selection import candidates
from tests.mutations.source import PortSource
from tests.mutations.subjects import Subject, subject
from tests.mutations.worker import GOOD, fault_entry

from keraform.translate.cache import digest_of
from keraform.verify.quiet import quiet

AGAIN = "try: make detector"

# Two small models, which have places for all common kinds.
SAMPLED = ("llama", "bert")


BY_DEFAULT = 6


@cache
def published() -> dict[str, Any]:
    return json.loads(RESULTS.read_text("utf-8"))


of_the_published_release = pytest.mark.skipif(
    published()["versions"]["transformers"] != transformers.__version__,
    reason="what is published is of another release of transformers",
)


def sample() -> list[Any]:
    """One published fault of each common kind; `make proofs` has those behind the first few."""
    drawn = []
    for number, kind in enumerate(COMMON):
        marks = () if number < BY_DEFAULT else (pytest.mark.proofs,)
        mine = [f for f in published()["faults"] if f["kind"] == kind and f["model"] in SAMPLED]
        mine.sort(key=lambda fault: hashlib.sha256(str(fault).encode()).hexdigest())
        drawn += [
            pytest.param(fault, id=f"{kind}-{fault['model']}", marks=marks) for fault in mine[:1]
        ]
    return drawn


@cache
def good(model_type: str, class_name: str) -> Subject:
    with quiet():
        return subject(model_type, class_name.removeprefix("TF"))


@cache
def drawable(model_type: str, class_name: str) -> dict[tuple[Any, ...], Fault]:
    with quiet():
        found = candidates(good(model_type, class_name))
    return {
        (each.mutator, each.line, each.before, each.after): each
        for faults in found.values()
        for each in faults
    }


@of_the_published_release
@pytest.mark.parametrize("entry", sample())
def test_a_fault_is_found_as_published(entry: dict[str, Any]) -> None:
    where = (entry["model"], entry["class"])
    fault = drawable(*where).get((entry["mutator"], entry["line"], entry["before"], entry["after"]))
    assert fault is not None, f"no such place in the port of {entry['model']} now; {AGAIN}"
    with quiet():
        now = fault_entry(fault, detect(good(*where), fault))
    for what in ("rung", "kind", "named", "line"):
        assert now["found"][what] == entry["found"][what], f"{now['found']}; {AGAIN}"


@of_the_published_release
@pytest.mark.parametrize("model_type", SAMPLED)
def test_a_good_port_gives_no_alarm(model_type: str) -> None:
    first = next(f["class"] for f in published()["faults"] if f["model"] == model_type)
    one = good(model_type, first)
    with quiet():
        found = detect(one, unspoiled(one))
    assert not found.detected, found
    assert published()["ports"][model_type] == digest_of(one.source.text), AGAIN


def unspoiled(one: Subject) -> Fault:
    text = one.source.text
    return Fault(one.model_type, one.class_name, GOOD, GOOD, "", 0, 0, "", "", text)


def test_a_change_that_nothing_shows_is_equivalent() -> None:
    one = good("llama", "TFLlamaForCausalLM")
    with quiet(), seeded(one, unspoiled(one)) as case:
        assert Fingerprints(one).verdict(case) == EQUIVALENT


def test_every_other_statement_keeps_its_line() -> None:
    one = good("llama", "TFLlamaForCausalLM")
    before = one.source.text.split("\n")
    faults = [fault for fault in drawable("llama", "TFLlamaForCausalLM").values() if fault.text]
    assert len(faults) > 50
    for fault in faults:
        after = fault.text.split("\n")
        assert ast.parse(fault.text)
        assert after[: fault.line - 1] == before[: fault.line - 1]
        assert after[fault.last :] == before[fault.last :]
        assert after != before


def test_an_expression_over_lines_leaves_blank_ones() -> None:
    source = PortSource(Path("port.py"), "def f(x):\n    y = g(\n        x,\n    )\n    return y\n")
    place = next(each for each in source.places() if isinstance(each.node, ast.Call))
    assert place.owner == "f"
    text = source.replaced(place.statement, place.node, ast.Name("x"))
    assert text == "def f(x):\n    y = x\n\n\n    return y\n"


def test_the_published_score_is_what_is_asked_of_the_detector() -> None:
    score = published()["score"]
    assert score["seeded"] >= 200
    assert len(published()["models"]) >= 20
    assert score["detected"] >= DETECTED * score["seeded"]
    assert score["named"] >= NAMED * score["seeded"]
    assert score["false alarms"] == 0
    assert all(row["seeded"] for row in published()["kinds"].values())


def test_the_page_is_made_from_the_results() -> None:
    assert PAGE.read_text("utf-8") == page(published()), AGAIN


@of_the_published_release
def test_the_results_are_of_these_versions() -> None:
    assert published()["versions"] == versions(), AGAIN


@pytest.mark.slow
@of_the_published_release
def test_all_faults_are_found_as_published(tmp_path: Path) -> None:
    results = tmp_path / "detector.json"
    command = [sys.executable, "-m", "tests.mutations.score", "--results", str(results)]
    subprocess.run(command, check=True)
    assert json.loads(results.read_text("utf-8"))["score"] == published()["score"]
