"""Pairs of statements: which values of theirs belong together."""

from __future__ import annotations

import numpy as np

from keraform.verify.leaves import Leaf
from keraform.verify.localising.alignment import Pair, difference, dtype_difference
from keraform.verify.localising.recorder import Execution
from keraform.verify.localising.statements import Site, Statement


def execution(*targets: str, **values: float) -> Execution:
    result = {name[1:]: Leaf("float64", np.array([value])) for name, value in values.items()}
    text = f"{', '.join(targets)} = split(x)"
    return Execution(Statement("a.py", 1, 1, "f", text, targets), "", result=result)


def test_targets_in_another_order_got_other_values() -> None:
    torch = execution("gate", "up", _0=1.0, _1=2.0)
    found = difference(Pair(torch, execution("up", "gate", _0=1.0, _1=2.0)), 1e-9)
    assert found is not None
    assert found[0].stage == "gate"
    assert difference(Pair(torch, execution("gate", "up", _0=1.0, _1=2.0)), 1e-9) is None


def test_targets_of_other_names_are_paired_by_their_place() -> None:
    torch = execution("gate", "up", _0=1.0, _1=2.0)
    assert difference(Pair(torch, execution("a", "b", _0=1.0, _1=2.0)), 1e-9) is None
    assert difference(Pair(torch, execution("a", "b", _0=2.0, _1=1.0)), 1e-9) is not None


def given(dtype: str) -> Execution:
    statement = Statement("a.py", 1, 1, "f", "y = f(x)", ("y",))
    return Execution(statement, "", result={"output": Leaf(dtype, np.ones(2))})


def test_float64_is_float32_where_users_have_no_other() -> None:
    pair = Pair(given("float32"), given("float64"))
    assert dtype_difference(pair) == "output is float64, torch has float32"
    assert dtype_difference(pair, wide=False) is None
    half = Pair(given("float16"), given("float64"))
    assert dtype_difference(half, wide=False) == "output is float64, torch has float16"


def adding(*dtypes: str) -> Execution:
    """`y += x` with an `x` of the first dtype, after which `y` is of the last."""
    execution = given(dtypes[-1])
    for number, dtype in enumerate(dtypes):
        site = Site("x", reads=not number, added=not number)
        execution.operations.append((site, {"output": Leaf(dtype, np.ones(2))}))
    return execution


def test_a_sum_in_place_may_be_of_what_is_added() -> None:
    def port(*dtypes: str) -> Execution:
        made = given("bfloat16")
        made.operations = [
            (Site("f", False), {"output": Leaf(each, np.ones(2))}) for each in dtypes
        ]
        return made

    torch = adding("float32", "bfloat16")
    assert dtype_difference(Pair(torch, port("float32", "bfloat16"))) is None
    assert dtype_difference(Pair(torch, port("bfloat16"))) is None
    plain = adding("bfloat16", "bfloat16")
    assert dtype_difference(Pair(plain, port("float32", "bfloat16"))) is not None
