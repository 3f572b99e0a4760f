"""Translation of conditions: comparisons, `and`, `or`, `not`, and conditional expressions."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import libcst as cst
import libcst.matchers as m
import numpy as np

from keraform.translate.expressions.promotion import NUMBERS
from keraform.translate.kinds import (
    BOOL,
    BOOL_TENSOR,
    DEVICE,
    DIM,
    UNKNOWN,
    Kind,
    broadcast_rank,
    join,
)
from keraform.translate.layout import Break, doc
from keraform.translate.rules.record import Code, Refusal
from keraform.translate.uses import narrowed

if TYPE_CHECKING:
    from keraform.translate.module import ModuleTranslator

# An operator's symbol and its function of `keras.ops`, where it has one.
COMPARE = {
    cst.Equal: ("==", "equal"),
    cst.NotEqual: ("!=", "not_equal"),
    cst.LessThan: ("<", "less"),
    cst.LessThanEqual: ("<=", "less_equal"),
    cst.GreaterThan: (">", "greater"),
    cst.GreaterThanEqual: (">=", "greater_equal"),
    cst.Is: ("is", ""),
    cst.IsNot: ("is not", ""),
    cst.In: ("in", ""),
    cst.NotIn: ("not in", ""),
}


# Comparisons with a limit.
ORDERS = frozenset({"less", "less_equal", "greater", "greater_equal"})
# What a scan gives of a list: at least one row, in one tensor.
GATHERED = frozenset({"scanned", "joined"})
TRACING = re.compile(r"is_\w*(tracing|compiling|exporting)\(\)")


class ConditionTranslator:
    """Translates conditions; those that are known in a port are folded."""

    def __init__(self, module: ModuleTranslator):
        self.module = module
        self.symbolic = False  # whether a comparison read a size or a tensor
        self.for_graph = False  # whether `and` and `or` must work on tensors

    # For statements

    def test(self, node: cst.BaseExpression) -> tuple[Code, bool]:
        """The condition of a statement, and whether a size or a tensor decides it."""
        self.symbolic = False
        code = self.module.expressions(node)
        if code.kind.name in GATHERED:
            code = Code(doc(code.operand(6), " is not None"), BOOL, 6)
        return code, self.symbolic or code.kind.is_tensor

    def graph_test(self, node: cst.BaseExpression) -> Code:
        """A condition that a graph evaluates."""
        self.for_graph = True
        try:
            return self.module.expressions(node)
        finally:
            self.for_graph = False

    # Expressions

    def negation(self, operand: Code) -> Code:
        """`not a`."""
        value = constant(operand.text)
        if value is not None:
            return Code((str(not value),), BOOL)
        return Code(doc("not ", operand.operand(3)), BOOL, 3)

    def boolean(self, node: cst.BooleanOperation) -> Code:
        """`a and b`, `a or b`."""
        word, precedence = ("and", 2) if isinstance(node.operator, cst.And) else ("or", 1)
        outer, self.symbolic = self.symbolic, False
        left = self.module.expressions(node.left)
        known = not self.symbolic and left.kind.is_python  # before a graph is made
        self.symbolic |= outer
        with self.module.locals(narrowed(node.left) if word == "and" else {}):
            right = self.module.expressions(node.right)
        self.module.comments.keep(node.operator.whitespace_before, node.operator.whitespace_after)
        folded = fold(word, left, right)
        if folded is not None:
            kind = join(folded.kind, right.kind)  # torch's own run may take the other side
            return left if self.is_filled_in(node) else replace(folded, kind=kind)
        if self.for_graph and not known:
            function = "both" if word == "and" else "either"
            if left.kind.is_unknown:  # perhaps what the right side makes sense without
                right = replace(right, doc=doc("lambda: ", right.doc))
            return self.module.calls.ops_call(function, [left, right], BOOL, "kf")
        document = doc(
            left.operand(precedence), Break(f" {word} ", precedence), right.operand(precedence + 1)
        )
        kind = BOOL if left.kind == right.kind == BOOL else join(left.kind, right.kind)
        return Code(document, kind, precedence)

    def is_filled_in(self, node: cst.BooleanOperation) -> bool:
        """Whether `x is None and not is_tracing()` asks if something has to be made that a port
        needs in graphs too: a cache, or what the function indexes or gives to another by its place.
        """
        if not isinstance(node.operator, cst.And):
            return False
        found = re.search(r"(?:^| and )(\w+) is None(?: and |$)", self.module.text(node.left))
        if found is None:
            return False
        name, function = found[1], self.module.scope.function
        return name in ("cache", "past_key_values") or (
            function is not None and bool(m.findall(function, self.needing(name)))
        )

    def needing(self, name: str) -> m.OneOf[m.Subscript | m.Call]:
        """Matches what fails where a local variable is None."""
        value = m.Name(name)
        function = m.Name(m.MatchIfTrue(self.module.functions.__contains__))
        argument = m.Arg(value, keyword=None)
        return m.Subscript(value) | m.Call(function, [m.ZeroOrMore(), argument, m.ZeroOrMore()])

    def comparison(self, node: cst.Comparison) -> Code:
        """`a < b`, `a < b < c`, `a is b`, `a in b`."""
        left = self.module.expressions(node.left)
        document, functions, rights = left.operand(5), [], []
        for target in node.comparisons:
            symbol, function = COMPARE[type(target.operator)]
            right = self.module.expressions(target.comparator)
            document = doc(document, Break(f" {symbol} ", 4), right.operand(5))
            functions.append(function)
            rights.append(right)
        kinds = [left.kind, *(right.kind for right in rights)]
        if DEVICE in kinds:
            return self.of_devices(node)
        if not all(functions):
            return Code(document, BOOL, 4)
        if len(rights) == 1 and left.text.isdigit() and rights[0].text.isdigit():
            compare = getattr(np, functions[0])  # as `keras.ops` calls it
            return Code((str(bool(compare(int(left.text), int(rights[0].text)))),), BOOL)
        if any(k.tag in ("dim", "size", "tensor") and k.name != "annotated" for k in kinds):
            self.symbolic = True
        tensors = [kind for kind in kinds if kind.is_tensor]
        if not tensors:
            return Code(document, UNKNOWN if any(k.is_unknown for k in kinds) else BOOL, 4)
        self.module.stats.operations += 1
        doubtful = _differ_in_dtype(kinds) or _is_no_float_and_number(kinds)
        doubtful |= functions[0] in ORDERS and _are_integers_and_unknown(kinds)
        if len(rights) == 1 and doubtful:
            self.module.note_rule("operator comparison")
            return self.module.calls.ops_call(functions[0], [left, rights[0]], BOOL_TENSOR)
        return Code(document, Kind("tensor", "bool", broadcast_rank(kinds)), 4)

    def of_devices(self, node: cst.Comparison) -> Code:
        """Ports are built like modules on torch's meta device, since weights come later, and
        compute what they do on a CPU.
        """
        differs = isinstance(node.comparisons[0].operator, (cst.NotEqual, cst.IsNot, cst.NotIn))
        named = re.search(r"\b(meta|cpu)\b", self.module.text(node))
        return Code((str(differs != bool(named)),), BOOL)

    def if_expression(self, node: cst.IfExp) -> Code:
        """`a if test else b`."""
        test, asked = self.module.expressions(node.test), self.module.text(node.test)
        value = constant(test.text)
        if value is not None:
            kept, other = (node.body, node.orelse) if value else (node.orelse, node.body)
            code = self.module.expressions(kept)
            # torch's own run takes the other side
            if TRACING.search(asked) or "meta" in asked:
                code = replace(code, kind=join(code.kind, self.module.expressions(other).kind))
            return code
        body, orelse = self.module.expressions(node.body), self.module.expressions(node.orelse)
        kind = join(body.kind, orelse.kind)
        if kind.is_unknown and asked == "return_dict":
            kind = orelse.kind if body.kind.is_unknown else body.kind  # two ways to the same
        if body.kind == DEVICE and orelse.kind == DEVICE:
            return Code(("None",), DEVICE)
        if test.kind.is_tensor and not self.module.is_of_generation:  # which runs eagerly
            tags = {body.kind.tag, orelse.kind.tag}
            if kind.is_tensor or tags <= NUMBERS | {"tensor"}:
                self.module.note_rule("operator if-else")
                chosen = DIM if tags <= {"int", "dim"} else Kind("tensor", kind.dtype)
                return self.module.calls.ops_call("where", [test, body, orelse], chosen)
            raise Refusal(
                "control-flow",
                "a condition that depends on tensor values decides between Python values",
            )
        document = doc(
            body.operand(1), Break(" if "), test.operand(1), Break(" else "), orelse.operand(0)
        )
        return Code(document, kind, 0)


def _differ_in_dtype(kinds: list[Kind]) -> bool:
    """Whether two tensors are compared whose dtypes are known to differ, or may do so."""
    tensors = [kind for kind in kinds if kind.is_tensor]
    dtypes = {kind.dtype for kind in tensors}
    if "float32" in dtypes and (None in dtypes or any(kind.is_unknown for kind in kinds)):
        return True
    known = all(kind.dtype_class is not None for kind in tensors) or "bool" in dtypes
    doubtful = "mixed" in dtypes or dtypes == {"mask", "bool"}
    return len(tensors) == 2 and (doubtful or (known and len(dtypes) == 2))


def _is_no_float_and_number(kinds: list[Kind]) -> bool:
    """Whether a tensor, perhaps of booleans, is compared with a number, or one that is perhaps of
    integers with a fraction, which TensorFlow does not convert.
    """
    numbers = any(kind.tag in ("int", "float", "dim") for kind in kinds)
    fractions = any(kind.is_fraction for kind in kinds)
    return any(
        kind.is_tensor
        and (
            (numbers and kind.dtype in ("bool", "mask"))
            or (fractions and kind.dtype_class in ("int", None))
        )
        for kind in kinds
    )


def _are_integers_and_unknown(kinds: list[Kind]) -> bool:
    """Whether integers are compared with what may be an infinite limit."""
    integers = any(kind.is_tensor and kind.dtype_class == "int" for kind in kinds)
    return integers and any(kind.is_unknown for kind in kinds)


def constant(text: str) -> bool | None:
    """The value of a condition that is known."""
    return {"True": True, "False": False, "not True": False, "not False": True}.get(text)


def fold(word: str, left: Code, right: Code) -> Code | None:
    """`and` and `or` with a known side; None when neither is."""
    a, b = constant(left.text), constant(right.text)
    if a is None and b is None:
        return None
    decides = word == "or"  # the value of a side that decides the whole
    if decides in (a, b):
        return Code((str(decides),), BOOL)
    return left if a is None else right
