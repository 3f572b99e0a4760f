"""Translation of assignments: plain, annotated, augmented."""

from __future__ import annotations

from typing import TYPE_CHECKING

import libcst as cst
import libcst.matchers as m

from keraform.translate.expressions.operators import BINARY
from keraform.translate.expressions.promotion import function_for, needs_function, promoted
from keraform.translate.kinds import DEVICE
from keraform.translate.layout import Doc, Group, Item, called, doc, flat
from keraform.translate.rules.record import Code

if TYPE_CHECKING:
    from keraform.translate.module import ModuleTranslator

AUGMENTED = {
    cst.AddAssign: cst.Add,
    cst.SubtractAssign: cst.Subtract,
    cst.MultiplyAssign: cst.Multiply,
    cst.DivideAssign: cst.Divide,
    cst.FloorDivideAssign: cst.FloorDivide,
    cst.ModuloAssign: cst.Modulo,
    cst.PowerAssign: cst.Power,
    cst.MatrixMultiplyAssign: cst.MatrixMultiply,
    cst.BitAndAssign: cst.BitAnd,
    cst.BitOrAssign: cst.BitOr,
    cst.BitXorAssign: cst.BitXor,
    cst.LeftShiftAssign: cst.LeftShift,
    cst.RightShiftAssign: cst.RightShift,
}


