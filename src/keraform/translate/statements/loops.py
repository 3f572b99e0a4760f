"""Translation of loops: `for` and `while`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import libcst as cst

from keraform.translate.kinds import NONE, UNKNOWN, Kind
from keraform.translate.layout import doc, statement
from keraform.translate.scope import join_names
from keraform.translate.statements.scans import ScanTranslator, appended_names, assigned_names

if TYPE_CHECKING:
    from keraform.translate.module import ModuleTranslator


class LoopTranslator:
    """Translates loops; those that a graph cannot unroll become scans."""

    def __init__(self, module: ModuleTranslator):
        self.module = module
        self.scans = ScanTranslator(module)

    def for_(self, node: cst.For, indent: str) -> list[str]:
        """`for x in y:`."""
        module = self.module
        scanned = self.scans.translate(node, indent)
        if scanned is not None:
            return scanned
        iterable = module.expressions(node.iter)
        module.targets.bind(node.target, iterable.kind.element())
        target = module.targets.document(node.target)
        head = statement(doc("for ", target, " in ", iterable.whole, ":"), indent)
        before = dict(module.scope.names)
        self.begin(node)
        body = module.statements.block(node.body, indent + "    ")
        self.end(node, before)
        lines = [*(indent + head).split("\n"), *body]
        if node.orelse is not None:
            orelse = module.statements.block(node.orelse.body, indent + "    ")
            lines += [f"{indent}else:", *orelse]
        return lines

    def while_(self, node: cst.While, indent: str) -> list[str]:
        """`while test:`."""
        before = dict(self.module.scope.names)
        self.begin(node)
        test = self.module.expressions(node.test)
        head = statement(doc("while ", test.whole, ":"), indent)
        body = self.module.statements.block(node.body, indent + "    ")
        self.end(node, before)
        return [*(indent + head).split("\n"), *body]

    def begin(self, node: cst.For | cst.While) -> None:
        """What is None or a number before a loop that assigns it need not be so in the loop."""
        names = self.module.scope.names
        for name in assigned_names(node.body):
            kind = names.get(name)
            if kind == NONE:
                names[name] = UNKNOWN
            elif kind is not None:
                names[name] = self.module.learned.carried(self.module.line_of(node), name, kind)
        for name in appended_names(node.body):
            if name in names and names[name].tag == "layers":
                names[name] = Kind("layers")  # of whatever the rounds before have added

    def end(self, node: cst.For | cst.While, before: dict[str, Kind]) -> None:
        """After a loop, which may not have been entered."""
        names = self.module.scope.names
        for name in assigned_names(node.body):
            if name in before and name in names:
                self.module.learned.note_carried(self.module.line_of(node), name, names[name])
        self.module.scope.names = join_names(before, names)
