"""Idioms of weights: parameters and buffers of a module."""

from __future__ import annotations

from typing import TYPE_CHECKING

import libcst as cst

from keraform.translate.kinds import DTYPE, FLOAT_TENSOR, NONE, TENSOR, UNKNOWN, Kind
from keraform.translate.layout import Group, Item, called, doc
from keraform.translate.rules.idioms.form import FunctionIdiom, bound_to
from keraform.translate.rules.record import Arguments, Code, Refusal, fill, parse_kind

if TYPE_CHECKING:
    from keraform.translate.calls import CallTranslator

# Functions that fill a new weight, as initializers of Keras.
INITIALIZERS = {
    "torch.ones": "ones",
    "torch.zeros": "zeros",
    "torch.empty": "zeros",
    "torch.FloatTensor": "zeros",
    "torch.Tensor": "zeros",
}
# Methods that draw the values of a new weight, as initializers of Keras: their class, the
# parameters of the method, and the arguments that it has by default.
DRAWN = {
    "uniform_": ("RandomUniform", "low=0.0, high=1.0, generator!", "({low}, {high})"),
    "normal_": ("RandomNormal", "mean=0.0, std=1.0, generator!", "({mean}, {std})"),
}
# Kinds of what `torch.Tensor(x)` takes for the values; others are a size.
DATA = frozenset({"tensor", "list", "tuple", "numpy"})


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
    initial = _initial_value(calls, value) if isinstance(value, cst.Call) else None
    if initial is not None:
        items, kind = initial
        group = Group("(", [*items, *fixed, *name], ")")
        return Code(doc(f"{self_name}.add_weight", group), kind)
    with calls.module.scope.assigned_to(None):
        code = calls.module.expressions(value)
    kind = code.kind if code.kind.is_tensor else FLOAT_TENSOR if trainable else TENSOR
    group = Group("(", [Item(code.doc), *name, *fixed], ")")
    return Code(doc(f"{self_name}.add_parameter", group), kind)


def _initial_value(calls: CallTranslator, value: cst.Call) -> tuple[list[Item], Kind] | None:
    """`torch.ones(n)` and `torch.empty(n).normal_()` as the arguments of a weight, and the kind of
    the weight; None where the value is computed.
    """
    drawn = None
    if isinstance(value.func, cst.Attribute) and value.func.attr.value in DRAWN:
        made = value.func.value
        if not isinstance(made, cst.Call):
            return None
        drawn, value = value, made
    name = calls.module.torch_callee(value)
    if name not in INITIALIZERS:
        return None
    arguments = calls.arguments(value)
    if name.endswith("Tensor") and _is_data(arguments):
        return None
    bound = bound_to(name, "*size, device!, dtype?, requires_grad!", arguments)
    if name == "torch.FloatTensor":  # float32 whatever the model's dtype
        bound["dtype"] = Code(('"float32"',), DTYPE)
    shape = bound.get("size") or Code(("()",))
    items = [
        Item(doc("shape=", shape.doc)),
        Item(doc("initializer=", _initializer(calls, name, drawn).doc)),
    ]
    if "dtype" not in bound:
        return items, FLOAT_TENSOR
    items.append(Item(doc("dtype=", bound["dtype"].doc)))
    return items, parse_kind("dtype:dtype|float", bound)


def _is_data(arguments: Arguments) -> bool:
    """Whether the arguments of `torch.Tensor` are values, not a size (by its name, if that says so,
    since annotations call `hidden_size` a tuple).
    """
    codes = [code for _, code in arguments]
    if len(codes) != 1 or codes[0].star or codes[0].text.endswith("size"):
        return False
    return codes[0].kind.tag in DATA


def _initializer(calls: CallTranslator, name: str, drawn: cst.Call | None) -> Code:
    """The initializer of a weight."""
    if drawn is None:
        return Code((f'"{INITIALIZERS[name]}"',))
    method = drawn.func.attr.value  # type: ignore[attr-defined]
    initializer, signature, template = DRAWN[method]
    bound = bound_to(f"Tensor.{method}", signature, calls.arguments(drawn))
    calls.module.imports.need("keras", "initializers")
    return Code(fill(f"initializers.{initializer}{template}", bound))


def buffer(calls: CallTranslator, node: cst.Call) -> Code:
    """`nn.Buffer(x, persistent=False)`: a constant, of the layer's dtype where torch gives it the
    model's; a persistent one is a weight that is not trained.
    """
    persistent = _option(calls, node, "persistent") or "True"
    if persistent == "True":
        return parameter(calls, node.with_changes(args=node.args[:1]), trainable=False)
    with calls.module.scope.assigned_to(None):
        value = calls.module.expressions(node.args[0].value)
    if persistent != "False":
        raise Refusal("nn.Buffer", "whether the buffer is saved is decided at run time")
    calls.module.imports.need("keraform.runtime", "layers")
    self_name = calls.module.scope.self_name
    own = value.kind.is_tensor and value.kind.dtype == "float" and self_name is not None
    dtype = [doc(f"dtype={self_name}.compute_dtype")] if own else []
    kind = value.kind if value.kind.is_tensor else TENSOR
    return Code(called("layers.buffer", value.doc, *dtype), kind)


def _option(calls: CallTranslator, node: cst.Call, name: str) -> str | None:
    """The text of a keyword argument."""
    for arg in node.args:
        if arg.keyword is not None and arg.keyword.value == name:
            return calls.module.text(arg.value)
    return None


def register_buffer(calls: CallTranslator, node: cst.Call) -> Code:
    """`layer.register_buffer("x", value, persistent=False)` is an assignment."""
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
    return _assignment(calls, node, name, value)


def register_parameter(calls: CallTranslator, node: cst.Call) -> Code:
    """`layer.register_parameter("x", nn.Parameter(...))` is an assignment."""
    name = _attribute_name(calls, node)
    with calls.module.scope.assigned_to(name):
        value = calls.module.expressions(node.args[1].value)
    return _assignment(calls, node, name, value)


def _attribute_name(calls: CallTranslator, node: cst.Call) -> str:
    return calls.module.text(node.args[0].value).strip("\"'")


def _assignment(calls: CallTranslator, node: cst.Call, name: str, value: Code) -> Code:
    layer = calls.module.expressions(node.func.value)  # type: ignore[attr-defined]
    return Code(doc(layer.operand(), f".{name} = ", value.doc), UNKNOWN)


MODULES: dict[str, FunctionIdiom] = {"nn.Parameter": parameter, "nn.Buffer": buffer}
SELF_METHODS: dict[str, FunctionIdiom] = {
    "register_buffer": register_buffer,
    "register_parameter": register_parameter,
}
