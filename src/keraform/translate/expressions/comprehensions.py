"""Translation of expressions that bind names: comprehensions, lambdas, and `:=`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import libcst as cst

from keraform.translate.kinds import FUNCTION, UNKNOWN, Kind
from keraform.translate.layout import Break, Doc, Group, Item, doc
from keraform.translate.rules.record import Code

if TYPE_CHECKING:
    from keraform.translate.module import ModuleTranslator

BRACKETS = {cst.ListComp: ("[", "]"), cst.SetComp: ("{", "}"), cst.GeneratorExp: ("(", ")")}


class ComprehensionTranslator:
    """Translates expressions with names of their own."""

    def __init__(self, module: ModuleTranslator):
        self.module = module

    def comprehension(self, node: cst.ListComp | cst.GeneratorExp | cst.SetComp) -> Code:
        """`[f(x) for x in y]`."""
        with self.module.locals({}):
            clauses = self.clauses(node.for_in)
            element = self.module.expressions(node.elt)
        kind = Kind("list", items=(element.kind,))
        if element.kind.tag == "layer":
            kind = Kind("layers", name=element.kind.name)
        open_, close = BRACKETS[type(node)]
        items = [Item(doc(element.doc, clauses))]
        return Code(doc(Group(open_, items, close, trailing_comma=False)), kind)

    def dict_comprehension(self, node: cst.DictComp) -> Code:
        """`{k: v for k, v in x}`."""
        with self.module.locals({}):
            clauses = self.clauses(node.for_in)
            key, value = self.module.expressions(node.key), self.module.expressions(node.value)
        items = [Item(doc(key.doc, ": ", value.doc, clauses))]
        kind = Kind("dict", items=(value.kind,))
        return Code(doc(Group("{", items, "}", trailing_comma=False)), kind)

    def clauses(self, node: cst.CompFor) -> Doc:
        """`for x in y if test`, and those nested in it."""
        targets = self.module.targets
        iterable = self.module.expressions(node.iter)
        targets.bind(node.target, iterable.kind.element())
        document = doc(Break(" for "), targets.text(node.target), " in ", iterable.operand(1))
        for clause in node.ifs:
            document = doc(document, Break(" if "), self.module.expressions(clause.test).operand(1))
        if node.inner_for_in is not None:
            document = doc(document, self.clauses(node.inner_for_in))
        return document

    def lambda_(self, node: cst.Lambda) -> Code:
        """`lambda x: f(x)`."""
        names = [p.name.value for p in node.params.params]
        with self.module.locals(dict.fromkeys(names, UNKNOWN)):
            body = self.module.expressions(node.body)
        parameters = self.module.text(node.params)
        return Code(
            doc(f"lambda {parameters}: " if parameters else "lambda: ", body.doc), FUNCTION, 0
        )

    def walrus(self, node: cst.NamedExpr) -> Code:
        """`x := f(y)`."""
        value = self.module.expressions(node.value)
        target = self.module.text(node.target)
        self.module.scope.names[target] = value.kind
        return Code(doc(f"{target} := ", value.operand(1)), value.kind, 0)
