"""Translation of the initialisation of weights, as calls of `keraform.runtime.init`, and of other
writing to them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import libcst as cst
import libcst.matchers as m

from keraform.translate.kinds import FLOAT, UNKNOWN
from keraform.translate.layout import Doc, Group, Item, called, doc
from keraform.translate.rules.record import Code, Refusal

if TYPE_CHECKING:
    from keraform.translate.module import ModuleTranslator

# In-place methods of weights as functions of `keraform.runtime.init`, and the methods of a module
# where they mean that.
INITIALISERS = {
    "normal_": "normal_",
    "uniform_": "uniform_",
    "zero_": "zeros_",
    "fill_": "constant_",
    "copy_": "copy_",
}
# Helpers of torch.nn.init by their names in `keraform.runtime.init`.
HELPERS = {"_calculate_fan_in_and_fan_out": "fan_in_and_fan_out"}
# What torch's own modules call their weights.
TORCH_WEIGHT = re.compile(r"(in_proj_)?(weight|bias)(_[ih]h_l\d+(_reverse)?)?$")
INITIALISING = frozenset({"_init_weights", "init_weights", "reset_parameters"})


class InitialisationTranslator:
    """Translates calls that fill weights."""

    def __init__(self, module: ModuleTranslator):
        self.module = module

    def call(self, name: str, node: cst.Call) -> Code:
        """`init.normal_(module.weight, std=s)` becomes `init.normal_(module, "weight", std=s)`."""
        module = self.module
        if name == "calculate_gain":
            module.imports.need("keraform.runtime", "init")
            return module.calls.generic(Code(("init.calculate_gain",)), node, kind=FLOAT)
        if name.startswith("_calculate"):
            if name not in HELPERS:
                raise Refusal(f"init.{name}", "no rule for this helper of torch.nn.init")
            name = HELPERS[name]
        module.imports.need("keraform.runtime", "init")
        module.note_rule(f"init.{name}")
        target = node.args[0].value
        index: list[Item] = []
        if isinstance(target, cst.Subscript):
            elements = module.subscripts.elements(target)
            index = [Item(doc("index=", module.subscripts.index_doc(elements)))]
            target = target.value
        matrix = _seen_as_matrix(target)
        if matrix is not None:
            target = self.aliased(matrix)
            index.append(Item(("flat=True",)))
        if _is_data(target):
            target = target.value  # type: ignore[attr-defined]
        first = self.target(target)
        if first is None:
            raise Refusal(
                f"init.{name}", "expects an attribute such as `module.weight` as its first argument"
            )
        rest, _, _ = module.calls.arguments.items(node.with_changes(args=node.args[1:]))
        if len(first) == 1 and rest and node.args[1].keyword is None:
            first.append(Item(("None",)))  # instead of the name: a variable is filled
        return Code(doc(f"init.{name}", Group("(", [*first, *rest, *index], ")")), UNKNOWN)

    def target(self, node: cst.BaseExpression) -> list[Item] | None:
        """What is filled: a variable, or a layer and the name of its weight, which
        `getattr(module, name)` gives too.
        """
        module = self.module
        if isinstance(node, cst.Attribute):
            return [Item(module.expressions(node.value).doc), Item((f'"{node.attr.value}"',))]
        if isinstance(node, cst.Name):
            return [Item(module.expressions(node).doc)]
        if isinstance(node, cst.IfExp):
            return self.either(node)
        if not _is_getattr(node):
            return None
        return [Item(module.expressions(each.value).doc) for each in node.args]  # type: ignore[attr-defined]

    def handed_on(self, node: cst.Call) -> Code | None:
        """`initialiser(std)(module.weight)`: what a function of the file makes fills a weight."""
        module, function = self.module, self.module.scope.function
        maker = m.Call(func=m.Name(m.MatchIfTrue(module.functions.__contains__)))
        given = m.Attribute(attr=m.Name(m.MatchIfTrue(TORCH_WEIGHT.match)))
        initialising = function is not None and function.name.value in INITIALISING
        if not initialising or not m.matches(node, m.Call(maker, [m.Arg(given, keyword=None)])):
            return None
        module.imports.need("keraform.runtime", "init")
        module.note_rule("init.Weight")
        fills, target = module.expressions(node.func), self.target(node.args[0].value)
        weight = doc("init.Weight", Group("(", target or [], ")"))
        return Code(doc(fills.operand(), Group("(", [Item(weight)], ")")), UNKNOWN)

    def aliased(self, node: cst.BaseExpression) -> cst.BaseExpression:
        """What a local name stands for: `w = layer.weight`."""
        function = self.module.scope.function
        if not isinstance(node, cst.Name) or function is None:
            return node
        pattern = m.Assign(targets=[m.AssignTarget(m.Name(node.value))], value=m.Attribute())
        found = m.findall(function, pattern)
        return found[0].value if len(found) == 1 else node  # type: ignore[attr-defined]

    def either(self, node: cst.IfExp) -> list[Item] | None:
        """`a.weight if test else b.weight`: one of two layers, and the name of its weight."""
        body, other = node.body, node.orelse
        if not isinstance(body, cst.Attribute) or not isinstance(other, cst.Attribute):
            return None
        if body.attr.value != other.attr.value:
            return None
        owner = node.with_changes(body=body.value, orelse=other.value)
        return [Item(self.module.expressions(owner).doc), Item((f'"{body.attr.value}"',))]

    def method(self, func: cst.Attribute, node: cst.Call) -> Code | None:
        """`module.weight.normal_(std=s)` outside of calls; None for anything else."""
        name, target = INITIALISERS.get(func.attr.value), func.value
        function = self.module.scope.function
        if name is None or function is None or self.module.dotted(func) is not None:
            return None
        if not isinstance(target, (cst.Attribute, cst.Subscript)) and not _is_getattr(target):
            return None
        weight = target.value if isinstance(target, cst.Subscript) else target
        named = _is_getattr(weight) or self.weight(weight) is not None
        known = function.name.value != "forward" and named
        if not known and function.name.value not in INITIALISING:
            return None
        return self.call(name, node.with_changes(args=[cst.Arg(target), *node.args]))

    # Writing to weights

    def weight(self, node: cst.BaseExpression) -> tuple[Code, str] | None:
        """The layer and the name of the weight that `layer.weight` or `layer.weight.data` is."""
        module = self.module
        if _is_data(node):
            node = node.value  # type: ignore[attr-defined]
        if not isinstance(node, cst.Attribute):
            return None
        name = node.attr.value
        if isinstance(node.value, cst.Name) and node.value.value == module.scope.self_name:
            known = module.inference.has_weight(module.scope.owner, name)
            return (Code((node.value.value,)), name) if known else None
        if not isinstance(node.value, (cst.Attribute, cst.Subscript)):
            return None
        layer = module.expressions(node.value)
        if layer.kind.tag == "layer":
            info = module.classes.get(layer.kind.name or "")
            known = bool(TORCH_WEIGHT.match(name)) or module.inference.has_weight(info, name)
        else:
            known = layer.kind.is_unknown and bool(TORCH_WEIGHT.match(name))
        return (layer, name) if known else None

    def assignment(self, target: cst.BaseExpression, value: cst.BaseExpression) -> Doc | None:
        """`layer.weight = value`; None where the target is no weight of another layer."""
        module = self.module
        weight = self.weight(target)
        if weight is None or (weight[0].text == module.scope.self_name and not _is_data(target)):
            return None
        source = self.weight(value)
        if source is not None and not _is_data(target):
            module.imports.need("keraform.runtime", "layers")
            module.note_rule("layers.tie")
            items = [(each.doc, (f'"{name}"',)) for each, name in (weight, source)]
            return called("layers.tie", *items[0], *items[1])
        if module.inference.makes_weight(value):
            new = module.expressions(value.args[0].value)  # type: ignore[attr-defined]
            module.imports.need("keraform.runtime", "layers")
            module.note_rule("layers.set_weight")
            return called("layers.set_weight", weight[0].doc, (f'"{weight[1]}"',), new.doc)
        if module.text(value) == "None" and weight[0].kind.tag == "layer":
            module.imports.need("keraform.runtime", "layers")
            module.note_rule("layers.remove_weight")
            return called("layers.remove_weight", weight[0].doc, (f'"{weight[1]}"',))
        if isinstance(value, cst.Attribute) or module.text(value) == "None":
            return None  # another layer's weight, perhaps of another shape, or none
        return self.copied(weight, module.expressions(value).doc)

    def written(self, target: cst.BaseExpression, value: Doc) -> Doc | None:
        """The statement that gives a weight a new value; None where the target is no weight."""
        weight = self.weight(target)
        return self.copied(weight, value, _is_data(target)) if weight is not None else None

    def copied(self, weight: tuple[Code, str], value: Doc, outside: bool = False) -> Doc:
        """The statement that gives a weight a new value; `outside` of what has a gradient."""
        layer, name = weight
        function = self.module.scope.function
        if function is not None and function.name.value == "forward" and not outside:
            raise Refusal("nn.Parameter", "a weight is changed while the model is called")
        self.module.imports.need("keraform.runtime", "init")
        self.module.note_rule("init.copy_")
        return called("init.copy_", layer.doc, (f'"{name}"',), value)


def _is_data(node: cst.BaseExpression) -> bool:
    return isinstance(node, cst.Attribute) and node.attr.value == "data"


def _is_getattr(node: cst.BaseExpression) -> bool:
    """Whether a weight is named by an expression: `getattr(module, name)`."""
    return m.matches(node, m.Call(func=m.Name("getattr"), args=[m.Arg(), m.Arg()]))


def _seen_as_matrix(node: cst.BaseExpression) -> cst.BaseExpression | None:
    """`w` in `w.view([w.shape[0], -1])`."""
    size = m.Subscript(value=m.Attribute(attr=m.Name("shape")))
    rest = m.UnaryOperation(operator=m.Minus(), expression=m.Integer("1"))
    sizes = [m.Element(size), m.Element(rest)]
    view = m.Attribute(attr=m.Name("view") | m.Name("reshape"))
    listed = m.Call(func=view, args=[m.Arg(m.List(sizes) | m.Tuple(sizes))])
    plain = m.Call(func=view, args=[m.Arg(size), m.Arg(rest)])
    return node.func.value if m.matches(node, listed | plain) else None  # type: ignore[attr-defined]
