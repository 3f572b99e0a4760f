"""Functions of a file that write into a tensor they are given and return nothing: those of the port
return what became of it.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass

import libcst as cst


@dataclass(frozen=True, slots=True)
class Written:
    """The parameter that a function writes to, and its place among those a call gives."""

    name: str
    place: int


def mutators(text: str) -> dict[str, Written]:
    """What each such function of a file writes to, by the function's name.

    Only functions that are called as a statement, on a local name, are told.
    """
    nodes = list(ast.walk(ast.parse(text)))
    functions: dict[str, Written] = {}
    for node in nodes:
        written = _written(node) if isinstance(node, ast.FunctionDef) else None
        if written is not None:
            functions[node.name] = written  # type: ignore[attr-defined]
    found = {}
    for node in nodes:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            name = _called(node.value.func)
            if name is not None and name in functions and _is_local(node.value, functions[name]):
                found[name] = functions[name]
    return found


def changed_name(call: cst.Call, found: dict[str, Written]) -> str | None:
    """The local name that a call of such a function changes."""
    func = call.func
    if isinstance(func, cst.Attribute) and isinstance(func.value, cst.Name):
        func = func.attr
    written = found.get(func.value) if isinstance(func, cst.Name) else None
    if written is None:
        return None
    for number, arg in enumerate(call.args):
        keyword = arg.keyword.value if arg.keyword is not None else None
        if keyword == written.name or (keyword is None and number == written.place):
            return arg.value.value if isinstance(arg.value, cst.Name) else None
    return None


def _written(function: ast.FunctionDef) -> Written | None:
    """The one parameter that a function without results writes to and keeps under its name."""
    parameters = [each.arg for each in function.args.args if each.arg not in ("self", "cls")]
    parts, rebound = set(), set()
    for node in ast.walk(function):
        if isinstance(node, (ast.Yield, ast.YieldFrom)):
            return None
        if isinstance(node, ast.Return) and node.value is not None:
            return None
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            rebound.add(node.id)
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store):
            if isinstance(node.value, ast.Name) and not _is_key(node.slice):
                parts.add(node.value.id)
    found = [name for name in parameters if name in parts - rebound]
    return Written(found[0], parameters.index(found[0])) if len(found) == 1 else None


def _is_key(index: ast.expr) -> bool:
    """Whether an index is a text, so that it is one of a dict."""
    return isinstance(index, ast.JoinedStr) or (
        isinstance(index, ast.Constant) and isinstance(index.value, str)
    )


def _called(func: ast.expr) -> str | None:
    """`f` in `f(x)`, `self.f(x)` and `Class.f(x)`."""
    if isinstance(func, ast.Name):
        return func.id
    if isinstance(func, ast.Attribute) and isinstance(func.value, ast.Name):
        return func.attr
    return None


def _is_local(call: ast.Call, written: Written) -> bool:
    """Whether a call gives a local name for what is written to."""
    for keyword in call.keywords:
        if keyword.arg == written.name:
            return isinstance(keyword.value, ast.Name)
    given = call.args[written.place] if written.place < len(call.args) else None
    return isinstance(given, ast.Name)
