"""Rows: results of earlier runs are kept for the same generated file, and for that alone."""

from __future__ import annotations

from typing import Any

from keraform.verify.matrix import workers
from keraform.verify.matrix.rows import broken, merged, rungs_to_run
from keraform.verify.outcome import UNFIT, failed


def row(digest: str, rungs: dict[str, str], error: float | None = None) -> dict[str, Any]:
    every = {str(rung): "not run" for rung in range(1, 11)} | rungs
    return {
        "source": "transformers.models.mini.modeling_mini",
        "hash": digest,
        "family": "text",
        "rungs": every,
        "max_error": {"float64": error},
    }


def test_only_rungs_that_were_not_run_are_run():
    assert rungs_to_run({1, 2, 3}, None) == {1, 2, 3}
    assert rungs_to_run({1, 2, 3}, row("a", {"1": "pass", "2": "fail: x"})) == {3}


def test_what_was_not_run_now_is_taken_from_before():
    found = merged(row("a", {"3": "pass"}), row("a", {"1": "pass", "2": "pass"}, 1e-12))
    assert found["rung"] == 3
    assert found["max_error"]["float64"] == 1e-12


def test_a_dead_worker_costs_the_rungs_that_were_asked_for():
    found = broken({2, 3}, row("a", {"1": "pass", "2": "pass"}), "the process ended")
    assert [found["rungs"][rung] for rung in "123"] == ["pass", "pass", "fail: the process ended"]
    assert broken({1}, None, "the process ended")["rung"] == 0


def test_another_file_is_proved_anew(monkeypatch):
    run: list[set[int]] = []

    def climb(model_type: str, name: str, rungs: set[int]) -> dict[str, Any]:
        run.append(rungs)
        return {"rungs": {str(rung): "pass" for rung in rungs}}

    class Mini:
        def forward(self, input_ids, pixel_values): ...

    monkeypatch.setattr(workers, "_torch_classes", lambda _: {"Mini": Mini})
    monkeypatch.setattr(workers, "_file", lambda *_: {"source": "m", "hash": "a"})
    monkeypatch.setattr(workers, "_climb", climb)
    done = {"1": "pass", "2": "pass"}
    for known in (row("a", done), row("b", done), {**row("a", done), "torch": "ImportError: timm"}):
        found = workers.row_of("mini", "Mini", {1, 2, 3}, known)
        assert (found["rung"], found["family"], "torch" in found) == (3, "text and image", False)
    assert run == [{3}, {1, 2, 3}, {1, 2, 3}]
    unfit = {"1": "pass", "2": failed(f"{UNFIT}: ValueError: no such field")}
    assert workers.row_of("mini", "Mini", {1, 2}, row("a", unfit))["rung"] == 2
    workers.row_of("mini", "Mini", {9}, row("a", done))
    assert run[-1] == {4, 5}  # on JAX
