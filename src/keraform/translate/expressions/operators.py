"""Translation of operators between values: arithmetic, bits, signs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import libcst as cst

from keraform.translate.expressions.promotion import (
    becomes_float,
    function_for,
    may_be_of_bits,
    needs_function,
    promoted,
)
from keraform.translate.kinds import FLOAT, INT, NUMBERS, Kind
from keraform.translate.layout import Break, Group, Item, called, doc
from keraform.translate.rules.record import Code

if TYPE_CHECKING:
    from keraform.translate.module import ModuleTranslator

# An operator's symbol, precedence, and function of `keras.ops`.
BINARY = {
    cst.Add: ("+", 9, "add"),
    cst.Subtract: ("-", 9, "subtract"),
    cst.Multiply: ("*", 10, "multiply"),
    cst.Divide: ("/", 10, "divide"),
    cst.FloorDivide: ("//", 10, "floor_divide"),
    cst.Modulo: ("%", 10, "mod"),
    cst.MatrixMultiply: ("@", 10, "matmul"),
    cst.Power: ("**", 12, "power"),
    cst.BitAnd: ("&", 7, "logical_and"),
    cst.BitOr: ("|", 5, "logical_or"),
    cst.BitXor: ("^", 6, "logical_xor"),
    cst.LeftShift: ("<<", 8, "left_shift"),
    cst.RightShift: (">>", 8, "right_shift"),
}
# Operators that a helper decides when the code runs, and the helper.
DECIDED = {"+": "add", "-": "sub", "*": "mul", "/": "truediv", "&": "and_", "|": "or_", "^": "xor"}
UNARY = {cst.Minus: "-", cst.Plus: "+", cst.BitInvert: "~"}
# NumPy's functions of numbers: what they give is a float to torch, and of float64 to Keras.
OF_NUMBERS = {f"numpy.{name}": f"math.{name}" for name in ("exp", "log", "sqrt")}
# Operands around which formatters write `**` without spaces.
SIMPLE = (cst.Name, cst.Attribute, cst.Integer, cst.Float, cst.UnaryOperation)


class OperatorTranslator:
    """Translates unary and binary operators."""

    def __init__(self, module: ModuleTranslator):
        self.module = module

    def binary(self, node: cst.BinaryOperation) -> Code:
        """`a + b`; a function of `keras.ops` where the operator promotes otherwise."""
        symbol, precedence, function = BINARY[type(node.operator)]
        left, right = self.operand(node.left), self.operand(node.right)
        self.module.comments.keep(node.operator.whitespace_before, node.operator.whitespace_after)  # type: ignore[attr-defined]
        if becomes_float(symbol, left.kind, right.kind):
            left = self.as_float(left)
        elif becomes_float(symbol, right.kind, left.kind):
            right = self.as_float(right)
        repeated = symbol == "*" and isinstance(node.left, cst.List)
        if repeated and (right.kind.is_tensor or right.kind.is_unknown):
            right = Code(called("int", right.doc), INT)  # a tensor would multiply what is in it
        kind = promoted(symbol, left.kind, right.kind)
        if left.kind.is_tensor or right.kind.is_tensor or kind.is_tensor:
            self.module.stats.operations += 1
        if symbol in DECIDED and self.is_open(symbol, left, right):
            self.module.note_rule(f"kf.dynamic.{DECIDED[symbol]}")
            self.module.count_helper(DECIDED[symbol])
            self.module.imports.need("keraform.runtime", "ops", "kf")
            return Code(called(f"kf.dynamic.{DECIDED[symbol]}", left.doc, right.doc), kind)
        if may_be_of_bits(symbol, left.kind, right.kind):
            self.module.note_rule(f"operator {symbol}")
            function = function.replace("logical", "bitwise")
            return self.module.calls.ops_call(function, [left, right], kind, "kf")
        if needs_function(symbol, left.kind, right.kind) or self.is_masked(symbol, left, right):
            function = function_for(symbol, function, left.kind, right.kind)
            self.module.note_rule(f"operator {symbol}")
            return self.module.calls.ops_call(function, [left, right], kind)
        if symbol == "**":
            simple = isinstance(node.left, SIMPLE) and isinstance(node.right, SIMPLE)
            power = "**" if simple else " ** "
            return Code(doc(left.operand(13), power, right.operand(11)), kind, precedence)
        document = doc(
            left.operand(precedence),
            Break(f" {symbol} ", precedence),
            right.operand(precedence + 1),
        )
        return Code(document, kind, precedence)

    def is_open(self, symbol: str, left: Code, right: Code) -> bool:
        """Whether both may be tensors, one of an unknown dtype or truth values beside bits, in a
        file that says nothing of either.
        """
        kinds = (left.kind, right.kind)
        mixed = symbol in "&|^" and left.kind.dtype != right.kind.dtype
        return (
            self.module.is_of_generation
            and all(kind.is_tensor or kind.is_unknown for kind in kinds)
            and (mixed or any(kind.is_unknown or kind.dtype is None for kind in kinds))
        )

    def is_masked(self, symbol: str, left: Code, right: Code) -> bool:
        """Whether a mask of the model's dtype may be added to what a model inside of it, whose
        weights are kept in float32, computes with the same functions.
        """
        masks = "mask" in (left.kind.dtype, right.kind.dtype)
        added = symbol == "+" and left.kind.is_tensor and right.kind.is_tensor
        return added and masks and self.module.inference.keeps_model_in_float32

    def operand(self, node: cst.BaseExpression) -> Code:
        """What an operator stands beside; `np.log(10)` is a number of Python's there."""
        code = self.module.expressions(node)
        if not isinstance(node, cst.Call) or len(node.args) != 1:
            return code
        function = OF_NUMBERS.get(self.module.dotted(node.func) or "")
        if function is None:
            return code
        number = self.module.expressions(node.args[0].value)
        if number.kind.tag not in NUMBERS:
            return code
        self.module.imports.plain("math")
        return Code(called(function, number.doc), FLOAT)

    def as_float(self, code: Code) -> Code:
        """A tensor in torch's default dtype, which is the model's own in a constructor."""
        self.module.note_rule("promotion")
        self.module.imports.need("keras", "ops")
        self.module.stats.operations += 1
        items = [Item(code.doc), Item(('"float32"',))]
        function = self.module.scope.function
        constructs = function is not None and function.name.value == "__init__"
        kind = Kind("tensor", "float" if constructs else "float32", code.kind.rank)
        return Code(doc("ops.cast", Group("(", items, ")")), kind)

    def unary(self, node: cst.UnaryOperation) -> Code:
        """`-a`, `~a`, `not a`."""
        operand = self.module.expressions(node.expression)
        if isinstance(node.operator, cst.Not):
            return self.module.expressions.conditions.negation(operand)
        kind = operand.kind
        if isinstance(node.operator, cst.BitInvert) and kind.dtype == "mask":
            kind = replace(kind, dtype="bool")  # of which alone that is a mask again
        return Code(doc(UNARY[type(node.operator)], operand.operand(11)), kind, 11)
