"""Watched variables: which variable of which functions shows the dtype of a finding's
statements.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from keraform.verify.findings import Place
from keraform.verify.localising.recorder import source_text

RETURN = "return"  # in place of a variable: what the function gives


def watched_variable(torch: Place | None, keras: Place | None) -> tuple[str, str, str] | None:
    """The two functions, by qualified name, and the variable that both statements assign.

    None where they assign none, or not the same one: nothing outside of the statement shows it.
    """
    if torch is None or keras is None:
        return None
    theirs, mine = _assigned(torch), _assigned(keras)
    if theirs is None or mine is None or theirs[1] != mine[1]:
        return None
    return theirs[0], mine[0], mine[1]


def _assigned(place: Place) -> tuple[str, str] | None:
    """The function that a statement stands in, and the variable that it assigns."""
    tree = ast.parse(source_text(place.file))
    for function, statement in _statements(tree.body, ""):
        if statement.lineno <= place.line <= (statement.end_lineno or 0):
            name = _target(statement)
            return (function, name) if function and name else None
    return None


def _statements(body: list[ast.stmt], owner: str) -> Iterator[tuple[str, ast.stmt]]:
    """Simple statements with the qualified name of their function."""
    for statement in body:
        if isinstance(statement, ast.ClassDef | ast.FunctionDef):
            name = f"{owner}.{statement.name}" if owner else statement.name
            inside = f"{name}.<locals>" if isinstance(statement, ast.FunctionDef) else name
            yield from _statements(statement.body, inside)
            continue
        blocks = [getattr(statement, each, []) for each in ("body", "orelse", "finalbody")]
        if any(blocks):
            for block in blocks:
                yield from _statements(block, owner)
        else:
            yield owner.removesuffix(".<locals>"), statement


def _target(statement: ast.stmt) -> str | None:
    if isinstance(statement, ast.Return):
        return RETURN
    targets = getattr(statement, "targets", None) or [getattr(statement, "target", None)]
    parts = [part for target in targets for part in getattr(target, "elts", [target])]
    return next((each.id for each in parts if isinstance(each, ast.Name)), None)
