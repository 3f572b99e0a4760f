"""Which refusals of a file concern a class: those inside it and inside what it uses, however far
down.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

Definition = ast.ClassDef | ast.FunctionDef


@dataclass(frozen=True)
class Refusal:
    """A construct that the translator refused."""

    rule: str
    file: str
    line: int
    reason: str


def refusals_of(path: str | None, class_name: str, refusals: list[Refusal]) -> list[Refusal]:
    """The refusals at lines of `class_name` or of definitions it reaches; all of them if the file
    is not known.

    Args:
        path: the PyTorch source.
        class_name: the torch class.
        refusals: all of the file.
    """
    if path is None or not refusals:
        return refusals
    spans, uses = _structure(path)
    reached, waiting = set(), [class_name]
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += uses.get(name, ())
    inside = [refusal for refusal in refusals if _owner(refusal.line, spans) in reached]
    loose = [refusal for refusal in refusals if _owner(refusal.line, spans) is None]
    return loose + inside


def _owner(line: int, spans: dict[str, tuple[int, int]]) -> str | None:
    return next((name for name, (first, last) in spans.items() if first <= line <= last), None)


@lru_cache(maxsize=64)
def _structure(path: str) -> tuple[dict[str, tuple[int, int]], dict[str, set[str]]]:
    tree = ast.parse(Path(path).read_text(encoding="utf-8"))
    defined = {node.name: node for node in tree.body if isinstance(node, Definition)}
    spans = {
        name: (_first_line(node), node.end_lineno or node.lineno) for name, node in defined.items()
    }
    uses = {
        name: {
            inner.id
            for inner in ast.walk(node)
            if isinstance(inner, ast.Name) and inner.id in defined
        }
        - {name}
        for name, node in defined.items()
    }
    return spans, uses


def _first_line(node: Definition) -> int:
    return min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
