"""Translation of literals: numbers and strings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import libcst as cst

from keraform.translate.kinds import FLOAT, INT, PY, STR
from keraform.translate.layout import Break, Doc, doc
from keraform.translate.rules.record import Code

if TYPE_CHECKING:
    from keraform.translate.module import ModuleTranslator


class LiteralTranslator:
    """Translates literals; expressions inside f-strings are translated too."""

    def __init__(self, module: ModuleTranslator):
        self.module = module

    def number(self, node: cst.Integer | cst.Float | cst.Imaginary) -> Code:
        return Code((node.value,), INT if isinstance(node, cst.Integer) else FLOAT)

    def string(self, node: cst.SimpleString) -> Code:
        return Code((node.value,), STR)

    def ellipsis(self, _node: cst.Ellipsis) -> Code:
        return Code(("...",), PY)

    def concatenated(self, node: cst.ConcatenatedString) -> Code:
        """`"a" "b"`, which may stand on several lines."""
        parts: list[cst.BaseExpression] = []
        current: cst.BaseExpression = node
        while isinstance(current, cst.ConcatenatedString):
            parts.append(current.left)
            self.module.comments.keep(current.whitespace_between)
            current = current.right
        first, *rest = [self.module.expressions(part) for part in (*parts, current)]
        document: Doc = first.doc
        for code in rest:
            document = doc(document, Break(" ", 13), code.doc)
        return Code(document, STR, 13)

    def formatted(self, node: cst.FormattedString) -> Code:
        """`f"{x}"`."""
        text = node.start
        for part in node.parts:
            if isinstance(part, cst.FormattedStringText):
                text += part.value
            else:
                text += self.replacement(part, node.end)
        return Code((text + node.end,), STR)

    def replacement(self, node: cst.FormattedStringExpression, end: str) -> str:
        """`{x!r:>3}` inside a string that `end` closes."""
        inner = self.module.expressions(node.expression).text
        quote = end[0]
        if quote in inner and len(end) == 1:
            inner = inner.replace(quote, "'" if quote == '"' else '"')
        if inner.startswith("{"):
            inner = " " + inner
        written = self.module.text(node)
        tail = written[len("{" + self.module.text(node.expression)) : -1]
        return "{" + inner + tail.strip() + "}"
