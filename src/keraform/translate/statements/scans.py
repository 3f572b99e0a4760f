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
        state = [n for n in assigned_names(node.body) if n in names]
        first = read_first(node.body)
        assigned = [n for n in state if names[n].is_tensor or (n in first and names[n].is_unknown)]
        results = [n for n in appended_names(node.body) if n in names]
        counts = [n for n in state if n in first and n not in assigned]
        if counts or not (results or assigned) or not set(results) <= _gathered(node.body):
            return None
        if not set(results) <= self.begun(node):
            return None  # what was gathered before would be lost
        axis = self.joined(node, results)
        if axis is None and _varies(node.body) and not self.stacked(node, results):
            return None  # rows of other lengths
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
        joined = () if axis is None else (doc("axis=", axis),)
        call = called("kf.scan", ("step",), (_tuple(assigned),), header.length, *joined)
        lines += ["", indent + statement(doc(f"{left} = ", call), indent)]
        kinds = {name: module.scope.names.get(f"{name}_item", Kind("tensor")) for name in results}
        module.scope.names = saved
        for name, kind in kinds.items():
            whole = "scanned" if axis is None else "joined"
            saved[name] = Kind("object", kind.dtype, kind.rank if axis else None, name=whole)
        return lines

    def begun(self, node: cst.For) -> set[str]:
        """What the innermost loop around a loop assigns anew each time; all names without one."""
        function = self.module.scope.function
        loops = m.findall(function, m.For() | m.While()) if function is not None else []
        around = [each for each in loops if node in m.findall(each.body, m.For())]  # type: ignore[attr-defined]
        return set(assigned_names(around[-1])) if around else set(self.module.scope.names)

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
        stacks = {call.args[0].value for call in m.findall(function, _torch_call("stack"))}  # type: ignore[attr-defined]
        return all(_next_use(function, node, name) in stacks for name in results)

    def joined(self, node: cst.For, results: list[str]) -> Doc | None:
        """The axis along which `torch.cat` joins all that a loop gathers, where that is what
        happens next to it; what it joins may be of different sizes.
        """
        function = self.module.scope.function
        if function is None or not results:
            return None
        calls = {call.args[0].value: call for call in m.findall(function, _torch_call("cat"))}  # type: ignore[attr-defined]
        found = [calls.get(_next_use(function, node, name)) for name in results]
        axes = [call.args[1].value for call in found if call is not None and len(call.args) > 1]
        if len(axes) < len(results) or not all(each.deep_equals(axes[0]) for each in axes):
            return None
        return self.module.expressions(axes[0]).doc

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


def _torch_call(name: str) -> m.Call:
    return m.Call(func=m.Attribute(value=m.Name("torch"), attr=m.Name(name)))


def _next_use(function: cst.FunctionDef, loop: cst.For, name: str) -> cst.CSTNode | None:
    """Where a list that a loop of a function fills is read next; another branch may make and fill
    it in another way.
    """
    append = m.Attribute(value=m.Name(name), attr=m.Name("append"))
    skipped = {each.target for each in m.findall(function, m.AssignTarget())}  # type: ignore[attr-defined]
    skipped |= {each.value for each in m.findall(function, append)}  # type: ignore[attr-defined]
    uses = list(m.findall(function, m.Name(name)))
    last = max(uses.index(use) for use in m.findall(loop, m.Name(name)))
    return next((use for use in uses[last + 1 :] if use not in skipped), None)


def _tuple(names: list[str]) -> str:
    return f"({names[0]},)" if len(names) == 1 else f"({', '.join(names)})"


def assigned_names(body: cst.CSTNode) -> list[str]:
    """Names that a block assigns, also through a subscript, in order."""
    found: dict[str, None] = {}
    for node in m.findall(body, m.AssignTarget() | m.AugAssign()):
        for value in _targets(node.target):  # type: ignore[attr-defined]
            while isinstance(value, cst.Subscript):
                value = value.value
            if isinstance(value, cst.Name):
                found[value.value] = None
    return list(found)


def _targets(target: cst.BaseExpression) -> list[cst.BaseExpression]:
    """What a target assigns, also in a tuple within a tuple (`x, (y, z) = ...`)."""
    if not isinstance(target, cst.Tuple):
        return [target]
    return [part for element in target.elements for part in _targets(element.value)]


def read_first(body: cst.CSTNode) -> set[str]:
    """Names that a block reads before it binds them."""
    reader = _Reader()
    body.visit(reader)
    return reader.read


class _Reader(cst.CSTVisitor):
    """Walks a block in the order in which it runs."""

    def __init__(self) -> None:
        self.read: set[str] = set()
        self.bound: set[str] = set()

    def visit_Assign(self, node: cst.Assign) -> bool:
        node.value.visit(self)
        for each in node.targets:
            self.bind(each.target)
        return False

    def visit_AugAssign(self, node: cst.AugAssign) -> bool:
        node.value.visit(self)
        node.target.visit(self)
        return False

    def bind(self, target: cst.BaseExpression) -> None:
        if isinstance(target, cst.Name):
            self.bound.add(target.value)
        elif isinstance(target, (cst.Tuple, cst.List)):
            for each in target.elements:
                self.bind(each.value)
        else:
            target.visit(self)

    def visit_For(self, node: cst.For) -> bool:
        node.iter.visit(self)
        self.bind(node.target)
        node.body.visit(self)
        return False

    def visit_Attribute(self, node: cst.Attribute) -> bool:
        node.value.visit(self)
        return False

    def visit_Arg(self, node: cst.Arg) -> bool:
        node.value.visit(self)
        return False

    def visit_Name(self, node: cst.Name) -> None:
        if node.value not in self.bound:
            self.read.add(node.value)


def _gathered(body: cst.BaseSuite) -> set[str]:
    """The lists to which a block appends whatever happens, once each time."""
    pattern = m.SimpleStatementLine(
        body=[m.Expr(m.Call(func=m.Attribute(value=m.Name(), attr=m.Name("append"))))]
    )
    found = [
        each.body[0].value.func.value.value  # type: ignore[union-attr]
        for each in body.body
        if m.matches(each, pattern)
    ]
    return {name for name in found if found.count(name) == 1}


def _varies(body: cst.CSTNode) -> bool:
    """Whether a block takes as much of something as a list or a tensor says (`x[: lengths[i]]`)."""
    given = m.Subscript()
    return bool(m.findall(body, m.Slice(lower=given) | m.Slice(upper=given)))


def appended_names(body: cst.CSTNode) -> list[str]:
    """Lists that a block appends to."""
    pattern = m.Call(func=m.Attribute(value=m.Name(), attr=m.Name("append")), args=[m.Arg()])
    return list(dict.fromkeys(node.func.value.value for node in m.findall(body, pattern)))  # type: ignore[attr-defined]
