"""Translation of loops: `for` and `while`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import libcst as cst

from keraform.translate.kinds import NONE, UNKNOWN, Kind
from keraform.translate.layout import Doc, called, doc, statement
from keraform.translate.scope import join_names
from keraform.translate.statements.rows import written_rows
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
        rows = written_rows(node, before)
        self.begin(node)
        body = module.statements.block(node.body, indent + "    ")
        self.end(node, before)
        body += [f"{indent}    {row}_rows.append({row})" for row in rows]
        lines = [f"{indent}{row}_rows = []" for row in rows]
        lines += [*(indent + head).split("\n"), *body]
        lines += [indent + statement(self.put_back(*pair), indent) for pair in rows.items()]
        if node.orelse is not None:
            orelse = module.statements.block(node.orelse.body, indent + "    ")
            lines += [f"{indent}else:", *orelse]
        return lines

    def put_back(self, row: str, rows: str) -> Doc:
        """The statement after a loop that puts the rows it wrote to back into their tensor."""
        self.module.note_rule("loop.rows")
        self.module.imports.need("keraform.runtime", "ops", "kf")
        self.module.imports.need("keras", "ops")
        first = doc("slice(None, len(", f"{row}_rows", "))")
        return doc(f"{rows} = ", called("kf.setitem", (rows,), first, (f"ops.stack({row}_rows)",)))

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
