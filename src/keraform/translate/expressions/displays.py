"""Translation of displays: tuples, lists, sets and dicts that are written out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import libcst as cst

from keraform.translate.comments import split_comments
from keraform.translate.kinds import DICT, LIST, PY, TUPLE, UNKNOWN, Kind, join_all
from keraform.translate.layout import Doc, Group, Item, doc, forced
from keraform.translate.rules.record import Code

if TYPE_CHECKING:
    from keraform.translate.module import ModuleTranslator

STAR = Kind("unknown", name="star")


class DisplayTranslator:
    """Translates displays, with the comments beside and above their elements."""

    def __init__(self, module: ModuleTranslator):
        self.module = module

    def tuple_(self, node: cst.Tuple) -> Code:
        """`(a, b)`, and `a, b` without parentheses."""
        items, kinds = self.elements(node.elements)
        kind = TUPLE if STAR in kinds else Kind("tuple", items=kinds)
        footer = tuple(self.module.comments.take())
        if node.lpar:
            close = ",)" if len(items) == 1 else ")"
            return Code(doc(Group("(", items, close, _one_a_line(node), footer=footer)), kind)
        if len(items) == 1:
            return Code(doc(items[0].doc, ","), kind, 0)
        if not any(forced(item.doc) for item in items):
            return Code(doc(Group("", items, "")), kind, 0)
        document: Doc = ()
        for number, item in enumerate(items):
            document = doc(document, ", " if number else "", item.doc)
        return Code(document, kind, 0)

    def list_(self, node: cst.List) -> Code:
        """`[a, b]`."""
        self.module.comments.keep(node.lbracket.whitespace_after)
        items, kinds = self.elements(node.elements)
        self.module.comments.keep(node.rbracket.whitespace_before)
        kind = LIST if STAR in kinds else Kind("list", items=kinds)
        if kinds and all(k.tag == "layer" for k in kinds):
            kind = Kind("layers", name=join_all(kinds).name)
        footer = tuple(self.module.comments.take())
        return Code(doc(Group("[", items, "]", _one_a_line(node), footer=footer)), kind)

    def set_(self, node: cst.Set) -> Code:
        """`{a, b}`."""
        items, _ = self.elements(node.elements)
        return Code(doc(Group("{", items, "}", _one_a_line(node))), PY)

    def dict_(self, node: cst.Dict) -> Code:
        """`{key: value}`."""
        self.module.comments.keep(node.lbrace.whitespace_after)
        items, _ = self.elements([each for each in node.elements if not self.is_left_out(each)])
        self.module.comments.keep(node.rbrace.whitespace_before)
        footer = tuple(self.module.comments.take())
        return Code(doc(Group("{", items, "}", _one_a_line(node), footer=footer)), DICT)

    def is_left_out(self, element: cst.BaseDictElement) -> bool:
        """Whether an element of a dict is a class of flash attention, or the device of what a
        function makes with the others.
        """
        value = self.module.text(element.value)
        device = isinstance(element, cst.DictElement) and self.module.text(element.key)[1:-1]
        of_device = device == "device" and value.endswith("device")
        return of_device or value in self.module.analysis.flash_attention

    def elements(self, elements: object) -> tuple[list[Item], tuple[Kind, ...]]:
        """The items of a display, and their kinds."""
        items, kinds = [], []
        comments = self.module.comments
        for element in elements:  # type: ignore[attr-defined]
            above = comments.take()
            item, kind = self.element(element)
            item.above = (*above, *comments.take())
            if isinstance(element.comma, cst.Comma):
                item.beside, rest = split_comments(element.comma.whitespace_after)
                comments.pending.extend(rest)
            items.append(item)
            kinds.append(kind)
        return items, tuple(kinds)

    def element(self, element: cst.CSTNode) -> tuple[Item, Kind]:
        """One element."""
        code = self.module.expressions
        if isinstance(element, cst.StarredElement):
            return Item(doc("*", code(element.value).operand(5))), STAR
        if isinstance(element, cst.StarredDictElement):
            return Item(doc("**", code(element.value).operand(5))), UNKNOWN
        if isinstance(element, cst.DictElement):
            key, value = code(element.key), code(element.value)
            return Item(doc(key.doc, ": ", value.whole)), value.kind
        assert isinstance(element, cst.Element)
        value = code(element.value)
        return Item(value.whole), value.kind


def _one_a_line(node: cst.Tuple | cst.List | cst.Set | cst.Dict) -> bool:
    """Whether the source wrote one element a line, closed by a comma (the formatters' magic
    comma).
    """
    elements = node.elements
    if not elements or (len(elements) < 2 and isinstance(node, cst.Tuple)):
        return False
    if not isinstance(elements[-1].comma, cst.Comma):
        return False
    if isinstance(node, cst.Tuple):
        closing = node.rpar[-1]
    else:
        closing = node.rbracket if isinstance(node, cst.List) else node.rbrace
    return isinstance(closing.whitespace_before, cst.ParenthesizedWhitespace)
