"""Text of the generated code: a small document tree, laid out the way a formatter would, without
running one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

WIDTH = 119


@dataclass(slots=True)
class Item:
    """One element between brackets, with the comments that stand beside or above it."""

    doc: Doc
    above: tuple[str, ...] = ()
    beside: str = ""


@dataclass(slots=True)
class Group:
    """A bracketed list of items; `exploded` puts every item on its own line whatever the width."""

    open: str
    items: list[Item]
    close: str
    exploded: bool = False
    trailing_comma: bool = True
    footer: tuple[str, ...] = ()
    _flat: str | None = field(default=None, repr=False)

    @property
    def flat(self) -> str:
        """The group on one line."""
        if self._flat is None:
            inner = ", ".join(flat(item.doc) for item in self.items)
            if (
                self.open == "("
                and self.trailing_comma
                and len(self.items) == 1
                and self.close == ",)"
            ):
                self._flat = f"({inner},)"
            else:
                self._flat = f"{self.open}{inner}{self.close}"
        return self._flat

    @property
    def must_explode(self) -> bool:
        """Whether the group cannot stand on one line."""
        return (
            self.exploded
            or bool(self.footer)
            or any(item.above or item.beside or forced(item.doc) for item in self.items)
        )


@dataclass(frozen=True, slots=True)
class Break:
    """A place where a long expression may continue on a new line (before an operator or keyword).

    `level` is the precedence of the operator: the loosest ones are broken first.
    """

    text: str
    level: int = 0


Part = str | Group | Break
Doc = tuple[Part, ...]


def doc(*parts: str | Group | Break | Doc) -> Doc:
    """Joins texts, groups and documents into one document."""
    result: list[Part] = []
    for part in parts:
        if isinstance(part, tuple):
            result.extend(part)
        elif part != "":
            result.append(part)
    return tuple(result)


def flat(document: Doc) -> str:
    """The document on one line."""
    return "".join(
        part if isinstance(part, str) else part.text if isinstance(part, Break) else part.flat
        for part in document
    )


def forced(document: Doc) -> bool:
    """Whether the document needs more than one line."""
    return any(
        (isinstance(part, Group) and part.must_explode) or (isinstance(part, str) and "\n" in part)
        for part in document
    )


def begins(document: Doc, text: str) -> bool:
    """Whether the document begins with a text."""
    return bool(document) and isinstance(document[0], str) and document[0].startswith(text)


def group(open_: str, docs: Iterable[Doc], close: str, **options: Any) -> Group:
    """A group of plain items."""
    return Group(open_, [Item(d) for d in docs], close, **options)


def called(function: str, *arguments: Doc) -> Doc:
    """`function(a, b)`."""
    return doc(function, group("(", arguments, ")"))


def render(document: Doc, indent: str, suffix: str = "", width: int = WIDTH) -> str:
    """Lays the document out from column `len(indent)`; the first line has no indent of its own."""
    line = flat(document)
    if not forced(document) and len(indent) + len(line) + len(suffix) <= width:
        return line
    groups = [i for i, part in enumerate(document) if isinstance(part, Group) and part.items]
    must = [i for i in groups if document[i].must_explode]
    if not groups:
        return line
    if must:
        return "".join(
            _explode(part, indent, width)
            if isinstance(part, Group) and i in must
            else flat((part,))
            for i, part in enumerate(document)
        )
    for chosen in reversed(groups):
        head = flat(document[:chosen])
        tail = flat(document[chosen + 1 :]) + suffix
        part = document[chosen]
        assert isinstance(part, Group)
        if (
            len(indent) + len(head) + len(part.open) <= width
            and len(indent) + len(part.close) + len(tail) <= width
        ):
            return head + _explode(part, indent, width) + flat(document[chosen + 1 :])
    # No single bracket brings every line under the width: explode the outer ones from the right
    # until it fits.
    chosen = groups[-1]
    part = document[chosen]
    assert isinstance(part, Group)
    head_text = render(document[:chosen], indent, part.open, width)
    return head_text + _explode(part, indent, width) + flat(document[chosen + 1 :])


def _explode(part: Group, indent: str, width: int) -> str:
    inner = indent + "    "
    # a tuple without parentheses gets them when it stands on several lines
    open_, close = part.open or "(", part.close.lstrip(",") or ")"
    if not part.must_explode:
        body = ", ".join(flat(item.doc) for item in part.items)
        comma = "," if part.close == ",)" else ""
        if len(inner) + len(body) + len(comma) <= width:
            return f"{open_}\n{inner}{body}{comma}\n{indent}{close}"
        if len(part.items) == 1 and part.close != ",)":
            only = split_operators(part.items[0].doc, inner, width)
            return f"{open_}\n{inner}{only}\n{indent}{close}"
    lines: list[str] = []
    for number, item in enumerate(part.items):
        lines.extend(inner + comment for comment in item.above)
        last = number == len(part.items) - 1
        comma = "," if not last or part.trailing_comma else ""
        text = render(item.doc, inner, comma, width)
        if "\n" not in text and len(inner) + len(text) + 1 > width and _has_break(item.doc):
            text = split_operators(item.doc, inner, width)
        lines.append(f"{inner}{text}{comma}" + (f"  {item.beside}" if item.beside else ""))
    lines.extend(inner + comment for comment in part.footer)
    return f"{open_}\n" + "\n".join(lines) + f"\n{indent}{close}"


def _has_break(document: Doc) -> bool:
    return any(isinstance(part, Break) for part in document)


def split_operators(document: Doc, indent: str, width: int = WIDTH) -> str:
    """Lays a long expression out with a new line before each of its operators."""
    if (len(indent) + len(flat(document)) <= width and not forced(document)) or not _has_break(
        document
    ):
        return render(document, indent, "", width)
    loosest = min(part.level for part in document if isinstance(part, Break))
    lines: list[Doc] = [()]
    for part in document:
        if isinstance(part, Break) and part.level == loosest:
            lines.append((part.text.lstrip(),))
        else:
            lines[-1] = (*lines[-1], part)
    return f"\n{indent}".join(render(line, indent, "", width).rstrip() for line in lines)


def statement(document: Doc, indent: str, width: int = WIDTH, suffix: str = "") -> str:
    """Lays out a simple statement; a long value with operators is split at them, between
    parentheses.
    """
    text = render(document, indent, suffix, width)
    fits = max(len(line) for line in (indent + text + suffix).split("\n")) <= width
    if (fits and "\n" not in text) or not _has_break(document):
        return text
    if fits and (forced(document) or not _splits_at_operators(document)):
        return text
    for number, part in enumerate(document):
        if isinstance(part, str) and (part.endswith(" = ") or part == "return "):
            head, value = document[: number + 1], document[number + 1 :]
            inner = indent + "    "
            return f"{flat(head)}(\n{inner}{split_operators(value, inner, width)}\n{indent})"
    return text


def _splits_at_operators(document: Doc) -> bool:
    """Whether formatters prefer to split at operators: a conditional expression, or more than one
    operator.
    """
    breaks = [part.text for part in document if isinstance(part, Break)]
    return len(breaks) > 1 or any(text.startswith(" if") for text in breaks)