class AssignmentTranslator:
    """Translates assignments; None is one that vanishes."""

    def __init__(self, module: ModuleTranslator):
        self.module = module

    def assign(self, node: cst.Assign) -> Doc | None:
        """`a = b = value`."""
        module = self.module
        targets = [each.target for each in node.targets]
        first = targets[0]
        if module.scope.function is None and module.text(first) == "__all__":
            return self.public_names(node)
        if len(targets) == 1:
            written = module.calls.initialisation.assignment(first, node.value)
            if written is not None:
                return written
        value = self.value(node)
        if value.kind == DEVICE:
            for target in targets:
                module.targets.bind(target, DEVICE)
            return None
        if isinstance(first, cst.Attribute) and first.attr.value == "requires_grad":
            return doc(module.expressions(first.value).operand(), ".trainable = ", value.doc)
        if isinstance(first, cst.Subscript) and len(targets) == 1:
            bare = isinstance(node.value, cst.Tuple) and not node.value.lpar
            part = Code(doc("(", value.doc, ")"), value.kind) if bare else value
            update = self.assign_part(first, part)
            if update is not None:
                return update
        document: Doc = ()
        for target in targets:
            module.targets.bind(target, value.kind)
            document = doc(document, module.targets.document(target), " = ")
        if len(targets) == 1 and value.text == module.text(first):
            return None  # `x = x.to(device)`
        return doc(document, value.doc)

    def value(self, node: cst.Assign) -> Code:
        """The assigned value; a layer in it is named by the attribute that gets it."""
        scope, target = self.module.scope, node.targets[0].target
        name = self.module.targets.own_attribute(target)
        if len(node.targets) > 1 or scope.owner is None or not scope.owner.is_layer:
            name = None
        if name is not None and self.is_plain_list(name, node.value):
            with scope.assigned_to(None):
                value = self.module.expressions(node.value)
            self.module.imports.need("keraform.runtime", "tree")
            return Code(called("tree.Unregistered", value.doc), value.kind)
        unpacking = len(target.elements) if isinstance(target, cst.Tuple) else None
        named = m.GeneratorExp(for_in=m.CompFor(iter=m.Call(func=m.Name())))
        if unpacking is not None and m.matches(node.value, named):
            unpacking = None  # `enumerate(x.chunk(2))` is not what is unpacked
        with scope.assigned_to(name, unpacking):
            return self.module.expressions(node.value)

    def is_plain_list(self, name: str, value: cst.BaseExpression) -> bool:
        """Whether an attribute is a list of layers that torch's modules do not see: one that is
        written as a list or is a part of one, and whose layers are added by numbers besides or
        appended to it.
        """
        scope = self.module.scope
        part = m.Subscript(m.Name(), [m.SubscriptElement(m.Slice())])
        if m.matches(value, part):
            held = scope.names.get(value.value.value)  # type: ignore[attr-defined]
            is_list = held is not None and held.tag == "list"
        else:
            is_list = isinstance(value, cst.List)
        if not is_list or scope.function is None:
            return False
        own = m.Name(scope.self_name or "self")
        added = m.Call(m.Attribute(own, m.Name("add_module")))
        filled = m.Call(m.Attribute(m.Attribute(own, m.Name(name)), m.Name("append")), [m.Arg()])
        appended = (each.args[0].value for each in m.findall(scope.function, filled))  # type: ignore[attr-defined]
        return bool(m.findall(scope.function, added)) or any(
            self.module.inference.of_form(each).tag == "layer" for each in appended
        )

    def parts(self, node: cst.Assign) -> list[Doc] | None:
        """`x[i], y[j] = value` gives parts of tensors new values one by one; None where no part of
        a tensor is a target.
        """
        target = node.targets[0].target
        elements = target.elements if isinstance(target, cst.Tuple) else ()
        places = [each.value for each in elements]
        if len(node.targets) > 1 or not any(isinstance(each, cst.Subscript) for each in places):
            return None
        value = self.module.expressions(node.value)
        names, updates, of_tensors = [], [], False
        for number, place in enumerate(places):
            if not isinstance(place, cst.Subscript):
                self.module.targets.bind(place, value.kind.item(number))
                names.append(self.module.targets.document(place))
                continue
            held = place.value.value if isinstance(place.value, cst.Name) else "values"
            name = f"{held}_{number}" if (f"{held}_part",) in names else f"{held}_part"
            names.append((name,))
            part = Code((name,), value.kind.item(number))
            update = self.assign_part(place, part)
            of_tensors |= update is not None
            updates.append(update or doc(self.module.targets.document(place), " = ", name))
        if not of_tensors:
            return None
        return [doc(Group("", [Item(each) for each in names], ""), " = ", value.doc), *updates]

    def assign_part(self, target: cst.Subscript, value: Code) -> Doc | None:
        """`x[i] = value` and `x._modules[i] = value`; None where Python's own meaning remains."""
        module, owner = self.module, target.value
        if isinstance(owner, cst.Attribute) and owner.attr.value == "_modules":
            index = module.subscripts.elements(target)[0].document
            module.imports.need("keraform.runtime", "tree")
            layer = module.expressions(owner.value).doc
            return called("tree.replace_child", layer, index, value.doc)
        return module.subscripts.assign(target, value)

    def public_names(self, node: cst.Assign) -> Doc:
        """`__all__`: the classes of the file by the names that they have in the port."""
        code = self.module.expressions(node.value)
        for part in code.doc:
            for item in part.items if isinstance(part, Group) else ():
                name = flat(item.doc).strip("\"'")
                if name in self.module.classes:
                    item.doc = (f'"{self.module.classes[name].port_name}"',)
        return doc("__all__ = ", code.doc)

    def annotated(self, node: cst.AnnAssign) -> Doc:
        """`x: int = value`."""
        module = self.module
        annotation = module.annotations.text(node.annotation.annotation)
        if node.value is None:
            return doc(module.targets.document(node.target), f": {annotation}")
        with module.scope.assigned_to(module.targets.own_attribute(node.target)):
            value = module.expressions(node.value)
        known = module.annotations.kind(node.annotation.annotation)
        module.targets.bind(node.target, value.kind if not value.kind.is_unknown else known)
        return doc(module.targets.document(node.target), f": {annotation} = ", value.doc)

    def augmented(self, node: cst.AugAssign) -> Doc:
        """`x += value`."""
        module = self.module
        symbol, _, function = BINARY[AUGMENTED[type(node.operator)]]
        value = module.expressions(node.value)
        if isinstance(node.target, cst.Subscript):
            document = module.subscripts.assign(node.target, value, symbol)
            if document is not None:
                return document
        target = module.expressions(node.target)
        kind = promoted(symbol, target.kind, value.kind)
        if target.kind.is_tensor:
            module.stats.operations += 1
        operator, result = f" {symbol}= ", value
        if needs_function(symbol, target.kind, value.kind):
            function = function_for(symbol, function, target.kind, value.kind)
            module.note_rule(f"operator {symbol}=")
            operator, result = " = ", module.calls.ops_call(function, [target, value], kind)
            if target.kind.is_tensor and value.kind.dtype in ("float32", "mixed"):
                # the tensor keeps its dtype, whatever is added to it
                document = called("ops.cast", result.doc, doc(target.operand(), ".dtype"))
                kind, result = target.kind, Code(document, target.kind)
        module.targets.bind(node.target, kind)
        return doc(module.targets.document(node.target), operator, result.doc)
