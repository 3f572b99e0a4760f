"""The usual blind spots of comparing: NaN, masked rows, 1-D outputs, signed means, missing keys."""

from __future__ import annotations

import numpy as np
import pytest

from keraform.verify.compare import (
    compare,
    compare_dtypes,
    compare_inner,
    compare_leaf,
    compare_outputs,
    distance,
)
from keraform.verify.deviations import DEVIATIONS
from keraform.verify.leaves import Leaf, Recording, leaves
from keraform.verify.tolerances import LIMITS, TOLERANCES, Tolerance, limit_of, unneeded


def leaf(*values, dtype="float32"):
    return Leaf(dtype, np.array(values, "float64"))


def test_nan_inside_counts_as_equal_where_torch_has_it():
    torch = leaf(1.0, np.nan)
    assert compare_inner("softmax", torch, leaf(1.0, np.nan)).within(0)
    assert not compare_inner("softmax", torch, leaf(np.nan, 1.0)).within(1)
    assert not compare_inner("softmax", torch, leaf(1.0, 0.0)).within(1)
    assert not compare_inner("softmax", torch, leaf(1.5, np.nan)).within(0.1)
    assert not compare_inner("softmax", leaf(np.nan), leaf(np.nan)).within(1)


def test_nan_on_both_sides_is_a_difference():
    found = compare_leaf("outputs/logits", leaf(1.0, np.nan), leaf(1.0, np.nan))
    assert found.error == float("inf")
    assert found.problem == "1 NaN, torch has 1"


def test_a_deviation_is_no_difference_but_only_where_it_stands():
    nan, zero = leaf(np.nan), leaf(0.0)
    assert compare_leaf("outputs/loss", nan, zero).within(0)
    assert not compare_leaf("outputs/logits", nan, zero).within(1)
    assert not compare_leaf("outputs/loss", nan, nan).within(1)
    assert all(d.reason for d in DEVIATIONS)


def test_signs_do_not_cancel():
    assert distance(np.array([1.0, -1.0]), np.array([-1.0, 1.0])) == 2


def test_relative_to_the_larger_of_one_and_the_rms():
    small, large = np.full(4, 1e-3), np.full(4, 1e3)
    assert distance(small, small + 1e-4) == pytest.approx(1e-4)
    assert distance(large, large + 1e-4) == pytest.approx(1e-7)


def test_mask_fillers_do_not_hide_the_rest():
    low = np.finfo("float64").min
    assert distance(np.array([low, 1.0]), np.array([low, 1.5])) == pytest.approx(0.5)
    assert distance(np.array([low, 1.0]), np.array([1.0, 1.0])) == float("inf")
    assert distance(np.array([-np.inf, 1.0]), np.array([-np.inf, 1.0])) == 0
    assert distance(np.array([-np.inf]), np.array([np.inf])) == float("inf")


def test_one_dimension_and_scalars_and_empty():
    assert distance(np.array([1.0, 2.0]), np.array([1.0, 2.5])) > 0.3
    assert distance(np.array(1.0), np.array(2.0)) == 1
    assert distance(np.zeros((0, 3)), np.zeros((0, 3))) == 0


def test_integers_and_booleans_count_as_they_are():
    assert distance(np.array([1000, 2000]), np.array([1000, 2001])) == 1
    assert distance(np.array([True, False]), np.array([True, True])) == 1


def test_every_key_counts():
    found = {d.stage: d.problem for d in compare_outputs({"a": leaf(1.0)}, {"b": leaf(1.0)})}
    assert found == {"outputs/a": "missing in the port", "outputs/b": "torch does not give it"}


def test_shapes_are_named():
    found = compare_leaf(
        "outputs/a", Leaf("float32", np.zeros((2, 3))), Leaf("float32", np.zeros(()))
    )
    assert found.problem == "shape scalar, torch has 2x3"


def test_an_empty_cache_has_one_axis_in_torch():
    empty, ours = Leaf("float32", np.zeros(0)), Leaf("float32", np.zeros((2, 4, 0, 8)))
    assert compare_leaf("outputs/a", empty, ours).error == 0.0
    assert compare_leaf("outputs/a", ours, empty).problem == "shape 0, torch has 2x4x0x8"


def test_a_stage_without_its_first_output_is_a_difference():
    torch, keras = Recording(), Recording()
    torch.add("block", {}, {"0": leaf(1.0), "1": leaf(2.0)})
    keras.add("block", {}, {"1": leaf(2.0)})
    (found,) = compare(torch, keras)
    assert found.problem == "gives 1, torch gives 0, 1"


def test_further_outputs_of_a_stage_may_be_left_out():
    torch, keras = Recording(), Recording()
    torch.add("block", {}, {"0": leaf(1.0), "1": leaf(2.0)})
    keras.add("block", {}, {"0": leaf(1.0)})
    torch.add("only_here", {}, {"output": leaf(1.0)})
    assert [d.error for d in compare(torch, keras)] == [0.0]


def test_a_second_call_is_a_stage_of_its_own():
    torch, keras = Recording(), Recording()
    for value in (1.0, 2.0):
        torch.add("block", {}, {"output": leaf(value)})
        keras.add("block", {}, {"output": leaf(1.0)})
    assert [(d.stage, d.error) for d in compare(torch, keras)] == [("block", 0.0), ("block#2", 0.5)]


def test_dtypes_are_compared():
    torch, keras = Recording({"a": leaf(1.0)}), Recording({"a": leaf(1.0, dtype="float16")})
    torch.add("block", {}, {"output": leaf(1.0)})
    keras.add("block", {}, {"output": leaf(1.0, dtype="bfloat16")})
    assert {d.stage: d.problem for d in compare_dtypes(torch, keras)} == {
        "outputs/a": "float16, torch has float32",
        "block": "bfloat16, torch has float32",
    }


def test_leaves_of_nested_values():
    class SelfAttention:
        keys = 1.5
        values = 2.5

    class Cache:
        layers = (SelfAttention(),)

        def get_seq_length(self):
            return 0

    def read(value):
        return value if isinstance(value, np.ndarray) else None

    nested = {"a": (np.ones(1), None, [np.ones(2)]), "flag": True, "cache": Cache()}
    assert list(leaves(nested, read)) == ["a.0", "a.2.0"]
    assert list(leaves(np.ones(1), read)) == ["output"]
    Cache.layers[0].keys = np.ones(3)
    assert list(leaves(nested, read, caches=True)) == ["a.0", "a.2.0", "cache.0.keys"]


def test_tolerances_have_reasons_and_idle_ones_are_found():
    assert all(entry.reason for entry in TOLERANCES)
    table = (Tolerance("TFA.*", r"outputs/.*", "float32", 1e-3, "because"),)
    assert limit_of("TFAb", "outputs/x", "float32", table) == 1e-3
    assert limit_of("TFB", "outputs/x", "float32", table) == LIMITS["float32"]
    assert unneeded({"TFAb": {("outputs/x", "float32"): 1e-6}}, table) == list(table)
    assert unneeded({"TFAb": {("outputs/x", "float32"): 1e-4}}, table) == []
    assert unneeded({"TFB": {("outputs/x", "float32"): 1e-6}}, table) == []
