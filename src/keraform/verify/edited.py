"""Edited ports: which statement of a port a statement of an edited copy of it is, and so which
torch line it comes from.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from keraform.verify.localising.alignment import Lines
from keraform.verify.localising.statements import Statement, instrument


@dataclass(frozen=True)
class EditedLines:
    """The line map of an edited copy; what was added to it comes from nowhere.

    Args:
        unedited: the line of the port that each line of the copy is.
        lines: the line map of the port.
    """

    unedited: dict[int, int]
    lines: Lines

    def torch_line(self, port_line: int) -> int | None:
        """The first line of the source statement."""
        line = self.unedited.get(port_line)
        return None if line is None else self.lines.torch_line(line)

    def rules(self, port_line: int) -> tuple[str, ...]:
        """The ids of the rules that wrote the statement before it was edited."""
        line = self.unedited.get(port_line)
        return () if line is None else self.lines.rules(line)


def edited_lines(edited: str, port: str, lines: Lines) -> EditedLines:
    """The line map of an edited copy of a port.

    Statements are aligned, not lines: comments and line breaks change nothing.

    Args:
        edited: the text of the copy.
        port: the text of the port.
        lines: the line map of the port.
    """
    one, other = (instrument(text, "").statements for text in (edited, port))
    return EditedLines({a.line: b.line for a, b in _aligned(one, other, KEYS)}, lines)


def _text(statement: Statement) -> str:
    return "".join(statement.text.split())


# What makes two statements the same one, the surest first. What stands between those that are the
# same by one of them is looked at by the next; in the end, an equal number goes by position.
KEYS: tuple[Callable[[Statement], Hashable], ...] = (
    lambda each: (each.function, _text(each)),
    _text,
    lambda each: each.targets or each.text.split()[0],
)


def _aligned(
    one: Sequence[Statement],
    other: Sequence[Statement],
    keys: Sequence[Callable[[Statement], Hashable]],
) -> Iterator[tuple[Statement, Statement]]:
    if not keys:
        if len(one) == len(other):
            yield from zip(one, other, strict=True)
        return
    key, *rest = keys
    matcher = SequenceMatcher(None, [*map(key, one)], [*map(key, other)], autojunk=False)
    for same, a, a_end, b, b_end in matcher.get_opcodes():
        mine, its = one[a:a_end], other[b:b_end]
        yield from zip(mine, its, strict=True) if same == "equal" else _aligned(mine, its, rest)
