"""The source of a port as places that can be changed: expressions of simple statements."""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

SIMPLE = (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Return, ast.Expr)
ATOMS = (ast.Name, ast.Call, ast.Attribute, ast.Subscript, ast.Constant, ast.Tuple, ast.List)


@dataclass(frozen=True)
class Place:
    """One expression of one statement.

    Args:
        source: the port.
        owner: the class and function, `TFBertSelfAttention.call`.
        statement: the simple statement that holds the expression.
        node: the expression.
        above: the expressions around it, the innermost last.
        before: the statements of the same block before this one.
    """

    source: PortSource
    owner: str
    statement: ast.stmt
    node: ast.expr
    above: tuple[ast.AST, ...] = ()
    before: tuple[ast.stmt, ...] = ()

    @property
    def constructs(self) -> bool:
        """Whether the statement belongs to a constructor."""
        return self.owner.endswith("__init__")

    @property
    def class_name(self) -> str:
        """The class, "" in a function of the module."""
        return self.owner.rpartition(".")[0]


@dataclass
class PortSource:
    """A generated file."""

    path: Path
    text: str
    tree: ast.Module = field(init=False)

    def __post_init__(self) -> None:
        self.tree = ast.parse(self.text)

    @classmethod
    def read(cls, path: Path) -> PortSource:
        """The file at `path`."""
        return cls(path, path.read_text(encoding="utf-8"))

    @cached_property
    def names(self) -> frozenset[str]:
        """What the file imports and defines."""
        found = set()
        for node in self.tree.body:
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                found |= {alias.asname or alias.name for alias in node.names}
            elif isinstance(node, (ast.ClassDef, ast.FunctionDef)):
                found.add(node.name)
        return frozenset(found)

    @cached_property
    def classes(self) -> dict[str, ast.ClassDef]:
        """The file's classes by name."""
        return {node.name: node for node in self.tree.body if isinstance(node, ast.ClassDef)}

    def places(self) -> Iterator[Place]:
        """Every expression of every simple statement in functions and class bodies."""
        yield from self._blocks(self.tree.body, "")

    def _blocks(self, body: list[ast.stmt], owner: str) -> Iterator[Place]:
        for index, statement in enumerate(body):
            if isinstance(statement, (ast.ClassDef, ast.FunctionDef)):
                inner = f"{owner}.{statement.name}" if owner else statement.name
                yield from self._blocks(statement.body, inner)
            elif isinstance(statement, SIMPLE):
                if owner and not _is_text(statement):
                    yield from self._expressions(statement, owner, tuple(body[:index]))
            else:
                for name in ("body", "orelse", "finalbody"):
                    yield from self._blocks(getattr(statement, name, []), owner)

    def _expressions(
        self, statement: ast.stmt, owner: str, before: tuple[ast.stmt, ...]
    ) -> Iterator[Place]:
        def walk(node: ast.AST, above: tuple[ast.AST, ...]) -> Iterator[Place]:
            if isinstance(node, ast.expr):
                yield Place(self, owner, statement, node, above, before)
            for child in ast.iter_child_nodes(node):
                yield from walk(child, (*above, node))

        annotation = getattr(statement, "annotation", None)
        for child in ast.iter_child_nodes(statement):
            if child is not annotation:
                yield from walk(child, (statement,))

    def line_of(self, statement: ast.stmt) -> str:
        """The statement as it is written."""
        return ast.get_source_segment(self.text, statement) or ""

    def replaced(self, statement: ast.stmt, node: ast.expr, new: ast.expr) -> str:
        """The whole text with `new` in place of `node`; every other statement keeps its line."""
        lines = self.text.split("\n")
        start, end = node.lineno - 1, node.end_lineno - 1
        head = lines[start].encode()[: node.col_offset].decode()
        tail = lines[end].encode()[node.end_col_offset :].decode()
        lines[start : end + 1] = [head + written(new) + tail]
        after = statement.end_lineno - (end - start)
        lines[after:after] = [""] * (end - start)
        return "\n".join(lines)


def written(node: ast.expr) -> str:
    """The text of an expression, fit for any place."""
    text = ast.unparse(node)
    return text if isinstance(node, ATOMS) else f"({text})"


def _is_text(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def dotted(node: ast.AST | None) -> str:
    """`ops.cast` of a name or attribute chain, "" for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        base = dotted(node.value)
        return f"{base}.{node.attr}" if base else ""
    return ""


def called(node: ast.AST) -> str:
    """The dotted name of the function that an expression calls, "" for anything else."""
    return dotted(node.func) if isinstance(node, ast.Call) else ""


def changed(node: ast.expr, **fields: object) -> ast.expr:
    """A copy of an expression with other fields."""
    new = copy.copy(node)
    for name, value in fields.items():
        setattr(new, name, value)
    return new


def parsed(text: str, **names: ast.expr) -> ast.expr:
    """The expression that `text` says, with expressions in place of names."""

    class Fill(ast.NodeTransformer):
        def visit_Name(self, node: ast.Name) -> ast.expr:
            return names.get(node.id, node)

    return Fill().visit(ast.parse(text, mode="eval").body)


def same(a: ast.AST, b: ast.AST) -> bool:
    """Whether two expressions say the same."""
    return ast.dump(a) == ast.dump(b)


def names_in(node: ast.AST) -> set[str]:
    """Every name and attribute that an expression mentions."""
    return {
        each.id if isinstance(each, ast.Name) else each.attr
        for each in ast.walk(node)
        if isinstance(each, (ast.Name, ast.Attribute))
    }
