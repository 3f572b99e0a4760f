"""Idioms that read and change shapes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import libcst as cst

from keraform.translate.kinds import DIM, SIZE, Kind
from keraform.translate.layout import doc
from keraform.translate.rules.functions import FUNCTIONS as FUNCTION_RULES
from keraform.translate.rules.idioms.form import FunctionIdiom, MethodIdiom, bound_to, emit, like
from keraform.translate.rules.methods import METHODS as METHOD_RULES
from keraform.translate.rules.record import Arguments, Code, bind, pack_tuple, parse_kind

if TYPE_CHECKING:
    from keraform.translate.calls import CallTranslator


def size(calls: CallTranslator, receiver: Code, arguments: Arguments) -> Code:
    """`x.size()` and `x.size(i)`."""
    shape = emit(calls, "ops.shape({self})", {"self": receiver}, SIZE)
    if not arguments:
        return shape
    return Code(doc(shape.doc, "[", arguments[0][1].doc, "]"), DIM)


def expand(calls: CallTranslator, receiver: Code, arguments: Arguments) -> Code:
    """`x.expand(sizes)`; without -1 it is a plain broadcast."""
    sizes = pack_tuple(Code((), source=[code for _, code in arguments]))
    kinds = sizes.kind.items if sizes.kind.tag == "tuple" else ()
    sure = bool(kinds) and all(k.tag in ("dim", "int") for k in kinds) and "-" not in sizes.text
    plain = sure or (sizes.kind.tag == "size" and " + " not in sizes.text)
    template = "ops.broadcast_to({self}, {sizes})" if plain else "kf.expand({self}, {sizes})"
    return emit(calls, template, {"self": receiver, "sizes": sizes}, like(receiver))


def squeeze(calls: CallTranslator, receiver: Code, arguments: Arguments) -> Code:
    """`x.squeeze(dim)` leaves axes alone that are not 1, which Keras refuses."""
    bound = bind(METHOD_RULES["squeeze"], [("self", receiver), *arguments])
    rank = receiver.kind.rank - 1 if receiver.kind.rank and "dim" in bound else None
    kind = Kind("tensor", like(receiver).dtype, rank)
    return emit(calls, "kf.squeeze({self}, {dim})", bound, kind)


def chunk(calls: CallTranslator, receiver: Code, arguments: Arguments) -> Code:
    """`x.chunk(n)`; unpacked into n names it divides, because Keras raises where it does not."""
    bound = bind(METHOD_RULES["chunk"], [("self", receiver), *arguments])
    kind = Kind("list", items=(like(receiver),))
    if str(calls.module.scope.unpacking) == bound["chunks"].text:
        return emit(calls, "ops.split({self}, {chunks}, axis={dim})", bound, kind)
    return emit(calls, "kf.chunk({self}, {chunks}, dim={dim})", bound, kind)


def stack(calls: CallTranslator, node: cst.Call) -> Code:
    """`torch.stack`; the results of a scan are stacked already."""
    bound = bound_to("torch.stack", "tensors, dim=0, out^", calls.arguments(node))
    tensors = bound["tensors"]
    if tensors.kind.name != "scanned":
        kind = parse_kind("like:tensors", bound)
        return emit(calls, "ops.stack({tensors}, axis={dim})", bound, kind)
    kind = Kind("tensor", tensors.kind.dtype)
    if bound["dim"].text == "0":
        return Code(tensors.doc, kind)
    return emit(calls, "ops.moveaxis({tensors}, 0, {dim})", bound, kind)


def cat(calls: CallTranslator, node: cst.Call) -> Code:
    """`torch.cat`; the results of some scans are joined already."""
    arguments = calls.arguments(node)
    tensors = arguments[0][1] if arguments else None
    if tensors is not None and tensors.kind.name == "joined":
        return Code(tensors.doc, Kind("tensor", tensors.kind.dtype, tensors.kind.rank))
    return calls.apply(FUNCTION_RULES["torch.cat"], arguments)


FUNCTIONS: dict[str, FunctionIdiom] = {"torch.stack": stack, "torch.cat": cat}
METHODS: dict[str, MethodIdiom] = {
    "size": size,
    "expand": expand,
    "squeeze": squeeze,
    "chunk": chunk,
}
