"""A statement in its file: the lines around it, coloured, with their numbers."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from pygments.lexers import PythonLexer
from pygments.token import Token, _TokenType

from keraform.verify.findings import Place

CONTEXT = 6

# Which tokens have a colour; the first that contains a token's type decides.
KINDS: tuple[tuple[_TokenType, str], ...] = (
    (Token.Comment, "c"),
    (Token.Literal.String, "s"),
    (Token.Literal.Number, "n"),
    (Token.Keyword, "k"),
    (Token.Operator.Word, "k"),
    (Token.Name.Function, "f"),
    (Token.Name.Class, "f"),
    (Token.Name.Decorator, "d"),
)

Piece = tuple[str, str]  # the colour's class or "", the text


@dataclass(frozen=True)
class Line:
    """A line in pieces; `guilty` where it belongs to the statement."""

    number: int
    pieces: tuple[Piece, ...]
    guilty: bool


@dataclass(frozen=True)
class Listing:
    """Lines of a file; `inside` is the function that they are in, "" where that is not known."""

    file: str
    line: int
    inside: str
    lines: tuple[Line, ...]


def listing(place: Place) -> Listing:
    """The statement with the lines around it; alone where the file is gone or has changed."""
    guilty = range(place.line, place.line + place.text.count("\n") + 1)
    text = _read(place)
    if text is None:
        first, shown = place.line, colour(place.text)
    else:
        first = max(1, place.line - CONTEXT)
        shown = colour(text)[first - 1 : guilty.stop - 1 + CONTEXT]
    lines = tuple(Line(n, pieces, n in guilty) for n, pieces in enumerate(shown, first))
    return Listing(place.file, place.line, enclosing(text or "", place.line), lines)


def _read(place: Place) -> str | None:
    """The file's text, if the statement still begins at its line."""
    try:
        text = Path(place.file).read_text("utf-8")
    except (OSError, ValueError):
        return None
    lines = text.split("\n")[place.line - 1 : place.line]
    begin = place.text.split("\n")[0].strip()
    return text if lines and begin in lines[0] else None


@lru_cache(maxsize=8)
def colour(text: str) -> tuple[tuple[Piece, ...], ...]:
    """Python source as lines of coloured pieces."""
    lines: list[list[Piece]] = [[]]
    for kind, piece in PythonLexer(stripnl=False, ensurenl=False).get_tokens(text):
        name = next((name for token, name in KINDS if kind in token), "")
        head, *rest = piece.split("\n")
        lines[-1].append((name, head))
        lines += [[(name, part)] for part in rest]
    return tuple(tuple(piece for piece in line if piece[1]) for line in lines)


def enclosing(text: str, line: int) -> str:
    """The definition that a line is in, such as `BertSelfAttention.forward`."""
    try:
        body: Sequence[ast.AST] = ast.parse(text).body
    except (SyntaxError, ValueError):
        return ""
    names: list[str] = []
    while True:
        inner = next((node for node in body if _holds(node, line)), None)
        if inner is None:
            return ".".join(names)
        if isinstance(inner, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            names.append(inner.name)
        body = list(ast.iter_child_nodes(inner))


def _holds(node: ast.AST, line: int) -> bool:
    return getattr(node, "lineno", line + 1) <= line <= (getattr(node, "end_lineno", 0) or 0)
