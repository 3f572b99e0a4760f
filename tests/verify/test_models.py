"""The battery over the proved model types: every asked rung of every class, on both backends.

The default run takes a few heads of one type and one of some others. `make proofs` takes all heads
of that type and one of each other that is no sibling of one of them, and climbs to rung 5 with all
heads of the core; `make test-models` takes all.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from keraform.verify.classes import PROVED_TYPES, import_upstream, model_classes
from keraform.verify.ladder import climb
from keraform.verify.live_code import freeze
from keraform.verify.outcome import holds
from keraform.verify.report import reasons
from keraform.verify.targets import Target

WHOLE = "bert"
# Their files differ from that of another type by little more than names.
SIBLINGS = ("distilbert", "roberta", "electra", "mistral")
ALONE = tuple(each for each in PROVED_TYPES if each not in (WHOLE, *SIBLINGS))
BY_DEFAULT = ("BertModel", "BertForSequenceClassification", "gpt2", "vit", "mamba")
RUNGS = frozenset({1, 2, 3, 4, 5, 6, 7, 8})
PORTABLE = 9


@pytest.fixture(scope="module", autouse=True)
def frozen():
    """Many models are made here: without it each of them waits for walks over all that exists."""
    freeze()


def prove(model_type: str, rungs: frozenset[int], classes: tuple[str, ...] = ()) -> None:
    """Fail with one line for each rung of each class that does not hold."""
    report = climb(Target(model_type, classes), rungs)
    assert report.classes
    assert report.passed, "\n".join(reasons(report))
    assert all(holds(entry.rungs[rung]) for entry in report.classes for rung in rungs)


def heads(model_type: str) -> list[str]:
    """Every class of a type, in the file's order."""
    return [each.__name__ for each in model_classes(import_upstream(model_type))]


def of_proofs(names: Iterable[str]) -> list[Any]:
    """Parameters, of which the default run takes some."""
    marks = {name: () if name in BY_DEFAULT else (pytest.mark.proofs,) for name in names}
    return [pytest.param(name, marks=mark) for name, mark in marks.items()]


@pytest.mark.parametrize("head", of_proofs(heads(WHOLE)))
def test_all_heads(head):
    prove(WHOLE, RUNGS, (head,))


@pytest.mark.parametrize("model_type", of_proofs(ALONE))
def test_one_head(model_type):
    first = next((head for head in heads(model_type) if "For" in head), heads(model_type)[0])
    prove(model_type, RUNGS, (first,))


@pytest.mark.models
@pytest.mark.parametrize("model_type", PROVED_TYPES)
def test_every_head_and_jax(model_type):
    prove(model_type, RUNGS | {PORTABLE})


def test_a_real_checkpoint(minilm):
    prove(str(minilm), RUNGS)
