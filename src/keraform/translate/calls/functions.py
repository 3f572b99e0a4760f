"""Translation of calls of torch's functions, by the rules and idioms."""

from __future__ import annotations

from typing import TYPE_CHECKING

import libcst as cst

from keraform.runtime import ops as kf
from keraform.translate.kinds import DISTRIBUTION, TENSOR, Kind
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

# Functions that undo those.
REMOVALS = frozenset(
    {"nn.utils.remove_weight_norm", "nn.utils.parametrize.remove_parametrizations"}
)

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
        if root == "nn" and rest.endswith((".__init__", ".forward")):
            return self.of_base(name, node)
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
            return calls.generic(made, node, kind=DISTRIBUTION)
        if name in PARAMETRIZATIONS:
            self.module.note_rule(name)
            self.module.imports.need("keraform.runtime", "layers")
            kind = Kind("layer", name=self.module.expressions(node.args[0].value).kind.name)
            return calls.generic(Code((_layer_function(name),)), node, PARAMETRIZATIONS[name], kind)
        if name in REMOVALS:
            self.module.note_rule(name)
            self.module.imports.need("keraform.runtime", "layers")
            args = [arg for arg in node.args if _keyword(arg) != "leave_parametrized"]
            function = Code(("layers.remove_parametrization",))
            return calls.generic(function, node.with_changes(args=args))
        code = self.as_method(name, node)
        if code is None:
            raise Refusal(name, "no rule for this function of torch")
        return code

    def of_base(self, name: str, node: cst.Call) -> Code:
        """`nn.LayerNorm.forward(self, x)` in a class derived from it is `super().forward(x)`."""
        scope = self.module.scope
        base, _, method = name.rpartition(".")
        first = node.args[0].value if node.args else None
        inherits = scope.owner is not None and (
            base == scope.owner.torch_base or (base == "nn.Module" and scope.owner.is_layer)
        )
        if not inherits or not isinstance(first, cst.Name) or first.value != scope.self_name:
            raise Refusal(name, "expects a method of the base class, called with self")
        if name == "nn.Module.__init__" and self.module.analysis.derives_from_translated(
            scope.owner  # type: ignore[arg-type]
        ):  # past the constructor of the base
            layer = self.module.imports.need("keraform.runtime.layers", "Layer")
            return Code((f"{layer}.__init__({scope.self_name}, **kwargs)",))
        rest = node.with_changes(args=node.args[1:])
        return self.module.calls.construction.super_call(method, rest)

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
        space, _, short = name.partition(".")
        of_torch = space in ("torch", "F") and short in kf.__all__
        if rule is not None and not (of_torch and "=" in rule.emit):
            target = rule.emit.partition("(")[0]
        elif name in LAYER_FUNCTIONS:
            target = _layer_function(name)
        elif of_torch:
            target = f"kf.{short}"  # which has torch's parameters by torch's names
        else:
            return None
        self.module.imports.need_for((target,))
        return target


def _keyword(arg: cst.Arg) -> str:
    return arg.keyword.value if arg.keyword is not None else ""


def _layer_function(name: str) -> str:
    return f"layers.{name.rsplit('.', 1)[-1]}"
