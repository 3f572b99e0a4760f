"""Loops over a tensor's size, which a graph may not know: `for i in range(x.shape[1])` becomes
`kf.scan`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import libcst as cst
import libcst.matchers as m

from keraform.translate.kinds import INT, Kind
from keraform.translate.layout import Group, Item, doc, statement
from keraform.translate.rules.record import Code

if TYPE_CHECKING:
    from keraform.translate.module import ModuleTranslator


class ScanTranslator:
    """Recognises loops whose state and results are tensors."""

    def __init__(self, module: ModuleTranslator):
        self.module = module

    def translate(self, node: cst.For, indent: str) -> list[str] | None:
        """The lines of the loop as a scan; None where an ordinary loop will do."""
        module = self.module
        length = self.length(node)
        if (
            length is None
            or node.orelse is not None
            or not isinstance(node.body, cst.IndentedBlock)
        ):
            return None
        if m.findall(node.body, m.Return() | m.Break() | m.Continue() | m.Yield()):
            return None
        names = module.scope.names
        assigned = [n for n in _assigned(node.body) if n in names and names[n].is_tensor]
        results = [n for n in _appended(node.body) if n in names]
        if not results and not assigned:
            return None
        index = module.text(node.target)
        saved = dict(names)
        names[index] = INT
        inner = indent + "    "
        lines = ["", f"{indent}def step({', '.join([index, *assigned])}):"]
        body = node.body
        for each in body.body:
            lines.extend(self.statement(each, inner, results))
        lines.append(
            f"{inner}return {_tuple(assigned)}, {_tuple([f'{name}_item' for name in results])}"
        )
        module.imports.need("keraform.runtime", "ops", "kf")
        left = ", ".join(_tuple(each) if each else "_" for each in (assigned, results))
        call = Group("(", [Item(("step",)), Item((_tuple(assigned),)), Item(length.doc)], ")")
        lines += ["", indent + statement(doc(f"{left} = kf.scan", call), indent)]
        kinds = {name: module.scope.names.get(f"{name}_item", Kind("tensor")) for name in results}
        module.scope.names = saved
        for name, kind in kinds.items():
            saved[name] = Kind("object", kind.dtype, name="scanned")
        return lines

    def length(self, node: cst.For) -> Code | None:
        """The length of `range(length)`, when it is a size of a tensor."""
        call = node.iter
        if not m.matches(
            call, m.Call(func=m.Name("range"), args=[m.Arg(keyword=None)])
        ) or not isinstance(node.target, cst.Name):
            return None
        assert isinstance(call, cst.Call)
        code = self.module.expressions(call.args[0].value)
        return code if code.kind.tag == "dim" and code.kind != INT else None

    def statement(self, node: cst.BaseStatement, indent: str, results: list[str]) -> list[str]:
        """A statement of the body; `results.append(x)` names the result of this index."""
        for name in results:
            append = m.SimpleStatementLine(
                body=[m.Expr(m.Call(func=m.Attribute(value=m.Name(name), attr=m.Name("append"))))]
            )
            if m.matches(node, append):
                assert isinstance(node, cst.SimpleStatementLine)
                value = node.body[0].value.args[0].value  # type: ignore[union-attr]
                assign = cst.Assign([cst.AssignTarget(cst.Name(f"{name}_item"))], value)
                return self.module.statements.statement(node.with_changes(body=[assign]), indent)
        return self.module.statements.statement(node, indent)


def _tuple(names: list[str]) -> str:
    return f"({names[0]},)" if len(names) == 1 else f"({', '.join(names)})"


def _assigned(body: cst.CSTNode) -> list[str]:
    """Names that a block assigns, also through a subscript, in order."""
    found: dict[str, None] = {}
    for node in m.findall(body, m.AssignTarget() | m.AugAssign()):
        target = node.target  # type: ignore[attr-defined]
        for element in target.elements if isinstance(target, cst.Tuple) else [cst.Element(target)]:
            value = element.value
            while isinstance(value, cst.Subscript):
                value = value.value
            if isinstance(value, cst.Name):
                found[value.value] = None
    return list(found)


def _appended(body: cst.CSTNode) -> list[str]:
    """Lists that a block appends to."""
    pattern = m.Call(func=m.Attribute(value=m.Name(), attr=m.Name("append")), args=[m.Arg()])
    return list(dict.fromkeys(node.func.value.value for node in m.findall(body, pattern)))  # type: ignore[attr-defined]
