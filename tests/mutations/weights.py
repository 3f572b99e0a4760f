"""Weights: where a port constructs them, and the square ones, whose transposition no shape gives
away.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.mutations.faults import Fault
from tests.mutations.mutators import TRANSPOSED
from tests.mutations.source import dotted
from tests.mutations.subjects import Subject

from keraform.runtime.tree import named_weights


def transposed_weights(subject: Subject) -> Iterator[Fault]:
    """One fault for each square weight of a layer that a statement of the port constructs."""
    for weight in named_weights(subject.model, aliases=False):
        value = subject.case.state.get(weight.key)
        if value is None or value.ndim < 2 or value.shape[-1] != value.shape[-2]:
            continue
        found = construction(subject, weight.key)
        if found is not None:
            owner, statement = found
            yield Fault(
                subject.model_type, subject.class_name, TRANSPOSED, TRANSPOSED,
                f"{owner}.__init__", statement.lineno, statement.end_lineno,
                weight.key, f"{weight.key}.T",
            )  # fmt: skip


def construction(subject: Subject, key: str) -> tuple[str, ast.stmt] | None:
    """The class and the statement `self.query = layers.Dense(...)` that make a weight's layer."""
    holder, _, attribute = key.rpartition(".")[0].rpartition(".")
    owner = subject.owners.get(holder, "")
    definition = subject.source.classes.get(owner)
    for statement in ast.walk(definition) if definition is not None else ():
        if isinstance(statement, ast.Assign):
            if dotted(statement.targets[0]) == f"self.{attribute}":
                return owner, statement
    return None


def tied_constructions(subject: Subject, ties: str) -> tuple[int, ...]:
    """The lines of the statements that construct what a dict of ties names."""
    keys = [key for pair in ast.literal_eval(ties).items() for key in pair]
    found = [construction(subject, key) for key in keys]
    return tuple(statement.lineno for _, statement in filter(None, found))
