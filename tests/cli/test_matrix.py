"""Results of earlier runs are kept for the same generated files, and for those alone."""

from __future__ import annotations

from typing import Any

from keraform.cli.matrix import keep_results


def table(digest: str, rungs: dict[str, str], error: float | None = None) -> dict[str, Any]:
    """Results of one class."""
    every = {str(rung): "not run" for rung in range(1, 11)} | rungs
    entry = {"class": "TFBertModel", "rung": 0, "rungs": every, "max_error": {"float64": error}}
    files = {"transformers.models.bert.modeling_bert": digest}
    return {"versions": {}, "types": {"bert": {"files": files, "classes": [entry]}}}


def test_results_of_the_same_file_are_kept() -> None:
    earlier = table("a", {"1": "pass", "2": "fail: x"}, 1e-12)
    now = table("a", {"2": "pass"})
    keep_results(now, earlier)
    entry = now["types"]["bert"]["classes"][0]
    assert (entry["rungs"]["1"], entry["rungs"]["2"], entry["rung"]) == ("pass", "pass", 2)
    assert entry["max_error"]["float64"] == 1e-12


def test_results_of_another_file_are_not() -> None:
    now = table("b", {"2": "pass"})
    keep_results(now, table("a", {"1": "pass"}))
    assert now["types"]["bert"]["classes"][0]["rungs"]["1"] == "not run"


def test_types_that_were_not_asked_for_stay() -> None:
    now = {"versions": {}, "types": {}}
    keep_results(now, table("a", {"1": "pass"}))
    assert list(now["types"]) == ["bert"]
