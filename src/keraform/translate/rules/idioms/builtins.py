"""Idioms of Python's builtins on tensors, sizes and layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import libcst as cst

from keraform.translate.kinds import BOOL, DIM, DTYPE, INT, PERHAPS_DIM, PY, UNKNOWN, Kind
from keraform.translate.layout import called
from keraform.translate.rules.idioms.form import BuiltinIdiom, emit
from keraform.translate.rules.record import Code

if TYPE_CHECKING:
    from keraform.translate.calls import CallTranslator


def isinstance_(calls: CallTranslator, node: cst.Call) -> Code | None:
    """`isinstance(x, torch.Tensor)`, and `isinstance(x, BlockMask)`, of which ports have none."""
    name = calls.module.dotted(node.args[1].value) if len(node.args) == 2 else None
    if name in ("torch.Tensor", "torch.FloatTensor", "torch.LongTensor"):
        value = calls.module.expressions(node.args[0].value)
        return calls.ops_call("is_tensor", [value], BOOL)
    if name is not None and name.endswith(".BlockMask"):
        return Code(("False",), BOOL)
    if name == "torch.Size":
        value = calls.module.expressions(node.args[0].value)
        return Code(called("isinstance", value.doc, ("tuple",)), BOOL)
    return None


def len_(calls: CallTranslator, node: cst.Call) -> Code:
    """`len(x)` of a tensor."""
    value = calls.module.expressions(node.args[0].value)
    if value.kind.is_tensor:
        return emit(calls, "ops.shape({self})[0]", {"self": value}, DIM)
    return Code(called("len", value.doc), INT if value.kind.tag == "size" else DIM)


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


def enumerate_(calls: CallTranslator, node: cst.Call) -> Code:
    """`enumerate(x)` yields pairs."""
    element = calls.module.expressions(node.args[0].value).kind.element()
    kind = Kind("py", items=(INT, element), name="enumerate")
    return calls.generic(Code(("enumerate",)), node, kind=kind)


def zip_(calls: CallTranslator, node: cst.Call) -> Code:
    """`zip(a, b)` yields tuples."""
    kinds = tuple(calls.module.expressions(arg.value).kind.element() for arg in node.args)
    return calls.generic(Code(("zip",)), node, kind=Kind("py", items=kinds, name="zip"))


def getattr_(calls: CallTranslator, node: cst.Call) -> Code:
    """`getattr(config, "x", default)`: a Python value; `getattr(self, name)(...)`: a layer;
    `getattr(torch, config.dtype)`: a dtype, which is its name.
    """
    if calls.module.dotted(node.args[0].value) == "torch" and len(node.args) == 2:
        name = calls.module.expressions(node.args[1].value)
        if "dtype" in name.text:
            return Code(name.doc, DTYPE, name.precedence)
    first = calls.module.expressions(node.args[0].value)
    kind = PY if first.kind.tag in ("config", "py") else UNKNOWN
    return calls.generic(Code(("getattr",)), node, kind=kind)


def hasattr_(calls: CallTranslator, node: cst.Call) -> Code | None:
    """`hasattr(torch..., name)` is known, and so are the hooks of accelerate, which nothing has."""
    if calls.module.text(node.args[-1].value).strip("\"'") == "_hf_hook":
        return Code(("False",), BOOL)
    dotted = calls.module.dotted(node.args[0].value)
    if dotted is not None and dotted.split(".")[0] == "torch":
        return Code(("True",), BOOL)
    return None


BUILTINS: dict[str, BuiltinIdiom] = {
    "isinstance": isinstance_,
    "len": len_,
    "int": number("int"),
    "float": number("float"),
    "enumerate": enumerate_,
    "zip": zip_,
    "getattr": getattr_,
    "hasattr": hasattr_,
}
