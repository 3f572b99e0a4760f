"""Square weights, whose transposition no shape gives away."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.mutations.faults import Fault
from tests.mutations.mutators import TRANSPOSED
from tests.mutations.source import dotted
from tests.mutations.subjects import Subject

from keraform.runtime.tree import named_layers, named_weights


def transposed_weights(subject: Subject) -> Iterator[Fault]:
    """One fault for each square weight of a layer that a statement of the port constructs."""
    model = subject.case.port.build("float32")
    owners = {path: type(layer).__name__ for path, layer in named_layers(model)}
    for weight in named_weights(model, aliases=False):
        value = subject.case.state.get(weight.key)
        if value is None or value.ndim < 2 or value.shape[-1] != value.shape[-2]:
            continue
        path = weight.key.rpartition(".")[0]
        parent, _, attribute = path.rpartition(".")
        statement = _construction(subject, owners.get(parent, ""), attribute)
        if statement is not None:
            yield Fault(
                subject.model_type, subject.class_name, TRANSPOSED, TRANSPOSED,
                f"{owners[parent]}.__init__", statement.lineno, statement.end_lineno,
                weight.key, f"{weight.key}.T",
            )  # fmt: skip


def _construction(subject: Subject, class_name: str, attribute: str) -> ast.stmt | None:
    """`self.query = layers.Dense(...)` in the constructor of a class of the port."""
    definition = subject.source.classes.get(class_name)
    for statement in ast.walk(definition) if definition is not None else ():
        if isinstance(statement, ast.Assign):
            if dotted(statement.targets[0]) == f"self.{attribute}":
                return statement
    return None
