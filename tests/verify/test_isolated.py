"""Isolated stages: only the stage whose own code is wrong stands out, whatever came before it."""

from __future__ import annotations

import numpy as np
import pytest
from mini import mini_case

from keraform.verify import twin
from keraform.verify.leaves import Leaf
from keraform.verify.localising.isolated import aligned, run_isolated

LIMIT = 1e-9


def isolated(fault: str = ""):
    case = mini_case(fault)
    (variant,) = case.variants
    torch = twin.run_model(case.twin.build("float64", True), variant.inputs, "float64", True)
    model = case.port.build("float64", True)
    return run_isolated(model, torch, variant.inputs, "float64", True, LIMIT)


def guilty(found) -> list[str]:
    return [name for name, own in found.own.items() if not own.within(LIMIT)]


def test_a_good_port_has_no_guilty_stage():
    found = isolated()
    assert guilty(found) == []
    assert found.crash is None
    assert list(found.own)[-1] == ""
    assert {"blocks.0", "blocks.0#2", "blocks.1.norm", "head"} <= set(found.own)
    assert type(found.layers["blocks.1"]).__name__ == "TFBlock"


@pytest.mark.parametrize(
    ("fault", "stages"),
    [
        ("eps", ["blocks.1.norm"]),
        ("scale", ["blocks.1"]),
        ("swapped", ["blocks.1"]),
        ("mask", ["blocks.1"]),
        ("residual", ["blocks.1"]),  # it hands its norm something else
        ("key", [""]),
        ("nan", [""]),
    ],
)
def test_only_the_stage_that_is_wrong_itself_is_guilty(fault, stages):
    assert guilty(isolated(fault)) == stages


def test_what_a_child_was_given_wrongly_is_named():
    (handed,) = isolated("residual").handed["blocks.1"]
    assert handed.child == "blocks.1.norm"
    assert handed.file.endswith("mini.py") and handed.line > 0
    assert "of blocks.1.norm: off by" in handed.difference.problem
    assert handed.torch.array.shape == handed.keras.array.shape


def leaf(*shape: int) -> Leaf:
    return Leaf("float64", np.zeros(shape))


def test_arguments_are_paired_by_name_then_by_order():
    assert aligned({"x": leaf(2), "mask": leaf(3)}, {"mask": leaf(3), "x": leaf(2)}) == {
        "mask": "mask",
        "x": "x",
    }
    assert aligned({"input": leaf(2)}, {"inputs": leaf(3)}) == {"inputs": "input"}
    assert aligned({"input": leaf(2), "more": leaf(4)}, {"inputs": leaf(2)}) == {"inputs": "input"}
    assert aligned({"input": leaf(2), "more": leaf(4)}, {"inputs": leaf(9)}) == {}
