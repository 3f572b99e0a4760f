"""Every rule by its case: the translation is the one that docs/rules shows, and both blocks give
the same numbers.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from translate.rule_cases import (
    Case,
    all_cases,
    compare,
    expectation,
    run_keras,
    run_torch,
    translate,
)

CASES = all_cases()
RUN = [
    case
    for case in CASES
    if case.refused is None and not any(o.startswith("nothing") for o in case.options)
]


@pytest.fixture
def default_dtype(request: pytest.FixtureRequest) -> Iterator[None]:
    """Both sides compute in float64 unless a case says otherwise."""
    import keras
    import torch

    options = request.getfixturevalue("case").options
    dtype = "float32" if any(o.startswith("in float32") for o in options) else "float64"
    before = keras.config.floatx(), torch.get_default_dtype(), keras.config.dtype_policy()
    keras.config.set_floatx(dtype)
    keras.config.set_dtype_policy(dtype)
    torch.set_default_dtype(getattr(torch, dtype))
    yield
    keras.config.set_floatx(before[0])
    torch.set_default_dtype(before[1])
    keras.config.set_dtype_policy(before[2])


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_translation_is_the_documented_one(case: Case) -> None:
    made = expectation(translate(case.torch), case.torch)
    assert made == case.expected, (
        "try: PYTHONPATH=src:tests python -m translate.update_cases, then read the diff"
    )


@pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm` is deprecated")  # by torch
@pytest.mark.parametrize("case", RUN, ids=lambda case: case.id)
def test_both_blocks_give_the_same_numbers(case: Case, default_dtype: None) -> None:
    theirs, state = run_torch(case)
    compare(case, run_keras(case, translate(case.torch).code, state), theirs)
