"""The door of expressions: which translator takes which sort of node."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import libcst as cst

from keraform.translate.expressions.attributes import AttributeTranslator
from keraform.translate.expressions.comprehensions import ComprehensionTranslator
from keraform.translate.expressions.conditions import ConditionTranslator
from keraform.translate.expressions.displays import DisplayTranslator
from keraform.translate.expressions.literals import LiteralTranslator
from keraform.translate.expressions.names import NameTranslator
from keraform.translate.expressions.operators import OperatorTranslator
from keraform.translate.kinds import UNKNOWN
from keraform.translate.layout import doc
from keraform.translate.rules.record import ATOM, Code, Refusal

if TYPE_CHECKING:
    from keraform.translate.module import ModuleTranslator


class ExpressionTranslator:
    """Translates the expressions of one file."""

    def __init__(self, module: ModuleTranslator):
        self.module = module
        self.names = NameTranslator(module)
        self.attributes = AttributeTranslator(module)
        self.operators = OperatorTranslator(module)
        self.conditions = ConditionTranslator(module)
        literals = LiteralTranslator(module)
        displays = DisplayTranslator(module)
        comprehensions = ComprehensionTranslator(module)
        self.handlers: dict[type, Callable[..., Code]] = {
            cst.Name: self.names.name,
            cst.Attribute: self.attributes.attribute,
            cst.Integer: literals.number,
            cst.Float: literals.number,
            cst.Imaginary: literals.number,
            cst.SimpleString: literals.string,
            cst.ConcatenatedString: literals.concatenated,
            cst.FormattedString: literals.formatted,
            cst.Ellipsis: literals.ellipsis,
            cst.Tuple: displays.tuple_,
            cst.List: displays.list_,
            cst.Set: displays.set_,
            cst.Dict: displays.dict_,
            cst.BinaryOperation: self.operators.binary,
            cst.UnaryOperation: self.operators.unary,
            cst.BooleanOperation: self.conditions.boolean,
            cst.Comparison: self.conditions.comparison,
            cst.IfExp: self.conditions.if_expression,
            cst.ListComp: comprehensions.comprehension,
            cst.GeneratorExp: comprehensions.comprehension,
            cst.SetComp: comprehensions.comprehension,
            cst.DictComp: comprehensions.dict_comprehension,
            cst.Lambda: comprehensions.lambda_,
            cst.NamedExpr: comprehensions.walrus,
            cst.Call: module.calls.call,
            cst.Subscript: module.subscripts.subscript,
            cst.Await: self.verbatim,
            cst.Yield: self.yield_,
        }

    def __call__(self, node: cst.BaseExpression) -> Code:
        """Translates one expression."""
        handler = self.handlers.get(type(node))
        if handler is None:
            raise Refusal("python", f"no translation for {type(node).__name__}")
        code = handler(node)
        parenthesized = bool(node.lpar)  # type: ignore[attr-defined]
        if parenthesized:
            self.module.comments.keep(node.lpar, node.rpar)  # type: ignore[attr-defined]
        return Code(
            code.doc,
            self.module.recorded.refine(node, code.kind),
            code.precedence,
            parenthesized and not isinstance(node, cst.Tuple) and not _became_call(node, code),
            code.star,
        )

    def yield_(self, node: cst.Yield) -> Code:
        value = self(node.value) if isinstance(node.value, cst.BaseExpression) else None
        return Code(doc("yield ", value.doc) if value else ("yield",), UNKNOWN, 0)

    def verbatim(self, node: cst.BaseExpression) -> Code:
        return Code((self.module.text(node),), UNKNOWN)


def _became_call(node: cst.BaseExpression, code: Code) -> bool:
    """Whether an operator is a function in the port, which needs no parentheses around it."""
    return isinstance(node, (cst.BinaryOperation, cst.Comparison)) and code.precedence == ATOM
