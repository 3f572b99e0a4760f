"""Idioms of weights: parameters and buffers of a module."""

from __future__ import annotations

from typing import TYPE_CHECKING

import libcst as cst

from keraform.translate.kinds import DTYPE, FLOAT_TENSOR, NONE, TENSOR, UNKNOWN, Kind
from keraform.translate.layout import Group, Item, called, doc
from keraform.translate.rules.idioms.form import FunctionIdiom, bound_to
from keraform.translate.rules.record import Code, Refusal, parse_kind

if TYPE_CHECKING:
    from keraform.translate.calls import CallTranslator

# Functions that fill a new weight, as initializers of Keras.
INITIALIZERS = {
    "torch.ones": "ones",
    "torch.zeros": "zeros",
    "torch.empty": "zeros",
    "torch.FloatTensor": "zeros",
}


def parameter(calls: CallTranslator, node: cst.Call, trainable: bool = True) -> Code:
    """`nn.Parameter(torch.ones(n))` is a weight with an initializer, any other value is computed;
    where there is no layer, it belongs to the one that it is assigned to.
    """
    value = node.args[0].value
    self_name = calls.module.scope.self_name
    name = [Item(each) for each in calls.construction.name_argument()]
    frozen = not trainable or _option(calls, node, "requires_grad") == "False"
    fixed = [Item(("trainable=False",))] if frozen else []
    if self_name is None:
        with calls.module.scope.assigned_to(None):
            code = calls.module.expressions(value)
        calls.module.imports.need("keraform.runtime", "layers")
        return Code(
            called("layers.parameter", code.doc, *(each.doc for each in fixed)), FLOAT_TENSOR
        )
    if isinstance(value, cst.Call) and calls.module.torch_callee(value) in INITIALIZERS:
        items, kind = _initial_value(calls, value)
        group = Group("(", [*items, *fixed, *name], ")")
        return Code(doc(f"{self_name}.add_weight", group), kind)
    with calls.module.scope.assigned_to(None):
        code = calls.module.expressions(value)
    kind = code.kind if code.kind.is_tensor else FLOAT_TENSOR
    group = Group("(", [Item(code.doc), *name, *fixed], ")")
    return Code(doc(f"{self_name}.add_parameter", group), kind)


def _initial_value(calls: CallTranslator, value: cst.Call) -> tuple[list[Item], Kind]:
    """`torch.ones(n)` as the arguments of a weight; the kind of the weight."""
    name = calls.module.torch_callee(value)
    bound = bound_to(name, "*size, device!, dtype?, requires_grad!", calls.arguments(value))
    if name == "torch.FloatTensor":  # float32 whatever the model's dtype
        bound["dtype"] = Code(('"float32"',), DTYPE)
    shape = bound.get("size") or Code(("()",))
    items = [
        Item(doc("shape=", shape.doc)),
        Item((f'initializer="{INITIALIZERS[name]}"',)),
    ]
    if "dtype" not in bound:
        return items, FLOAT_TENSOR
    items.append(Item(doc("dtype=", bound["dtype"].doc)))
    return items, parse_kind("dtype:dtype|float", bound)


def buffer(calls: CallTranslator, node: cst.Call) -> Code:
    """`nn.Buffer(x, persistent=False)`: a constant; a persistent one is a weight that is not trained."""
    persistent = _option(calls, node, "persistent") or "True"
    if persistent == "True":
        return parameter(calls, node.with_changes(args=node.args[:1]), trainable=False)
    with calls.module.scope.assigned_to(None):
        value = calls.module.expressions(node.args[0].value)
    if persistent != "False":
        raise Refusal("nn.Buffer", "whether the buffer is saved is decided at run time")
    calls.module.imports.need("keraform.runtime", "layers")
    return Code(called("layers.buffer", value.doc), value.kind if value.kind.is_tensor else TENSOR)


def _option(calls: CallTranslator, node: cst.Call, name: str) -> str | None:
    """The text of a keyword argument."""
    for arg in node.args:
        if arg.keyword is not None and arg.keyword.value == name:
            return calls.module.text(arg.value)
    return None


def register_buffer(calls: CallTranslator, node: cst.Call) -> Code:
    """`self.register_buffer("x", value, persistent=False)` is an assignment."""
    name = _attribute_name(calls, node)
    if not name.isidentifier():
        raise Refusal("Module.register_buffer", "the name of the buffer is computed")
    rest = list(node.args[1:])
    if rest and rest[0].keyword is not None:
        rest[0] = rest[0].with_changes(keyword=None)
    if len(rest) > 1 and rest[1].keyword is None:
        rest[1] = rest[1].with_changes(keyword=cst.Name("persistent"))
    if rest and isinstance(rest[0].value, cst.Name) and rest[0].value.value == "None":
        value = Code(("None",), NONE)
    else:
        with calls.module.scope.assigned_to(name):
            value = buffer(calls, node.with_changes(args=rest))
    if calls.module.scope.owner is not None:
        calls.module.scope.owner.attributes[name] = value.kind
    return _assignment(calls, name, value)


def register_parameter(calls: CallTranslator, node: cst.Call) -> Code:
    """`self.register_parameter("x", nn.Parameter(...))` is an assignment."""
    name = _attribute_name(calls, node)
    with calls.module.scope.assigned_to(name):
        value = calls.module.expressions(node.args[1].value)
    return _assignment(calls, name, value)


def _attribute_name(calls: CallTranslator, node: cst.Call) -> str:
    return calls.module.text(node.args[0].value).strip("\"'")


def _assignment(calls: CallTranslator, name: str, value: Code) -> Code:
    return Code(doc(f"{calls.module.scope.self_name}.{name} = ", value.doc), UNKNOWN)


MODULES: dict[str, FunctionIdiom] = {"nn.Parameter": parameter, "nn.Buffer": buffer}
SELF_METHODS: dict[str, FunctionIdiom] = {
    "register_buffer": register_buffer,
    "register_parameter": register_parameter,
}
