"""The ladder in words."""

from __future__ import annotations

from keraform.verify.outcome import PASS, ClassReport, Report, StageError
from keraform.verify.report import ladder_table, mark, reasons, stage_table, text


def report() -> Report:
    entry = ClassReport("TFMini")
    entry.rungs.update({1: PASS, 2: PASS, 3: "fail: 1 missing: a", 6: "not applicable: no loss"})
    entry.stages = {
        name: StageError(name, error, error * 10, error * 5)
        for name, error in (("a", 1e-12), ("b", 1e-3), ("c", 1e-6))
    }
    entry.max_error["float64"] = 1e-3
    return Report("mini", "5.0", "tensorflow", [entry])


def test_marks():
    words = (PASS, "fail: x", "not applicable: y", "not run")
    assert [mark(word) for word in words] == list("+-n.")


def test_the_ladder_as_a_table():
    table = ladder_table(report())
    assert table.rows[0][:2] == ("TFMini", "2")
    assert table.rows[0][2:12] == tuple("++-..n....")
    assert table.rows[0][-3:] == ("1.0e-03", "", "5.0e-03")
    assert "TFMini" in text(table)


def test_the_worst_stages_keep_their_order():
    entry = report().classes[0]
    assert [row[0] for row in stage_table(entry, 2).rows] == ["b", "c"]
    assert len(stage_table(entry).rows) == 3


def test_stages_in_json():
    stage = StageError("a", float("inf"), 1e-6, layer="TFMini")
    assert stage.to_json() == {
        "name": "a", "layer": "TFMini", "float64": "inf", "float32": 1e-6, "noise": None,
        "isolated": None,
    }  # fmt: skip


def test_reasons_name_class_and_rung():
    assert reasons(report()) == [
        "TFMini rung 3 loaded: fail: 1 missing: a",
        "TFMini rung 6 learns: not applicable: no loss",
    ]
