"""The arguments of calls: by keyword for rules, or as they are written, with their comments."""

from __future__ import annotations

from typing import TYPE_CHECKING

import libcst as cst

from keraform.translate.comments import split_comments
from keraform.translate.kinds import DEVICE, DEVICE_NAMES, Kind
from keraform.translate.layout import Item, doc
from keraform.translate.rules.record import Arguments, Code

if TYPE_CHECKING:
    from keraform.translate.module import ModuleTranslator


class ArgumentTranslator:
    """Translates the arguments of calls; devices are left out."""

    def __init__(self, module: ModuleTranslator):
        self.module = module
        self.kinds: list[Kind] = []  # of the call whose items were made last

    def __call__(self, node: cst.Call) -> Arguments:
        """The arguments with their keywords, as `bind` takes them."""
        result: Arguments = []
        for arg in node.args:
            code = self.module.expressions(arg.value)
            if isinstance(arg.comma, cst.Comma):
                self.module.comments.keep(arg.comma.whitespace_after)
            self.module.comments.keep(arg.whitespace_after_arg)
            if _is_device(arg, code):
                continue
            code = Code(code.doc, code.kind, code.precedence, code.parenthesized, arg.star)
            result.append((arg.keyword.value if arg.keyword else None, code))
        self.module.comments.keep(node.whitespace_before_args)
        return result

    def items(self, node: cst.Call) -> tuple[list[Item], bool, tuple[str, ...]]:
        """The arguments as they are written, with comments beside them; whether they stand one a
        line; the footer.
        """
        comments = self.module.comments
        outer = comments.take()
        comments.keep(node.whitespace_before_args)
        kinds: list[Kind] = []
        items = [item for arg in node.args if (item := self.item(arg, kinds)) is not None]
        self.kinds = kinds
        footer = tuple(comments.take())
        comments.pending.extend(outer)
        return items, bool(items) and _one_a_line(node), footer

    def item(self, arg: cst.Arg, kinds: list[Kind]) -> Item | None:
        """One argument, whose kind is added to `kinds`; the comments of one that is left out go to
        the next.
        """
        comments = self.module.comments
        above = tuple(comments.take())
        code = self.module.expressions(arg.value)
        kinds.append(code.kind)
        beside = ""
        if isinstance(arg.comma, cst.Comma):
            beside, rest = split_comments(arg.comma.whitespace_after)
            above = (*above, *comments.take())
            comments.pending.extend(rest)
        after_beside, after = split_comments(arg.whitespace_after_arg)
        beside = beside or after_beside
        if _is_device(arg, code):
            comments.pending[:0] = [*above, *([beside] if beside else [])]
            return None
        prefix = f"{arg.keyword.value}=" if arg.keyword else arg.star
        comments.pending.extend(after)
        return Item(doc(prefix, code.operand(5) if arg.star else code.whole), above, beside)


def _is_device(arg: cst.Arg, code: Code) -> bool:
    named = arg.keyword is not None and arg.keyword.value in DEVICE_NAMES
    return named or code.kind == DEVICE


def _one_a_line(node: cst.Call) -> bool:
    """Whether the source wrote one argument a line, closed by a comma."""
    last = node.args[-1]
    return isinstance(last.comma, cst.Comma) and (
        isinstance(last.whitespace_after_arg, cst.ParenthesizedWhitespace)
        or isinstance(last.comma.whitespace_after, cst.ParenthesizedWhitespace)
    )
