"""Which functions and methods of a file serve generation alone: no call of a model reaches them."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from keraform.translate.rules.seams import GENERATION_METHODS

Function = ast.FunctionDef | ast.AsyncFunctionDef


def generation_only(text: str) -> frozenset[str]:
    """The names of the functions and methods of a file that generation alone reaches.

    These are the methods that have a name of generation (`GENERATION_METHODS`) and are mentioned
    nowhere else in the file, and whatever is mentioned by them alone.
    """
    uses = dict(_uses(ast.parse(text)))
    found = {name for name in uses if GENERATION_METHODS.fullmatch(name)}
    elsewhere = None
    while elsewhere != set():
        elsewhere = found & _mentioned(uses, set(uses) - found)
        found -= elsewhere
    helpers = None
    while helpers != set():
        others = _mentioned(uses, set(uses) - found)
        helpers = (_mentioned(uses, found) & set(uses)) - others - found
        found |= helpers
    return frozenset(found)


def _uses(tree: ast.Module) -> Iterator[tuple[str, set[str]]]:
    """Each function and method by its name, with the names that those of this name mention; the
    rest of the file goes by an empty name.
    """
    uses: dict[str, set[str]] = {"": set()}
    waiting: list[ast.stmt] = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, Function):
            uses.setdefault(node.name, set()).update(_names(node) - {node.name})
        elif isinstance(node, ast.ClassDef):
            waiting += node.body
            uses[""].update(*(_names(each) for each in [*node.bases, *node.decorator_list]))
        elif not isinstance(node, (ast.Import, ast.ImportFrom)):
            uses[""] |= _names(node)
    yield from uses.items()


def _names(node: ast.AST) -> set[str]:
    """The names and attributes that a part of the file mentions."""
    names = {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)}
    return names | {inner.attr for inner in ast.walk(node) if isinstance(inner, ast.Attribute)}


def _mentioned(uses: dict[str, set[str]], by: set[str]) -> set[str]:
    return {name for each in by for name in uses[each]}
