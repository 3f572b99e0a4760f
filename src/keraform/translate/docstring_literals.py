"""Docstrings as literals of the source and of the port."""

from __future__ import annotations

from collections.abc import Sequence

import libcst as cst


def literal_docstring(statements: Sequence[cst.CSTNode]) -> str | None:
    """The docstring that statements begin with, with its quotes."""
    first = statements[0] if statements else None
    if not isinstance(first, cst.SimpleStatementLine) or len(first.body) != 1:
        return None
    value = first.body[0].value if isinstance(first.body[0], cst.Expr) else None
    return value.value if isinstance(value, cst.SimpleString) else None


def split_docstring(body: cst.BaseSuite) -> tuple[str | None, cst.BaseSuite]:
    """The docstring of a body, and the body without it and without the comment behind its colon."""
    if not isinstance(body, cst.IndentedBlock):
        return None, body
    text = literal_docstring(body.body)
    rest = body.body if text is None else body.body[1:]
    return text, body.with_changes(header=cst.TrailingWhitespace(), body=rest)


def docstring_lines(literal: str | None, indent: str) -> list[str]:
    """The lines of a docstring literal; the text keeps its own indentation."""
    return (indent + literal).split("\n") if literal else []


def content(literal: str | None) -> str | None:
    """The text of a docstring literal."""
    if literal is None:
        return None
    return str(cst.ensure_type(cst.parse_expression(literal), cst.SimpleString).evaluated_value)


def quoted(text: str, indent: str) -> str:
    """A docstring literal, indented for its place."""
    lines = [indent + line if line.strip() else "" for line in text.strip("\n").split("\n")]
    body = "\n".join(lines).strip()
    prefix = "r" if "\\" in body else ""
    if "\n" not in body:
        return f'{prefix}"""{body}"""'
    return f'{prefix}"""{body}\n{indent}"""'
