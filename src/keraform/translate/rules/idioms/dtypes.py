"""Idioms about dtypes and devices."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import libcst as cst

from keraform.translate.kinds import DEVICE, DTYPE, FLOAT_LIMITS, PY, TENSOR, Kind
from keraform.translate.layout import doc
from keraform.translate.rules.idioms.form import FunctionIdiom, MethodIdiom, bound_to, emit
from keraform.translate.rules.record import Arguments, Code

if TYPE_CHECKING:
    from keraform.translate.calls import CallTranslator


# What `min`, `max` and `eps` of a dtype are.
NUMBER_LIMITS = {"finfo": FLOAT_LIMITS, "iinfo": PY}


def limits(name: str) -> FunctionIdiom:
    """`torch.finfo(dtype)` and `torch.iinfo(dtype)`."""

    def idiom(calls: CallTranslator, node: cst.Call) -> Code:
        bound = bound_to(f"torch.{name}", "type", calls.arguments(node))
        return emit(calls, f"kf.{name}({{type}})", bound, NUMBER_LIMITS[name])

    return idiom


def device(_calls: CallTranslator, _node: cst.Call) -> Code:
    """`torch.device(...)` vanishes."""
    return Code(("None",), DEVICE)


def default_dtype(calls: CallTranslator, _node: cst.Call) -> Code:
    """`torch.get_default_dtype()`."""
    return emit(calls, "kf.get_default_dtype()", {}, DTYPE)


def autocast_dtype(_calls: CallTranslator, _node: cst.Call) -> Code:
    """`torch.get_autocast_dtype(device)`, which nothing uses: autocasting is never on."""
    return Code(('"bfloat16"',), DTYPE)


def to(calls: CallTranslator, receiver: Code, arguments: Arguments) -> Code:
    """`x.to(dtype)`, `x.to(device)`, `x.to(other)`: only the dtype remains."""
    dtype: Code | None = None
    for keyword, code in arguments:
        if keyword in ("non_blocking", "copy", "memory_format") or _is_device(code):
            continue
        if keyword == "dtype" or code.kind.tag == "dtype" or code.kind.tag == "str":
            dtype = code
        elif code.kind.is_tensor:
            dtype = Code(doc(code.operand(), ".dtype"), DTYPE)
        elif keyword in (None, "device", "other") and code.kind.tag not in ("none", "py", "int"):
            calls.module.count_helper("to")
            bound = {"self": receiver, "other": code}
            return emit(calls, "kf.dynamic.to({self}, {other})", bound, TENSOR)
    if dtype is None or dtype.text == "None":
        return receiver
    kind = Kind("tensor", _exact_dtype(calls, dtype), receiver.kind.rank)
    return emit(calls, "ops.cast({self}, {dtype})", {"self": receiver, "dtype": dtype}, kind)


def _is_device(code: Code) -> bool:
    """Whether an argument of `to` is a device, or the flag that goes with one."""
    return code.kind.tag in ("bool", "device") or bool(
        re.fullmatch(r"[\"'](cpu|cuda|mps|meta)(:\d+)?[\"']", code.text)
    )


def _exact_dtype(calls: CallTranslator, dtype: Code) -> str | None:
    """The dtype that a literal names, or that of `x` in `x.dtype`."""
    name = dtype.text.strip('"')
    if re.fullmatch(r"(b?float|u?int|complex)\d*|bool", name):
        return name
    if dtype.kind.tag == "dtype" and dtype.kind.dtype is not None:
        return dtype.kind.dtype
    kind = calls.module.scope.names.get(name.removesuffix(".dtype"))
    return kind.dtype if kind is not None and name.endswith(".dtype") else None


def type_(calls: CallTranslator, receiver: Code, arguments: Arguments) -> Code:
    """`x.type(dtype)`."""
    if not arguments:
        return Code(doc(receiver.operand(), ".dtype"), DTYPE)
    return to(calls, receiver, [("dtype", arguments[0][1])])


FUNCTIONS: dict[str, FunctionIdiom] = {
    "torch.finfo": limits("finfo"),
    "torch.iinfo": limits("iinfo"),
    "torch.device": device,
    "torch.get_autocast_dtype": autocast_dtype,
    "torch.get_default_dtype": default_dtype,
}
METHODS: dict[str, MethodIdiom] = {"to": to, "type": type_}
