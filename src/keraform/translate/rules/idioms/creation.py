"""Idioms that create tensors."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import libcst as cst

from keraform.translate.kinds import DTYPE, FLOAT_TENSOR, INT, Kind
from keraform.translate.layout import Group, Item, doc
from keraform.translate.rules.functions import FUNCTIONS as FUNCTION_RULES
from keraform.translate.rules.idioms.form import FunctionIdiom, MethodIdiom, emit, given, like
from keraform.translate.rules.methods import METHODS as METHOD_RULES
from keraform.translate.rules.record import Arguments, Code, bind, pack_tuple, parse_kind

if TYPE_CHECKING:
    from keraform.translate.calls import CallTranslator


def arange(calls: CallTranslator, node: cst.Call) -> Code:
    """`torch.arange` gives int64 for integers; Keras gives int32, so the dtype is written."""
    arguments = calls.arguments(node)
    options = {keyword: code for keyword, code in arguments if keyword is not None}
    bounds = [code for keyword, code in arguments if keyword is None]
    bounds += [options[name] for name in ("start", "end", "step") if name in options]
    dtype = options.get("dtype")
    if dtype is None and not any(map(_is_float, bounds)):
        if not all(map(_is_integer, bounds)):
            return calls.ops_call("arange", bounds, Kind("tensor", "int64"), "kf")
        dtype = Code(('"int64"',), DTYPE)
    elif dtype is not None and _is_int_dtype(dtype) and any(map(_is_float, bounds)):
        kind = Kind("tensor", dtype.text.strip('"'), 1)
        return calls.ops_call("arange", [*bounds, Code(doc("dtype=", dtype.doc))], kind, "kf")
    items = [Item(code.doc) for code in bounds]
    if dtype is not None and dtype.text != "None":
        items.append(Item(doc("dtype=", dtype.doc)))
    calls.module.imports.need("keras", "ops")
    name = (dtype.kind.name or dtype.text.strip('"')) if dtype is not None else "float"
    kind = Kind("tensor", name if re.fullmatch(r"(b?float|u?int)\d*", name) else None, 1)
    return Code(doc("ops.arange", Group("(", items, ")")), kind)


def full(calls: CallTranslator, node: cst.Call) -> Code:
    """`torch.full((), 0.0)`, like a number, makes no other dtype of what it meets; then it is one."""
    rule, arguments = FUNCTION_RULES["torch.full"], calls.arguments(node)
    bound = bind(rule, arguments)
    value = bound["fill_value"]
    alone = bound["size"].text in ("()", "[]") and not given(bound, "dtype")
    if alone and re.fullmatch(r"-?[\d.]+", value.text):
        return Code(value.doc)
    return calls.apply(rule, arguments)


def full_like(calls: CallTranslator, node: cst.Call) -> Code:
    """`torch.full_like(x, True)` has the dtype of `x`, of which TensorFlow takes ones and zeros."""
    rule, arguments = FUNCTION_RULES["torch.full_like"], calls.arguments(node)
    bound = bind(rule, arguments)
    number = {"True": "1", "False": "0"}.get(bound["fill_value"].text)
    if number is None or given(bound, "dtype"):
        return calls.apply(rule, arguments)
    filled: Arguments = [("input", bound["input"]), ("fill_value", Code((number,), INT))]
    return calls.apply(rule, filled)


def _is_int_dtype(dtype: Code) -> bool:
    return re.fullmatch(r"u?int\d+", dtype.text.strip('"')) is not None


def _is_float(code: Code) -> bool:
    return code.kind.tag == "float" or (code.kind.is_tensor and code.kind.dtype_class == "float")


def _is_integer(code: Code) -> bool:
    return code.kind.tag in ("int", "dim", "py") or code.kind.dtype_class == "int"


def tensor_class(dtype: str) -> FunctionIdiom:
    """`torch.Tensor(2, n)` is uninitialised, `torch.Tensor(data)` holds the data, as float32; the
    classes of other dtypes likewise.
    """

    def idiom(calls: CallTranslator, node: cst.Call) -> Code:
        codes = [code for _, code in calls.arguments(node)]
        sized = len(codes) != 1 or codes[0].kind.tag in ("int", "dim", "size") or codes[0].star
        if not sized:
            template = f'kf.tensor({{data}}, dtype="{dtype}")'
            return emit(calls, template, {"data": codes[0]}, Kind("tensor", dtype))
        size = pack_tuple(Code((), source=codes))
        if dtype == "float32":
            return emit(calls, "ops.zeros({size})", {"size": size}, FLOAT_TENSOR)
        template = f'ops.zeros({{size}}, dtype="{dtype}")'
        return emit(calls, template, {"size": size}, Kind("tensor", dtype))

    return idiom


# What the classes of tensors hold.
TENSOR_CLASSES = {
    "torch.Tensor": "float32",
    "torch.FloatTensor": "float32",
    "torch.DoubleTensor": "float64",
    "torch.HalfTensor": "float16",
    "torch.LongTensor": "int64",
    "torch.IntTensor": "int32",
    "torch.BoolTensor": "bool",
}


def new(name: str) -> MethodIdiom:
    """`x.new_zeros(size)` keeps the dtype of `x`, as `x.new(size)` does, which fills in nothing."""

    def idiom(calls: CallTranslator, receiver: Code, arguments: Arguments) -> Code:
        rule = METHOD_RULES[name]
        bound = bind(rule, [("self", receiver), *arguments])
        if "dtype" in bound:
            kind = parse_kind("dtype:dtype", bound)
        else:
            kind = like(receiver)
            bound["dtype"] = Code(doc(receiver.operand(), ".dtype"), DTYPE)
        return emit(calls, rule.emit, bound, kind)

    return idiom


FUNCTIONS: dict[str, FunctionIdiom] = {
    "torch.arange": arange,
    "torch.full": full,
    "torch.full_like": full_like,
    **{name: tensor_class(dtype) for name, dtype in TENSOR_CLASSES.items()},
}
METHODS: dict[str, MethodIdiom] = {
    name: new(name)
    for name in ("new", "new_zeros", "new_ones", "new_empty", "new_full", "new_tensor")
}
