"""The matrix: a crash costs one row, an interrupted run goes on, numbers are summed up."""

from __future__ import annotations

import itertools
import os
import time
from typing import Any

import pytest

from keraform.translate.cache import translator_version
from keraform.verify.matrix import Matrix, run, summarise
from keraform.verify.matrix.run import _results

VERSIONS = {"transformers": "1.2.3"}


def work(what: str) -> str:
    """Works, raises, dies or takes too long."""
    if what == "raises":
        raise ValueError("no such class")
    if what == "dies":
        os._exit(3)
    if what == "sleeps":
        time.sleep(60)
    return what


def test_a_worker_that_dies_or_hangs_costs_one_result(monkeypatch):
    monkeypatch.setattr(run, "SECONDS_A_CLASS", 5)
    groups = [["one", "raises", "dies"], ["sleeps"], ["two"]]
    with Matrix([], set(), jobs=2)._workers({"KERAFORM_TEST": "1"}) as pools:
        assert os.environ["KERAFORM_TEST"] == "1"
        calls = ([(each, (each,)) for each in group] for group in groups)
        found = dict(_results(pools, work, calls))
    assert "KERAFORM_TEST" not in os.environ
    assert found == {
        "one": "one",
        "two": "two",
        "raises": "ValueError: no such class",
        "dies": "the process ended with exit code 3",
        "sleeps": "not done after 5 s",
    }


def row(digest: str, outcome: str, **more: Any) -> dict[str, Any]:
    rungs = {str(rung): "not run" for rung in range(1, 11)} | {"1": "pass", "2": outcome}
    return {
        "source": "m",
        "hash": digest,
        "family": "text",
        "rung": 2 if outcome == "pass" else 1,
        "rungs": rungs,
        "max_error": {},
        **more,
    }


@pytest.fixture
def in_this_process(monkeypatch):
    """Runs each piece of work at once; a type has the classes A and B."""
    told = []

    def results(pools, work, groups):
        for key, arguments in itertools.chain.from_iterable(groups):
            if work is run.workers.classes_in:
                yield key, ["A", "B"]
            elif work is run.workers.counts_of:
                yield key, {"operations": 20, "dispatched": 1, "reasons": {"size": 1}}
            else:
                told.append(arguments)
                yield key, row("a", "pass") if key[1] == "A" else "the process ended"

    monkeypatch.setattr(run, "_results", results)
    return told


def test_the_table_grows_class_by_class(in_this_process):
    seen = [
        {name: list(entry["classes"]) for name, entry in table["types"].items()}
        for table in Matrix(["y", "x"], {1, 2}, versions=VERSIONS).run(lambda *_: None)
    ]
    whole = ["TFA", "TFB"]
    assert seen[0] == {"y": ["TFA"]}
    assert seen[-1] == {"x": whole, "y": whole}


def test_what_is_known_is_handed_to_the_worker(in_this_process):
    rows = {"TFA": row("a", "pass"), "TFGone": row("a", "pass")}
    for each in rows.values():
        del each["source"]
    known = {**VERSIONS, "types": {"x": {"source": "m", "classes": rows}, "z": {"classes": {}}}}
    *_, table = Matrix(["x"], {1, 2}, known=known, versions=VERSIONS).run(lambda *_: None)
    assert in_this_process[0][3]["hash"] == "a" and in_this_process[0][3]["source"] == "m"
    assert sorted(table["types"]) == ["x", "z"]
    assert list(table["types"]["x"]["classes"]) == ["TFA", "TFB"]
    for options in ({"again": True, "versions": VERSIONS}, {"versions": {"transformers": "2"}}):
        in_this_process.clear()
        list(Matrix(["x"], {1, 2}, known=known, **options).run(lambda *_: None))
        assert in_this_process[0][3] is None


def test_a_table_is_signed_where_one_translator_gave_all_of_it(in_this_process):
    def signed(types: list[str], known: dict[str, Any]) -> str | None:
        *_, table = Matrix(types, {1}, known=known, versions=VERSIONS).run(lambda *_: None)
        return table.get("translator")

    current = translator_version()
    other = {"types": {"z": {"source": "m", "classes": {}}}, **VERSIONS}
    assert signed(["x", "z"], {}) == signed(["x", "z"], other) == current
    assert signed(["x"], other | {"translator": current}) == current
    assert signed(["x"], other) is signed(["x"], other | {"translator": "older"}) is None


def process(_: str) -> int:
    return os.getpid()


def test_the_classes_of_a_type_are_one_workers():
    with Matrix([], set(), jobs=2)._workers({}) as pools:
        groups = [[("a", ("a",)), ("b", ("b",))], [("c", ("c",)), ("d", ("d",))]]
        found = dict(_results(pools, process, groups))
    assert found["a"] == found["b"] != found["c"] == found["d"]


def test_the_numbers_of_a_table(in_this_process):
    *_, table = Matrix(["x"], {1, 2}, versions=VERSIONS).run(lambda *_: None)
    classes = table["types"]["x"]["classes"]
    classes["TFC"] = row("a", "not run", torch="ImportError: no package 'timm'")
    classes["TFD"] = row("a", "fail: 3 weights are missing", refusals=["torch.f: no rule"])
    found = summarise(table)
    whole = found.families[-1]
    assert (whole.types, whole.classes, whole.torch) == (1, 4, 3)
    assert (whole.rungs[1], whole.rungs[2], whole.rungs[3]) == (2, 1, 0)
    assert found.refused == [("torch.f: no rule", 1)]
    assert ("rung _ fail: _ weights are missing", 1) in found.stopped
    assert found.torch == [("ImportError: no package _", 1)]
    assert found.share == 0.05 and found.dispatched == [("size", 1)]
