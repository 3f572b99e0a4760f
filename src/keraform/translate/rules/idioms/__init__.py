"""Idioms: constructs that a template cannot say, because their port depends on the kinds or the
number of their arguments.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from keraform.translate.rules.idioms import (
    arithmetic,
    calls,
    containers,
    creation,
    dtypes,
    random,
    reductions,
    shapes,
    weights,
)
from keraform.translate.rules.idioms.builtins import BUILTINS

Idiom = TypeVar("Idiom")


def _table(*parts: Mapping[str, Idiom]) -> dict[str, Idiom]:
    """One table of all idioms of a sort."""
    table: dict[str, Idiom] = {}
    for part in parts:
        doubled = sorted(table.keys() & part.keys())
        if doubled:
            raise ValueError(f"two idioms for {', '.join(doubled)}")
        table.update(part)
    return table


FUNCTIONS = _table(
    creation.FUNCTIONS,
    random.FUNCTIONS,
    dtypes.FUNCTIONS,
    shapes.FUNCTIONS,
    reductions.FUNCTIONS,
    arithmetic.FUNCTIONS,
    calls.FUNCTIONS,
)
METHODS = _table(
    creation.METHODS,
    random.METHODS,
    dtypes.METHODS,
    shapes.METHODS,
    reductions.METHODS,
    arithmetic.METHODS,
)
MODULES = _table(containers.MODULES, weights.MODULES)
SELF_METHODS = _table(calls.SELF_METHODS, containers.SELF_METHODS, weights.SELF_METHODS)

__all__ = ["BUILTINS", "FUNCTIONS", "METHODS", "MODULES", "SELF_METHODS"]
