"""Breaks a docstring's long lines: the tables' text is as wide as its writers liked."""

from __future__ import annotations

import re
import textwrap

from keraform.translate.docstring_words import CODE_BLOCK

# 100 columns less the indentation of a method's body.
WIDTH = 92

_BULLET = re.compile(r"^(?:[-*] |\d+\. )")
_HEAD = re.compile(
    r"^\w+ \(.*\):$"
)  # the head of an entry stays in one piece, so that tools can read it
_VERBATIM = re.compile(r"^(?:>>>|\.\.\. |\||<)")


def reflow(text: str, width: int = WIDTH) -> str:
    """Wraps every paragraph that has a line wider than the limit; all others stay as they are.

    Args:
        text: A docstring without its outer indentation.
        width: The widest line that may stand.

    Returns:
        The text; code blocks, tables and the heads of entries are untouched.
    """
    parts = CODE_BLOCK.split(text)
    return "".join(part if index % 2 else _prose(part, width) for index, part in enumerate(parts))


def _prose(text: str, width: int) -> str:
    lines: list[str] = []
    paragraph: list[str] = []
    for line in [*text.split("\n"), None]:
        if line is not None and _continues(paragraph, line):
            paragraph.append(line)
            continue
        lines.extend(_wrap(paragraph, width))
        paragraph = [] if line is None else [line]
    return "\n".join(lines)


def _continues(paragraph: list[str], line: str) -> bool:
    """Whether a line belongs to the paragraph before it: the same indentation, or a bullet's
    hanging one.
    """
    if not paragraph or not paragraph[0].strip() or not line.strip():
        return False
    first, stripped = paragraph[0].lstrip(), line.lstrip()
    if any(pattern.match(each) for pattern in (_HEAD, _VERBATIM) for each in (first, stripped)):
        return False
    indent = len(line) - len(stripped)
    return not _BULLET.match(stripped) and indent == _hanging(paragraph[0])


def _hanging(line: str) -> int:
    stripped = line.lstrip()
    match = _BULLET.match(stripped)
    return len(line) - len(stripped) + (len(match.group(0)) if match else 0)


def _wrap(paragraph: list[str], width: int) -> list[str]:
    if not paragraph or all(len(line) <= width for line in paragraph):
        return paragraph
    first = paragraph[0].lstrip()
    if _HEAD.match(first) or _VERBATIM.match(first):
        return paragraph
    indent = " " * (len(paragraph[0]) - len(first))
    return textwrap.wrap(
        " ".join(line.strip() for line in paragraph),
        width=width,
        initial_indent=indent,
        subsequent_indent=" " * _hanging(paragraph[0]),
        break_long_words=False,
        break_on_hyphens=False,
    )
