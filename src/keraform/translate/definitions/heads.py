"""The first lines of a definition, and its last."""

from __future__ import annotations

import libcst as cst

from keraform.translate.comments import leading
from keraform.translate.layout import Doc, statement


def head_lines(document: Doc, node: cst.FunctionDef | cst.ClassDef, indent: str) -> list[str]:
    """The lines of `def f(...):` or `class C(...):`, with the comments above and beside it."""
    above = [line for line in leading(node.lines_after_decorators, indent) if line]
    lines = (indent + statement(document, indent)).split("\n")
    comment = node.body.header.comment if isinstance(node.body, cst.IndentedBlock) else None
    if comment is not None:
        lines[-1] += f"  {comment.value}"
    return [*above, *lines]


def drop_needless_pass(lines: list[str], doc_lines: list[str], indent: str) -> list[str]:
    """The lines of a definition without a `pass` that its docstring makes needless."""
    if doc_lines and lines[-1] == f"{indent}    pass":
        return lines[:-1]
    return lines
