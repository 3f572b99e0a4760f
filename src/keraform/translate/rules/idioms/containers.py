"""Idioms of modules that hold other modules."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import libcst as cst

from keraform.translate.kinds import MODULE_DICT, PARAMETERS, UNKNOWN, Kind
from keraform.translate.layout import Group, Item, called, doc
from keraform.translate.rules.idioms.form import FunctionIdiom
from keraform.translate.rules.record import Code, Refusal

if TYPE_CHECKING:
    from keraform.translate.calls import CallTranslator


def module_list(calls: CallTranslator, node: cst.Call) -> Code:
    """`nn.ModuleList(x)` is the list itself."""
    if not node.args:
        return Code(("[]",), Kind("layers"))
    argument = node.args[0].value
    with calls.module.scope.assigned_to(None):
        value = calls.module.expressions(argument)
        for arg in node.args:
            calls.module.comments.keep(arg.whitespace_after_arg)
    held = value.kind.item()
    nested = value.kind.tag == "list" and held.tag in ("layers", "list")
    kind = value.kind if nested or value.kind.tag == "layers" else Kind("layers", name=held.name)
    if isinstance(argument, (cst.List, cst.ListComp)):
        return Code(value.doc, kind)
    if isinstance(argument, cst.GeneratorExp):
        inner = value.doc[0]
        assert isinstance(inner, Group)
        return Code(doc(Group("[", inner.items, "]", trailing_comma=False)), kind)
    return Code(called("list", value.doc), kind)


def parameter_list(calls: CallTranslator, node: cst.Call) -> Code:
    """`nn.ParameterList(x)` is the list itself."""
    return replace(module_list(calls, node), kind=PARAMETERS)


def module_dict(calls: CallTranslator, node: cst.Call) -> Code:
    """`nn.ModuleDict(x)` is the dict itself."""
    if not node.args:
        return Code(("{}",), MODULE_DICT)
    with calls.module.scope.assigned_to(None):
        return replace(calls.module.expressions(node.args[0].value), kind=MODULE_DICT)


def sequential(calls: CallTranslator, node: cst.Call) -> Code:
    """`nn.Sequential(...)`."""
    calls.module.imports.need("keraform.runtime", "layers")
    extra = calls.construction.name_argument()
    kind = Kind("layer", name="nn.Sequential")
    with calls.module.scope.assigned_to(None):
        return calls.generic(Code(("layers.Sequential",)), node, extra, kind)


def module(calls: CallTranslator, node: cst.Call) -> Code:
    """`nn.Module()` only holds what is assigned to its attributes."""
    if node.args:
        raise Refusal("nn.Module", "a module of torch takes no arguments")
    calls.module.imports.need("keraform.runtime.layers", "Layer")
    return calls.generic(Code(("Layer",)), node, calls.construction.name_argument(), Kind("layer"))


def add_module(calls: CallTranslator, node: cst.Call) -> Code:
    """`self.add_module(name, module)` sets an attribute."""
    items, _, _ = calls.arguments.items(node)
    self_name = calls.module.scope.self_name or "self"
    return Code(doc("setattr", Group("(", [Item((self_name,)), *items], ")")), UNKNOWN)


MODULES: dict[str, FunctionIdiom] = {
    "nn.Module": module,
    "nn.ModuleList": module_list,
    "nn.ParameterList": parameter_list,
    "nn.ModuleDict": module_dict,
    "nn.ParameterDict": module_dict,
    "nn.Sequential": sequential,
}
SELF_METHODS: dict[str, FunctionIdiom] = {"add_module": add_module, "register_module": add_module}
