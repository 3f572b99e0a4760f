"""Translation of calls that construct modules: torch's, the file's own, those of other models, and
the constructor of a base class.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import libcst as cst

from keraform.translate.kinds import STR, TENSOR, UNKNOWN, Kind
from keraform.translate.layout import Doc, Group, Item, begins, doc, flat
from keraform.translate.rules import idioms
from keraform.translate.rules.modules import MODULES, NAMELESS, keywords
from keraform.translate.rules.record import Arguments, Code, Refusal, Rule, bind, fill
from keraform.translate.scope import ClassInfo

if TYPE_CHECKING:
    from keraform.translate.module import ModuleTranslator


class ConstructionTranslator:
    """Translates the construction of modules; a layer gets the name of its attribute."""

    def __init__(self, module: ModuleTranslator):
        self.module = module

    def name_argument(self) -> tuple[Doc, ...]:
        """`name="attention"`, when the layer is assigned to an attribute."""
        name = self.module.scope.assigning
        return ((f'name="{name}"',),) if name else ()

    def torch_module(self, name: str, node: cst.Call) -> Code:
        """`nn.Linear(...)`."""
        self.module.note_rule(name)
        if name in idioms.MODULES:
            return idioms.MODULES[name](self.module.calls, node)
        rule = MODULES.get(name)
        if rule is None:
            raise Refusal(name, "no rule for this module of torch")
        self.module.imports.need("keraform.runtime", "layers")
        with self.module.scope.assigned_to(None):
            arguments = _of_own_dtype(self.module.calls.arguments(node))
        kind = Kind("layer", name=name)
        if any(code.star for _, code in arguments):
            items = [
                Item(doc(code.star or (f"{key}=" if key else ""), code.doc))
                for key, code in arguments
            ]
            return Code(doc(rule.emit.partition("(")[0], Group("(", items, ")")), kind)
        if self.module.scope.assigning and name not in NAMELESS:
            arguments.append(("name", Code((f'"{self.module.scope.assigning}"',), STR)))
        return Code(fill(rule.emit, bind(rule, arguments)), kind)

    def of_file(self, info: ClassInfo, node: cst.Call) -> Code:
        """A class of the file."""
        extra = self.name_argument() if info.is_layer else ()
        kind = Kind("layer" if info.is_layer else "object", name=info.name)
        rule = self.inherited(info)
        with self.module.scope.assigned_to(None):
            if rule is None or any(arg.star for arg in node.args):
                return self.module.calls.generic(Code((info.component_name,)), node, extra, kind)
            arguments = _of_own_dtype(self.module.calls.arguments(node))
        if self.module.scope.assigning:
            arguments.append(("name", Code((f'"{self.module.scope.assigning}"',), STR)))
        template = f"{info.component_name}({rule.emit.partition('(')[2]}"
        return Code(fill(template, bind(rule, arguments)), kind)

    def inherited(self, info: ClassInfo) -> Rule | None:
        """The rule of the torch module whose constructor a class of the file has, if any."""
        if any("__init__" in owner.methods for owner in self.module.analysis.lineage(info)):
            return None
        return MODULES.get(info.torch_base or "")

    def auto_from_config(self, dotted: str, node: cst.Call) -> Code:
        """`AutoModel.from_config(c)` inside a model makes the main layer of that type."""
        auto = dotted.split(".")[-2]
        local = self.module.imports.need("keraform.auto", "AutoMainLayer")
        function = Code((f"{local}.from_config",))
        which: tuple[Doc, ...] = ((f'auto_class="{auto}"',),) if auto != "AutoModel" else ()
        extra = (*which, *self.name_argument())
        return self.module.calls.generic(function, node, extra, Kind("layer"))

    def super_call(self, name: str, node: cst.Call) -> Code:
        """`super().method(...)`; the constructor hands `**kwargs` up to Keras."""
        owner = self.module.scope.owner
        if name == "forward":
            name = "call"
        if name != "__init__" or owner is None or not owner.is_layer:
            kind = TENSOR if name == "call" and owner is not None and owner.torch_base else UNKNOWN
            return self.module.calls.generic(Code((f"super().{name}",)), node, kind=kind)
        rule = MODULES.get(owner.torch_base or "")
        if rule is not None:
            return self.super_of_torch(rule, node)
        items, exploded, _ = self.module.calls.arguments.items(node)
        if not any(flat(item.doc) == "**kwargs" for item in items):
            items.append(Item((self.rest(owner),)))
        return Code(doc("super().__init__", Group("(", items, ")", exploded)))

    def rest(self, owner: ClassInfo) -> str:
        """What the constructor of a layer hands up that upstream's does not: all that it does not
        know, or the name alone where upstream's own takes arguments that it does not know.
        """
        function = self.module.scope.function
        star = None if function is None or owner.is_model else function.params.star_kwarg
        return "**kwargs" if star is None else f'name={star.name.value}.pop("name", None)'

    def super_of_torch(self, rule: Rule, node: cst.Call) -> Code:
        """`super().__init__(...)` in a class derived from a module of torch."""
        self.module.note_rule(rule.id)
        template = rule.emit.replace(", name={name})", ")").replace("(name={name})", "()")
        arguments = self.module.calls.arguments(node)
        plain = [(key, code) for key, code in arguments if not code.star]
        if not plain and arguments:
            return self.super_with_given(rule, arguments)
        bound = bind(rule, plain)
        bound.pop("name", None)
        *head, group = fill("super().__init__(" + template.partition("(")[2], bound)
        assert isinstance(group, Group)
        items = [*group.items]
        if not any(begins(item.doc, "**") for item in items):
            items.append(Item(("**kwargs",)))
        return Code(doc(*head, Group("(", items, ")")))

    def super_with_given(self, rule: Rule, arguments: Arguments) -> Code:
        """`super().__init__(*args, **kwargs)` in such a class: `kwargs` are by torch's names."""
        names = ", ".join(f'{old}="{new}"' for old, new in keywords(rule.id).items())
        items = []
        for _, code in arguments:
            if code.star == "**" and names:
                self.module.imports.need("keraform.runtime", "layers")
                items.append(Item(doc("**layers.keywords(", code.doc, f", {names})")))
            else:
                items.append(Item(doc(code.star, code.doc)))
        if not any(begins(item.doc, "**") for item in items):
            items.append(Item(("**kwargs",)))
        return Code(doc("super().__init__", Group("(", items, ")", trailing_comma=False)))


def _of_own_dtype(arguments: Arguments) -> Arguments:
    """The arguments of a module, with `dtype` only where it is written out: other ones are the
    model's own.
    """
    return [
        (keyword, code)
        for keyword, code in arguments
        if keyword != "dtype" or code.text.startswith(('"float', '"bfloat'))
    ]
