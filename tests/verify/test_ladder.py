"""The ladder on a hand-written pair: a good port passes, every seeded fault is found and named."""

from __future__ import annotations

import pytest
from mini import mini_case

from keraform.verify import ladder
from keraform.verify.ladder import CLIMBS, attempt
from keraform.verify.outcome import NOT_RUN, PASS, UNFIT, ClassReport, Report, holds
from keraform.verify.rungs.compiled import compiled
from keraform.verify.rungs.values import built, exact, loaded, release
from keraform.verify.targets import Target


def climb(fault: str, *steps) -> dict[str, str]:
    case, entry = mini_case(fault), ClassReport("Mini")
    return {step.__name__: attempt(step, case, entry) for step in steps}


def test_a_good_port_passes():
    case, entry = mini_case(), ClassReport("Mini")
    for step in (built, loaded, exact, release, compiled):
        assert attempt(step, case, entry) == PASS, step.__name__
    assert entry.max_error["float64"] < 1e-9
    assert 0 < entry.max_error["float32"] < 1e-5
    names = list(entry.stages)
    assert names.index("blocks.0.query") < names.index("blocks.0") < names.index("blocks.0#2")
    assert {"outputs/states", "outputs/weights", "outputs/score"} <= set(names)
    assert all(stage.noise is not None for name, stage in entry.stages.items() if name)
    assert all(0 <= stage.isolated < 1e-9 for stage in entry.stages.values() if stage.isolated)
    assert entry.stages["blocks.0"].layer == "TFBlock"


@pytest.mark.parametrize(
    ("fault", "place"),
    [
        ("eps", "blocks.1.norm"),
        ("scale", "blocks.1"),
        ("swapped", "blocks.1"),
        ("mask", "blocks.1"),
        ("residual", "blocks.1.norm"),
        ("key", "outputs/weights (masked): missing in the port"),
        ("nan", "outputs/score (masked): 3 NaN, torch has 0"),
    ],
)
def test_a_fault_is_found_and_named(fault, place):
    outcome = climb(fault, exact)["exact"]
    assert outcome.startswith("fail: float64")
    assert f"first {place}" in outcome


def test_a_misplaced_cast_shows_in_release_only():
    outcomes = climb("float32", exact, release)
    assert outcomes["exact"] == PASS
    assert outcomes["release"].startswith("fail: ")


@pytest.mark.parametrize("trained", [True, False])
def test_torchs_noise_counts_on_trained_weights_only(trained, monkeypatch):
    case = mini_case()
    case.reads_itself = trained
    monkeypatch.setattr(ladder, "cases_of", lambda target: [case])
    assert ladder.climb(Target("mini"), ()).trained is trained
    assert case.limit("a", "float32", {"a": 1e-4}) == (2e-4 if trained else 1e-5)
    assert case.limit("a", "float64", {"a": 1e-4}) == 1e-9


def test_an_exception_is_the_reason_and_stops_nothing():
    case = mini_case()
    case.make_port = lambda: 1 / 0
    entry = ClassReport("Mini")
    for rung, step in CLIMBS.items():
        entry.rungs[rung] = attempt(step, case, entry)
    assert entry.rungs[2].startswith("fail: ZeroDivisionError: division by zero (test_ladder.py:")
    assert entry.rungs[1] == PASS
    assert entry.rung == 1


@pytest.mark.parametrize(
    ("error", "torch", "outcome"),
    [
        (ImportError("Mini requires the timm library"), "ImportError: Mini requires", NOT_RUN),
        (AssertionError("Torch not compiled with CUDA enabled"), "AssertionError: Torch", NOT_RUN),
        (ValueError("no such width"), None, f"fail: {UNFIT}: ValueError: no such width"),
    ],
)
def test_what_cannot_run_and_what_does_not_fit_are_told_apart(monkeypatch, error, torch, outcome):
    def make_twin():
        raise error

    case = mini_case()
    case.make_twin = make_twin
    monkeypatch.setattr(ladder, "cases_of", lambda _: [case])
    (entry,) = ladder.climb(Target("mini"), {1, 2, 4}).classes
    assert entry.rungs[1] == PASS
    assert (entry.torch or "").startswith(torch or "") and (entry.torch is None) == (torch is None)
    for rung in (2, 4):
        assert entry.rungs[rung].startswith(outcome)


def test_the_rung_is_the_highest_without_a_gap():
    entry = ClassReport("C")
    entry.rungs.update(dict.fromkeys((1, 2, 3, 4, 5, 7, 8), PASS))
    assert entry.rung == 5
    entry.rungs[6] = "not applicable: no loss"
    assert entry.rung == 8
    entry.rungs[3] = "fail: 1 missing: a"
    assert entry.rung == 2


def test_json_has_the_keys_of_the_design():
    entry = ClassReport("TFBertModel")
    entry.max_error["float64"] = float("inf")
    report = Report("bert", "5.0", "tensorflow", [entry], asked={1})
    record = report.to_json()
    assert list(record) == ["target", "transformers", "backend", "classes"]
    assert list(record["classes"][0]) == [
        "class",
        "rung",
        "rungs",
        "max_error",
        "refusals",
        "stages",
    ]
    assert record["classes"][0]["rungs"]["6"] == NOT_RUN
    assert record["classes"][0]["max_error"] == {
        "float64": "inf",
        "float32": None,
        "loss": None,
        "gradient": None,
    }
    assert not report.passed
    entry.rungs[1] = PASS
    assert report.passed
    assert not holds(NOT_RUN)
