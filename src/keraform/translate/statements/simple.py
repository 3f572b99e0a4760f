"""Translation of simple statements: expressions, `return`, `raise`, `assert`, `del`, imports."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import libcst as cst

from keraform.translate.analysis import import_origins
from keraform.translate.calls.methods import PLACING
from keraform.translate.kinds import DEVICE, Kind
from keraform.translate.layout import WIDTH, Doc, doc, statement
from keraform.translate.mutators import changed_name
from keraform.translate.rules.seams import DROPPED_CALLS, HOOKS
from keraform.translate.rules.torch_names import canonical
from keraform.translate.statements.assignments import AssignmentTranslator
from keraform.translate.statements.in_place import InPlaceTranslator

if TYPE_CHECKING:
    from keraform.translate.module import ModuleTranslator


class SimpleStatementTranslator:
    """Translates statements that stand on one line; None is a statement that vanishes."""

    def __init__(self, module: ModuleTranslator):
        self.module = module
        self.in_place = InPlaceTranslator(module)
        self.assignments = assignments = AssignmentTranslator(module)
        self.handlers: dict[type, Callable[..., Doc | None]] = {
            cst.Expr: self.expression,
            cst.Assign: assignments.assign,
            cst.AnnAssign: assignments.annotated,
            cst.AugAssign: assignments.augmented,
            cst.Return: self.return_,
            cst.Raise: self.raise_,
            cst.Assert: self.assert_,
            cst.Import: self.import_,
            cst.ImportFrom: self.import_,
            cst.Del: self.del_,
        }

    def line(self, node: cst.SimpleStatementLine, indent: str) -> list[str]:
        """The lines of the statements of one line, with the comment behind them."""
        trailing = node.trailing_whitespace.comment
        suffix = f"  {trailing.value}" if trailing is not None else ""
        return [text for small in node.body for text in self.statement(small, indent, suffix)]

    def statement(self, node: cst.BaseSmallStatement, indent: str, suffix: str) -> list[str]:
        """The lines of a statement, of more than one in the port where parts of tensors are
        unpacked into.
        """
        parts = self.assignments.parts(node) if isinstance(node, cst.Assign) else None
        handler = self.handlers.get(type(node), self.verbatim)
        documents = [handler(node)] if parts is None else parts
        lines = [
            line
            for document in documents
            if document is not None
            for line in (indent + statement(document, indent)).split("\n")
        ]
        if not lines:
            return []
        if suffix and len(lines) == 1 and len(lines[0]) + len(suffix) > WIDTH:
            return [indent + suffix.strip(), *lines]
        lines[-1] += suffix
        return lines

    def verbatim(self, node: cst.BaseSmallStatement) -> Doc:
        """`pass`, `break`, `continue`, `global`."""
        return (self.module.text(node).rstrip(";").strip(),)

    def expression(self, node: cst.Expr) -> Doc | None:
        """An expression statement: docstrings, in-place methods, calls."""
        value = node.value
        if isinstance(value, (cst.SimpleString, cst.ConcatenatedString)):
            return (self.module.text(value),)
        if isinstance(value, cst.Call):
            if self.is_dropped(value.func):
                return None
            document = self.of_module(value)
            if document is None:
                document = self.in_place.call(value)
            if document is not None:
                return document
            changed = changed_name(value, self.module.mutators)
            if changed is not None:
                return doc(f"{changed} = ", self.module.expressions(value).doc)
        code = self.module.expressions(value)
        placed = isinstance(value, cst.Call) and _is_place(value.func, code.kind)
        return None if placed or code.kind == DEVICE else code.doc

    def is_dropped(self, func: cst.BaseExpression) -> bool:
        """Whether a call is of no use in a port."""
        if isinstance(func, cst.Attribute) and func.attr.value in HOOKS:
            return True
        dotted = self.module.dotted(func)
        name = (canonical(dotted) or dotted) if dotted is not None else ""
        return name in DROPPED_CALLS or name.rsplit(".", 1)[-1] in DROPPED_CALLS

    def of_module(self, node: cst.Call) -> Doc | None:
        """`module.requires_grad_(False)` is an assignment; None for other calls."""
        func = node.func
        if not isinstance(func, cst.Attribute) or func.attr.value != "requires_grad_":
            return None
        value = self.module.expressions(node.args[0].value).doc if node.args else ("True",)
        return doc(self.module.expressions(func.value).operand(), ".trainable = ", value)

    def return_(self, node: cst.Return) -> Doc:
        if node.value is None:
            return ("return",)
        value = self.module.expressions(node.value)
        function = self.module.scope.function
        if function is not None:
            self.module.learned.note_result(self.module.line_of(function), value.kind)
        return doc("return ", value.doc)

    def raise_(self, node: cst.Raise) -> Doc:
        if node.exc is None:
            return ("raise",)
        document = doc("raise ", self.module.expressions(node.exc).doc)
        if node.cause is None:
            return document
        return doc(document, " from ", self.module.expressions(node.cause.item).doc)

    def assert_(self, node: cst.Assert) -> Doc | None:
        """An assertion; one about sizes or tensors cannot be decided in a graph and vanishes."""
        test, symbolic = self.module.expressions.conditions.test(node.test)
        if symbolic:
            return None
        message = doc(", ", self.module.expressions(node.msg).doc) if node.msg else ()
        return doc("assert ", test.whole, message)

    def import_(self, node: cst.Import | cst.ImportFrom) -> None:
        """Imports are collected; they stand at the top of the port."""
        for local, origin in import_origins(node, self.module.source.module):
            self.module.imports.bind(local, origin)

    def del_(self, node: cst.Del) -> Doc:
        return doc("del ", self.module.expressions(node.target).doc)


def _is_place(func: cst.BaseExpression, kind: Kind) -> bool:
    """Whether a call only moves a module to a device or a dtype, or out of training."""
    if not isinstance(func, cst.Attribute):
        return False
    return func.attr.value == "eval" or (kind.tag == "layer" and func.attr.value in PLACING)
