"""Idioms of arithmetic: elementwise functions, choices, softmax, Einstein sums."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import libcst as cst

from keraform.translate.kinds import LIST, TENSOR, Kind, broadcast_rank, whole
from keraform.translate.layout import Group, Item, doc
from keraform.translate.rules.idioms.form import (
    FunctionIdiom,
    MethodIdiom,
    as_function,
    bound_to,
    cast_first,
    emit,
    given,
    like,
)
from keraform.translate.rules.record import Arguments, Code, Refusal

if TYPE_CHECKING:
    from keraform.translate.calls import CallTranslator


def softmax_function(name: str) -> FunctionIdiom:
    """`F.softmax(x, dim, dtype=...)` casts first."""

    def idiom(calls: CallTranslator, node: cst.Call) -> Code:
        signature = "input, dim?, _stacklevel!, dtype?"
        bound = bound_to(f"torch.{name}", signature, calls.arguments(node))
        kind = cast_first(calls, bound, "input", like(bound["input"], "float"))
        return emit(calls, f"ops.{name}({{input}}, axis={{dim}})", bound, kind)

    return idiom


def softmax_method(name: str) -> MethodIdiom:
    """`x.softmax(dim, dtype=...)`."""

    def idiom(calls: CallTranslator, receiver: Code, arguments: Arguments) -> Code:
        bound = bound_to(f"Tensor.{name}", "dim, dtype?", arguments) | {"self": receiver}
        kind = cast_first(calls, bound, "self", like(receiver, "float"))
        return emit(calls, f"ops.{name}({{self}}, axis={{dim}})", bound, kind)

    return idiom


def where(calls: CallTranslator, node: cst.Call) -> Code:
    """`torch.where` with one argument is nonzero. Of two numbers it makes float32 or int64, which
    no backend's own does everywhere.
    """
    arguments = calls.arguments(node)
    if len(arguments) == 1:
        bound = {"input": arguments[0][1]}
        return emit(calls, "kf.nonzero({input}, as_tuple=True)", bound, LIST)
    bound = bound_to("torch.where", "condition, input, other", arguments)
    kinds = [bound[name].kind for name in ("input", "other")]
    if all(each.is_python for each in kinds):
        dtype = "float32" if any(each.is_fraction for each in kinds) else None
        dtype = "int64" if whole(*kinds) else dtype
        return emit(calls, "kf.where({condition}, {input}, {other})", bound, Kind("tensor", dtype))
    kind = next((each for each in kinds if each.is_tensor), TENSOR)
    kind = replace(kind, rank=broadcast_rank([bound["condition"].kind, *kinds]))
    return emit(calls, "ops.where({condition}, {input}, {other})", bound, kind)


def einsum(calls: CallTranslator, node: cst.Call) -> Code:
    """`torch.einsum(equation, a, b)`, and with a list of operands."""
    arguments = [code for _, code in calls.arguments(node)]
    calls.module.imports.need("keras", "ops")
    items = [Item(code.doc) for code in arguments]
    if len(arguments) == 2 and arguments[1].kind.tag in ("list", "tuple"):
        items[1] = Item(doc("*", arguments[1].operand()))
    dtype = next((code.kind.dtype for code in arguments if code.kind.is_tensor), None)
    return Code(doc("ops.einsum", Group("(", items, ")")), Kind("tensor", dtype))


def clamp(calls: CallTranslator, receiver: Code, arguments: Arguments) -> Code:
    """`x.clamp(min, max)` with both, or only one, of its bounds."""
    bound = bound_to("Tensor.clamp", "min?, max?, out^", arguments) | {"self": receiver}
    limits = [name for name in ("min", "max") if given(bound, name)]
    kind = like(receiver)
    if any(bound[name].kind.is_tensor for name in limits):
        return emit(calls, "kf.clamp({self}, min={min}, max={max})", bound, kind)
    if limits == ["min", "max"]:
        return emit(calls, "ops.clip({self}, {min}, {max})", bound, kind)
    if limits == ["min"]:
        return emit(calls, "ops.maximum({self}, {min})", bound, kind)
    if limits == ["max"]:
        return emit(calls, "ops.minimum({self}, {max})", bound, kind)
    raise Refusal("Tensor.clamp", "neither bound is given")


def power(calls: CallTranslator, receiver: Code, arguments: Arguments) -> Code:
    """`x.pow(2)` is a square."""
    bound = bound_to("Tensor.pow", "exponent", arguments) | {"self": receiver}
    if bound["exponent"].text == "2":
        return emit(calls, "ops.square({self})", bound, like(receiver))
    tensor = receiver if receiver.kind.is_tensor else bound["exponent"]
    return emit(calls, "ops.power({self}, {exponent})", bound, like(tensor))


def scaled(name: str, function: str) -> MethodIdiom:
    """`x.add(y, alpha=a)` and `x.sub(y, alpha=a)`."""

    def idiom(calls: CallTranslator, receiver: Code, arguments: Arguments) -> Code:
        bound = bound_to(f"Tensor.{name}", "other, alpha?, out^", arguments) | {"self": receiver}
        tensor = receiver if receiver.kind.is_tensor else bound["other"]
        if "alpha" not in bound:
            return emit(calls, f"ops.{function}({{self}}, {{other}})", bound, like(tensor))
        template = f"kf.{function}({{self}}, {{other}}, alpha={{alpha}})"
        return emit(calls, template, bound, like(tensor))

    return idiom


def backward(_calls: CallTranslator, _receiver: Code, _arguments: Arguments) -> Code:
    """Refused."""
    raise Refusal("Tensor.backward", "gradients are Keras's matter")


def bits(word: str) -> MethodIdiom:
    """`x.bitwise_and(y)`, which of booleans is `logical_and`."""

    def idiom(calls: CallTranslator, receiver: Code, arguments: Arguments) -> Code:
        bound = bound_to(f"Tensor.bitwise_{word}", "other", arguments) | {"self": receiver}
        classes = {receiver.kind.dtype_class, bound["other"].kind.dtype_class}
        function = f"kf.bitwise_{word}"
        if classes <= {"int"} or classes <= {"bool"}:
            function = f"ops.{'bitwise' if classes == {'int'} else 'logical'}_{word}"
        return emit(calls, f"{function}({{self}}, {{other}})", bound, like(receiver))

    return idiom


BITS = ("and", "or", "xor")
METHODS: dict[str, MethodIdiom] = {
    **{f"bitwise_{word}": bits(word) for word in BITS},
    "softmax": softmax_method("softmax"),
    "log_softmax": softmax_method("log_softmax"),
    "clamp": clamp,
    "clip": clamp,
    "pow": power,
    "add": scaled("add", "add"),
    "sub": scaled("sub", "subtract"),
    "backward": backward,
}
FUNCTIONS: dict[str, FunctionIdiom] = {
    "torch.softmax": softmax_function("softmax"),
    "torch.log_softmax": softmax_function("log_softmax"),
    "torch.where": where,
    "torch.einsum": einsum,
    "torch.add": as_function(METHODS["add"]),
    "torch.sub": as_function(METHODS["sub"]),
    **{f"torch.bitwise_{word}": as_function(bits(word)) for word in BITS},
}
