"""Translation of the initialisation of weights, as calls of `keraform.runtime.init`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import libcst as cst

from keraform.translate.kinds import UNKNOWN
from keraform.translate.layout import Group, Item, doc
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
INITIALISING = frozenset({"_init_weights", "init_weights", "reset_parameters"})


class InitialisationTranslator:
    """Translates calls that fill weights."""

    def __init__(self, module: ModuleTranslator):
        self.module = module

    def call(self, name: str, node: cst.Call) -> Code:
        """`init.normal_(module.weight, std=s)` becomes `init.normal_(module, "weight", std=s)`."""
        module = self.module
        if name == "calculate_gain" or name.startswith("_calculate"):
            raise Refusal(f"init.{name}", "no rule for this helper of torch.nn.init")
        module.imports.need("keraform.runtime", "init")
        target = node.args[0].value
        index: list[Item] = []
        if isinstance(target, cst.Subscript):
            elements = module.subscripts.elements(target)
            index = [Item(doc("index=", module.subscripts.index_doc(elements)))]
            target = target.value
        if isinstance(target, cst.Attribute) and target.attr.value == "data":
            target = target.value
        if isinstance(target, cst.Attribute):
            owner = module.expressions(target.value)
            first = [Item(owner.doc), Item((f'"{target.attr.value}"',))]
        elif isinstance(target, cst.Name):
            first = [Item(module.expressions(target).doc)]
        else:
            raise Refusal(
                f"init.{name}", "expects an attribute such as `module.weight` as its first argument"
            )
        rest, _, _ = module.calls.arguments.items(node.with_changes(args=node.args[1:]))
        return Code(doc(f"init.{name}", Group("(", [*first, *rest, *index], ")")), UNKNOWN)

    def method(self, func: cst.Attribute, node: cst.Call) -> Code | None:
        """`module.weight.normal_(std=s)` in a method that initialises; None for anything else."""
        name, target = INITIALISERS.get(func.attr.value), func.value
        function = self.module.scope.function
        if name is None or function is None or function.name.value not in INITIALISING:
            return None
        if self.module.dotted(func) is not None:
            return None
        if not isinstance(target, (cst.Attribute, cst.Subscript)):
            return None
        return self.call(name, node.with_changes(args=[cst.Arg(target), *node.args]))
