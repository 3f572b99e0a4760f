"""Translation of calls of torch's functions, by the rules and idioms."""

from __future__ import annotations

from typing import TYPE_CHECKING

import libcst as cst

from keraform.translate.kinds import TENSOR, Kind
from keraform.translate.layout import Doc
from keraform.translate.rules import idioms
from keraform.translate.rules.functions import AS_METHOD, FUNCTIONS
from keraform.translate.rules.record import Code, Refusal
from keraform.translate.rules.torch_names import DISTRIBUTIONS

if TYPE_CHECKING:
    from keraform.translate.module import ModuleTranslator

# Functions that change a layer, by the same names in `keraform.runtime.layers`, and what a call of
# the port gets besides the arguments.
PARAMETRIZATIONS: dict[str, tuple[Doc, ...]] = {
    "nn.utils.parametrizations.weight_norm": (),
    "nn.utils.parametrizations.spectral_norm": (),
    "nn.utils.weight_norm": (("legacy_keys=True",),),
}

# The older spectral_norm has other keys, so it is passed on as a value only.
LAYER_FUNCTIONS = frozenset({*PARAMETRIZATIONS, "nn.utils.spectral_norm"})


class FunctionTranslator:
    """Translates `torch.f(...)`."""

    def __init__(self, module: ModuleTranslator):
        self.module = module

    def call(self, name: str, node: cst.Call) -> Code:
        """A call of a torch name: a function, a module, or an initialiser."""
        calls = self.module.calls
        root, _, rest = name.partition(".")
        if root == "nn" and rest.split(".")[0] == "init":
            return calls.initialisation.call(name.rsplit(".", 1)[-1], node)
        if root == "nn" and rest and "." not in rest:
            return calls.construction.torch_module(name, node)
        if name in idioms.FUNCTIONS:
            self.module.note_rule(name)
            self.module.stats.operations += 1
            return idioms.FUNCTIONS[name](calls, node)
        if name in FUNCTIONS:
            return calls.apply(FUNCTIONS[name], calls.arguments(node))
        if name.startswith(DISTRIBUTIONS):
            self.module.note_rule(name)
            made = self.module.expressions.names.torch_name(name)
            return calls.generic(made, node, kind=Kind("object", name=name))
        if name in PARAMETRIZATIONS:
            self.module.note_rule(name)
            self.module.imports.need("keraform.runtime", "layers")
            kind = Kind("layer", name=self.module.expressions(node.args[0].value).kind.name)
            return calls.generic(Code((_layer_function(name),)), node, PARAMETRIZATIONS[name], kind)
        code = self.as_method(name, node)
        if code is None:
            raise Refusal(name, "no rule for this function of torch")
        return code

    def as_method(self, name: str, node: cst.Call) -> Code | None:
        """A function that is a method of its first argument: `torch.squeeze(x, 1)`."""
        space, _, short = name.partition(".")
        if space not in ("torch", "F", "Tensor") or short not in AS_METHOD | {"to"}:
            return None
        arguments = self.module.calls.arguments(node)
        for position, (keyword, code) in enumerate(arguments):
            if keyword in (None, "input"):
                del arguments[position]
                kind = TENSOR if code.kind.is_unknown else code.kind
                receiver = Code(code.doc, kind, code.precedence, code.parenthesized)
                return self.module.calls.methods.of_tensor(receiver, short, arguments)
        return None

    def reference(self, name: str) -> str | None:
        """A torch function that is passed on as a value (`act = torch.tanh`)."""
        rule = FUNCTIONS.get(name)
        if rule is None and name not in LAYER_FUNCTIONS:
            return None
        target = rule.emit.partition("(")[0] if rule is not None else _layer_function(name)
        self.module.imports.need_for((target,))
        return target


def _layer_function(name: str) -> str:
    return f"layers.{name.rsplit('.', 1)[-1]}"
