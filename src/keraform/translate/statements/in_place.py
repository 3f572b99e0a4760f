"""Translation of in-place methods that stand as statements (`x.add_(y)`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import libcst as cst

from keraform.translate.layout import Doc
from keraform.translate.rules import idioms
from keraform.translate.rules.methods import METHODS

if TYPE_CHECKING:
    from keraform.translate.module import ModuleTranslator


class InPlaceTranslator:
    """Binds the new tensor to where the old one was."""

    def __init__(self, module: ModuleTranslator):
        self.module = module

    def call(self, node: cst.Call) -> Doc | None:
        """`x.add_(y)` as `x = ops.add(x, y)`; None for other calls."""
        module, func = self.module, node.func
        if not isinstance(func, cst.Attribute) or not _is_in_place(func.attr.value):
            return None
        initialised = module.calls.initialisation.method(func, node)
        if initialised is not None:
            return initialised.doc
        name, target = func.attr.value[:-1], func.value
        if module.dotted(func) is not None or (name not in METHODS and name not in idioms.METHODS):
            return None
        receiver = module.expressions(target)
        if not (receiver.kind.is_tensor or receiver.kind.is_unknown):
            return None
        code = module.calls.methods.of_tensor(receiver, name, module.calls.arguments(node))
        root = _chain_root(target)
        return module.subscripts.rebind(
            root, receiver if root is target else module.expressions(root), code.doc
        )


def _is_in_place(name: str) -> bool:
    return name.endswith("_") and not name.endswith("__")


def _chain_root(target: cst.BaseExpression) -> cst.BaseExpression:
    """`x` in `x.mul_(2).clamp_(min=0)`: what a chain of in-place methods writes to."""
    while (
        isinstance(target, cst.Call)
        and isinstance(target.func, cst.Attribute)
        and target.func.attr.value.endswith("_")
    ):
        target = target.func.value
    return target
