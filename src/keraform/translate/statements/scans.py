"""Loops that a graph cannot unroll: `for i in range(x.shape[1])`, where the size may be unknown,
and `for i, row in enumerate(x)` that gathers rows to stack them. They become `kf.scan`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import libcst as cst
import libcst.matchers as m

from keraform.translate.kinds import INT, Kind
from keraform.translate.layout import Doc, called, doc, statement
from keraform.translate.rules.record import Code

if TYPE_CHECKING:
    from keraform.translate.module import ModuleTranslator


@dataclass(frozen=True, slots=True)
class Header:
    """What a loop goes through: an index below a length, and perhaps the rows of a tensor."""

    index: str
    length: Doc
    row: str | None = None
    rows: Code | None = None


class ScanTranslator:
    """Recognises loops whose state and results are tensors."""

    def __init__(self, module: ModuleTranslator):
        self.module = module

    def translate(self, node: cst.For, indent: str) -> list[str] | None:
        """The lines of the loop as a scan; None where an ordinary loop will do."""
        module = self.module
        if node.orelse is not None or not isinstance(node.body, cst.IndentedBlock):
            return None
        if m.findall(node.body, m.Return() | m.Break() | m.Continue() | m.Yield()):
            return None
        function = module.scope.function
        if function is not None and function.name.value == "__init__":
            return None  # what it gathers are layers, or numbers
        names = module.scope.names
        assigned = [n for n in assigned_names(node.body) if n in names and names[n].is_tensor]
        results = [n for n in _appended(node.body) if n in names]
        if not results and not assigned:
            return None
        header = self.header(node) or self.rows(node, assigned, results)
        if header is None:
            return None
        module.note_rule("kf.scan")
        saved = dict(names)
        names[header.index] = INT
        inner = indent + "    "
        lines = ["", f"{indent}def step({', '.join([header.index, *assigned])}):"]
        if header.row is not None and header.rows is not None:
            lines.append(f"{inner}{header.row} = {header.rows.text}[{header.index}]")
            names[header.row] = header.rows.kind.row()
        body = node.body
        for each in body.body:
            lines.extend(self.statement(each, inner, results))
        lines.append(
            f"{inner}return {_tuple(assigned)}, {_tuple([f'{name}_item' for name in results])}"
        )
        module.imports.need("keraform.runtime", "ops", "kf")
        left = ", ".join(_tuple(each) if each else "_" for each in (assigned, results))
        call = called("kf.scan", ("step",), (_tuple(assigned),), header.length)
        lines += ["", indent + statement(doc(f"{left} = ", call), indent)]
        kinds = {name: module.scope.names.get(f"{name}_item", Kind("tensor")) for name in results}
        module.scope.names = saved
        for name, kind in kinds.items():
            saved[name] = Kind("object", kind.dtype, name="scanned")
        return lines

    def header(self, node: cst.For) -> Header | None:
        """`for i in range(length)`, when the length is a size of a tensor; what a layer keeps is a
        plain number.
        """
        pattern = m.Call(func=m.Name("range"), args=[m.Arg(keyword=None)])
        if not isinstance(node.target, cst.Name) or not m.matches(node.iter, pattern):
            return None
        bound = node.iter.args[0].value  # type: ignore[attr-defined]
        if self.module.targets.own_attribute(bound) is not None:
            return None
        length = self.module.expressions(bound)
        if length.kind.tag != "dim" or length.kind == INT:
            return None
        return Header(node.target.value, length.doc)

    def rows(self, node: cst.For, assigned: list[str], results: list[str]) -> Header | None:
        """`for i, row in enumerate(x)`, when `x` is a tensor and the results are stacked."""
        pattern = m.For(
            target=m.Tuple([m.Element(m.Name()), m.Element(m.Name())]),
            iter=m.Call(func=m.Name("enumerate"), args=[m.Arg(m.Name(), keyword=None)]),
        )
        if assigned or not m.matches(node, pattern) or not self.stacked(node, results):
            return None
        index, row = (element.value.value for element in node.target.elements)  # type: ignore[attr-defined]
        rows = self.module.expressions(node.iter.args[0].value)  # type: ignore[attr-defined]
        if not rows.kind.is_tensor:
            return None
        self.module.imports.need("keras", "ops")
        return Header(index, doc("ops.shape(", rows.doc, ")[0]"), row, rows)

    def stacked(self, node: cst.For, results: list[str]) -> bool:
        """Whether `torch.stack` is what happens next to each list that a loop fills."""
        function = self.module.scope.function
        if function is None:
            return False
        stack = m.Call(func=m.Attribute(value=m.Name("torch"), attr=m.Name("stack")))
        arguments = {call.args[0].value for call in m.findall(function, stack)}  # type: ignore[attr-defined]
        targets = {each.target for each in m.findall(function, m.AssignTarget())}  # type: ignore[attr-defined]
        for name in results:
            uses = list(m.findall(function, m.Name(name)))
            last = max(uses.index(use) for use in m.findall(node, m.Name(name)))
            later = [use for use in uses[last + 1 :] if use not in targets]
            if not later or later[0] not in arguments:
                return False
        return True

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
                written = node.with_changes(body=[assign])
                self.module.positions[written] = self.module.positions[node]
                return self.module.statements.statement(written, indent)
        return self.module.statements.statement(node, indent)


def _tuple(names: list[str]) -> str:
    return f"({names[0]},)" if len(names) == 1 else f"({', '.join(names)})"


def assigned_names(body: cst.CSTNode) -> list[str]:
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
