"""Idioms of Python's builtins on tensors, sizes and layers."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import libcst as cst

from keraform.runtime.owned import OWNED_NAMES
from keraform.translate.kinds import BOOL, DEVICE, DIM, DTYPE, INT, PERHAPS_DIM, PY, UNKNOWN, Kind
from keraform.translate.layout import called
from keraform.translate.rules.idioms.form import BuiltinIdiom, emit
from keraform.translate.rules.record import Code
from keraform.translate.rules.torch_names import canonical
from keraform.translate.uses import asked_about

if TYPE_CHECKING:
    from keraform.translate.calls import CallTranslator


# Classes of which a port has no objects.
FOREIGN_CLASSES = frozenset({"nn.attention.flex_attention.BlockMask", "nn.DataParallel"})


def isinstance_(calls: CallTranslator, node: cst.Call) -> Code | None:
    """`isinstance(x, torch.Tensor)`, and `isinstance(x, BlockMask)`, of which ports have none."""
    name = calls.module.dotted(node.args[1].value) if len(node.args) == 2 else None
    asked = asked_about(node)
    if asked is not None:  # whatever it was taken for
        with calls.module.locals({asked: UNKNOWN}):
            return calls.generic(Code(("isinstance",)), node, kind=BOOL)
    if calls.module.expressions(node.args[0].value).kind == DEVICE:
        return Code(("True",), BOOL)
    if name in ("torch.Tensor", "torch.FloatTensor", "torch.LongTensor"):
        value = calls.module.expressions(node.args[0].value)
        return calls.ops_call("is_tensor", [value], BOOL)
    if name is not None and canonical(name) in FOREIGN_CLASSES:
        return Code(("False",), BOOL)
    if name == "torch.Size":
        value = calls.module.expressions(node.args[0].value)
        return Code(called("isinstance", value.doc, ("tuple",)), BOOL)
    return None


# What has a known number of entries in a graph too.
COUNTED = frozenset({"size", "list", "tuple", "dict", "layers", "str", "py"})


def len_(calls: CallTranslator, node: cst.Call) -> Code:
    """`len(x)` of a tensor."""
    value = calls.module.expressions(node.args[0].value)
    if value.text == "()":
        return Code(("0",), INT)
    if value.kind.is_tensor:
        return emit(calls, "ops.shape({self})[0]", {"self": value}, DIM)
    return Code(called("len", value.doc), INT if value.kind.tag in COUNTED else DIM)


def number(name: str) -> BuiltinIdiom:
    """`int(x)` of a size or tensor."""

    def idiom(calls: CallTranslator, node: cst.Call) -> Code | None:
        if len(node.args) != 1:
            return None
        value = calls.module.expressions(node.args[0].value)
        kind = value.kind
        if not kind.is_tensor and kind.tag != "dim" and kind != PERHAPS_DIM:
            return None
        calls.module.imports.need("keraform.runtime.chunking", f"torch_{name}")
        result = DIM if name == "int" else PY
        return emit(calls, f"torch_{name}({{self}})", {"self": value}, result)

    return idiom


def abs_(calls: CallTranslator, node: cst.Call) -> Code:
    """`abs(x)` is of x's kind."""
    kind = calls.module.expressions(node.args[0].value).kind
    return calls.generic(Code(("abs",)), node, kind=replace(kind, name=None))


def enumerate_(calls: CallTranslator, node: cst.Call) -> Code:
    """`enumerate(x)` yields pairs."""
    element = calls.module.expressions(node.args[0].value).kind.element()
    kind = Kind("py", items=(INT, element), name="enumerate")
    return calls.generic(Code(("enumerate",)), node, kind=kind)


def zip_(calls: CallTranslator, node: cst.Call) -> Code:
    """`zip(a, b)` yields tuples."""
    if any(arg.star for arg in node.args):
        return calls.generic(Code(("zip",)), node, kind=UNKNOWN)
    kinds = tuple(calls.module.expressions(arg.value).kind.element() for arg in node.args)
    return calls.generic(Code(("zip",)), node, kind=Kind("py", items=kinds, name="zip"))


def getattr_(calls: CallTranslator, node: cst.Call) -> Code:
    """`getattr(config, "x", default)`: a Python value; `getattr(self, name)(...)`: a layer;
    `getattr(torch, "float32")`: the name of a dtype.
    """
    if calls.module.dotted(node.args[0].value) == "torch":
        return Code(calls.module.expressions(node.args[1].value).doc, DTYPE)
    first = calls.module.expressions(node.args[0].value)
    kind = PY if first.kind.tag in ("config", "py") else UNKNOWN
    return calls.generic(Code(("getattr",)), node, kind=kind)


def hasattr_(calls: CallTranslator, node: cst.Call) -> Code | None:
    """`hasattr(torch..., name)` is known, and so are the hooks of accelerate, which nothing has; of
    a name that every layer of Keras has, the question is whether the model gave it a value.
    """
    name = calls.module.text(node.args[-1].value).strip("\"'")
    if name == "_hf_hook":
        return Code(("False",), BOOL)
    if name in OWNED_NAMES:
        layer = calls.module.expressions(node.args[0].value)
        if layer.kind.tag == "layer":
            calls.module.imports.need("keraform.runtime", "tree")
            return Code(called("tree.owns", layer.doc, (f'"{name}"',)), BOOL)
    dotted = calls.module.dotted(node.args[0].value)
    if dotted is not None and dotted.split(".")[0] == "torch":
        return Code(("True",), BOOL)
    return None


def next_(calls: CallTranslator, node: cst.Call) -> Code | None:
    """`next(self.parameters())`: Keras's `variables` are a list."""
    value = calls.module.expressions(node.args[0].value)
    if value.kind.tag != "list" or len(node.args) > 1:
        return None
    return Code(called("next", called("iter", value.doc)), value.kind.item())


def iter_(calls: CallTranslator, node: cst.Call) -> Code | None:
    """`iter(x)` of a tensor: a graph's tensors have no rows to Python."""
    value = calls.module.expressions(node.args[0].value)
    if not value.kind.is_tensor or len(node.args) > 1:
        return None
    return emit(calls, "iter(kf.unbind({self}))", {"self": value}, UNKNOWN)


BUILTINS: dict[str, BuiltinIdiom] = {
    "isinstance": isinstance_,
    "abs": abs_,
    "len": len_,
    "int": number("int"),
    "float": number("float"),
    "enumerate": enumerate_,
    "zip": zip_,
    "getattr": getattr_,
    "hasattr": hasattr_,
    "iter": iter_,
    "next": next_,
}
