"""Comments: those inside an expression, kept for the line above the statement, and their count."""

from __future__ import annotations

import io
import tokenize
from collections import Counter

import libcst as cst


def comments_of(code: str) -> Counter[str]:
    """The comments of a file, and how often each of them stands there."""
    tokens = tokenize.generate_tokens(io.StringIO(code).readline)
    return Counter(token.string.strip() for token in tokens if token.type == tokenize.COMMENT)


class Comments:
    """Collects the comments of the statement that is being translated."""

    def __init__(self) -> None:
        self.pending: list[str] = []

    def keep(self, *nodes: object) -> None:
        """Keeps the comments that stand in `nodes`, which may be sequences of nodes."""
        for node in nodes:
            if isinstance(node, cst.SimpleWhitespace):
                continue
            if isinstance(node, (list, tuple)):
                self.keep(*node)
            elif isinstance(node, cst.CSTNode):
                self.pending.extend(_comments(node))

    def take(self) -> list[str]:
        """The kept comments, once."""
        result, self.pending = self.pending, []
        return result


def split_comments(whitespace: cst.BaseParenthesizableWhitespace) -> tuple[str, list[str]]:
    """The comment beside an element, and those on the lines after it."""
    if not isinstance(whitespace, cst.ParenthesizedWhitespace):
        return "", []
    first = whitespace.first_line.comment
    rest = [line.comment.value for line in whitespace.empty_lines if line.comment is not None]
    return first.value if first is not None else "", rest


def leading(empty_lines: object, indent: str) -> list[str]:
    """Blank lines and comments above a statement."""
    return [
        indent + line.comment.value if line.comment is not None else ""
        for line in empty_lines  # type: ignore[attr-defined]
    ]


def _comments(node: cst.CSTNode) -> list[str]:
    if isinstance(node, cst.Comment):
        return [node.value]
    return [comment for child in node.children for comment in _comments(child)]
