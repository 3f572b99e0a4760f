"""Rules that a template cannot say: constructs whose port depends on the kinds or the number of their arguments."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import libcst as cst

from keraform.translate.kinds import (
    BOOL,
    DEVICE,
    DIM,
    DTYPE,
    FLOAT_TENSOR,
    LIST,
    PY,
    SIZE,
    TENSOR,
    UNKNOWN,
    Kind,
)
from keraform.translate.layout import Doc, Group, Item, doc
from keraform.translate.rules.functions import FUNCTIONS as FUNCTION_RULES
from keraform.translate.rules.methods import METHODS as METHOD_RULES
from keraform.translate.rules.record import Code, Refusal, Rule, bind, fill, pack_tuple, parse_kind

if TYPE_CHECKING:
    from keraform.translate.calls import Arguments, CallTranslator

Special = Callable[["CallTranslator", cst.Call], Code]
Method = Callable[["CallTranslator", Code, "Arguments"], Code]


def _call(
    calls: CallTranslator,
    template: str,
    arguments: dict[str, Code],
    kind: Kind,
    precedence: int = 14,
) -> Code:
    document = fill(template, arguments)
    calls.module.imports.need_for(document)
    return Code(document, kind, precedence)


def _bound(name: str, signature: str, arguments: Arguments) -> dict[str, Code]:
    return bind(Rule(name, signature, ""), arguments)


# Functions


def arange(calls: CallTranslator, node: cst.Call) -> Code:
    """`torch.arange` gives int64 for integers; Keras gives int32, so the dtype is written."""
    arguments = calls.arguments(node)
    options = {k: c for k, c in arguments if k is not None}
    positional = [c for k, c in arguments if k is None]
    for name in ("start", "end", "step"):
        if name in options:
            positional.append(options[name])
    dtype = options.get("dtype")
    if dtype is None:
        floats = any(
            c.kind.tag == "float" or (c.kind.is_tensor and c.kind.dtype_class == "float")
            for c in positional
        )
        integers = all(
            c.kind.tag in ("int", "dim", "py") or c.kind.dtype_class == "int" for c in positional
        )
        if not floats and integers:
            dtype = Code(('"int64"',), DTYPE)
        elif not floats:
            return calls.ops_call("arange", positional, Kind("tensor", "int64"), "kf")
    items = [Item(c.doc) for c in positional]
    if dtype is not None and dtype.text != "None":
        items.append(Item(doc("dtype=", dtype.doc)))
    calls.module.imports.need("keras", "ops")
    name = dtype.text.strip('"') if dtype is not None else "float"
    kind = Kind("tensor", name if re.fullmatch(r"(b?float|u?int)\d*", name) else None, 1)
    return Code(doc("ops.arange", Group("(", items, ")")), kind)


def softmax_function(name: str) -> Special:
    """`F.softmax(x, dim, dtype=...)` casts first."""

    def special(calls: CallTranslator, node: cst.Call) -> Code:
        bound = _bound(f"torch.{name}", "input, dim?, _stacklevel!, dtype?", calls.arguments(node))
        source = bound["input"]
        kind = Kind("tensor", source.kind.dtype if source.kind.is_tensor else "float")
        dtype = bound.get("dtype")
        if dtype is not None and dtype.text != "None":
            bound["input"] = _call(calls, "ops.cast({input}, {dtype})", bound, kind)
            kind = parse_kind("dtype:dtype", bound)
        return _call(calls, f"ops.{name}({{input}}, axis={{dim}})", bound, kind)

    return special


def limits(name: str) -> Special:
    """`torch.finfo(dtype)` and `torch.iinfo(dtype)`."""

    def special(calls: CallTranslator, node: cst.Call) -> Code:
        bound = _bound(f"torch.{name}", "type", calls.arguments(node))
        return _call(calls, f"kf.{name}({{type}})", bound, PY)

    return special


def max_function(name: str) -> Special:
    """`torch.max(x)`, `torch.max(x, dim)`, `torch.max(x, y)`."""

    def special(calls: CallTranslator, node: cst.Call) -> Code:
        (_, receiver), *rest = calls.arguments(node)
        return max_method(name)(calls, receiver, rest)

    return special


def randint(calls: CallTranslator, node: cst.Call) -> Code:
    """`torch.randint(high, size)` starts at 0."""
    arguments = calls.arguments(node)
    if not any(key == "low" for key, _ in arguments):
        if sum(key in (None, "high", "size") for key, _ in arguments) < 3:
            arguments.insert(0, ("low", Code(("0",), Kind("int"))))
    return calls.apply(FUNCTION_RULES["torch.randint"], arguments)


def mean_function(calls: CallTranslator, node: cst.Call) -> Code:
    """`torch.mean(x, dim, keepdim, dtype=...)`."""
    (_, receiver), *rest = calls.arguments(node)
    return mean(calls, receiver, rest)


def device(_calls: CallTranslator, _node: cst.Call) -> Code:
    """`torch.device(...)` vanishes."""
    return Code(("None",), DEVICE)


def where(calls: CallTranslator, node: cst.Call) -> Code:
    """`torch.where` with one argument is nonzero."""
    arguments = calls.arguments(node)
    if len(arguments) == 1:
        return _call(calls, "kf.nonzero({input}, as_tuple=True)", {"input": arguments[0][1]}, LIST)
    bound = _bound("torch.where", "condition, input, other", arguments)
    branches = [bound[n].kind for n in ("input", "other") if bound[n].kind.is_tensor]
    return _call(
        calls,
        "ops.where({condition}, {input}, {other})",
        bound,
        branches[0] if branches else TENSOR,
    )


def cast_tensor(calls: CallTranslator, node: cst.Call) -> Code:
    """`torch.Tensor(2, n)` is uninitialised, `torch.Tensor(data)` holds the data, as float32."""
    codes = [code for _, code in calls.arguments(node)]
    if len(codes) == 1 and codes[0].kind.tag not in ("int", "dim", "size") and not codes[0].star:
        kind = Kind("tensor", "float32")
        return _call(calls, 'kf.tensor({data}, dtype="float32")', {"data": codes[0]}, kind)
    size = pack_tuple(Code((), source=codes))
    return _call(calls, "ops.zeros({size})", {"size": size}, FLOAT_TENSOR)


def einsum(calls: CallTranslator, node: cst.Call) -> Code:
    """`torch.einsum(equation, a, b)`, and with a list of operands."""
    arguments = [c for _, c in calls.arguments(node)]
    calls.module.imports.need("keras", "ops")
    if len(arguments) == 2 and arguments[1].kind.tag in ("list", "tuple"):
        items = [Item(arguments[0].doc), Item(doc("*", arguments[1].operand()))]
    else:
        items = [Item(c.doc) for c in arguments]
    dtype = next((c.kind.dtype for c in arguments if c.kind.is_tensor), None)
    return Code(doc("ops.einsum", Group("(", items, ")")), Kind("tensor", dtype))


def stack(calls: CallTranslator, node: cst.Call) -> Code:
    """`torch.stack`; the results of a scan are stacked already."""
    bound = _bound("torch.stack", "tensors, dim=0, out^", calls.arguments(node))
    tensors = bound["tensors"]
    if tensors.kind.name == "scanned" and bound["dim"].text == "0":
        return Code(tensors.doc, Kind("tensor", tensors.kind.dtype))
    if tensors.kind.name == "scanned":
        return _call(
            calls, "ops.moveaxis({tensors}, 0, {dim})", bound, Kind("tensor", tensors.kind.dtype)
        )
    return _call(
        calls, "ops.stack({tensors}, axis={dim})", bound, parse_kind("like:tensors", bound)
    )


def broadcast_shapes(calls: CallTranslator, node: cst.Call) -> Code:
    """Refused: rarely used, and wrong on unknown sizes."""
    raise Refusal("torch.broadcast_shapes", "sizes may be unknown in a graph")


FUNCTIONS: dict[str, Special] = {
    "torch.arange": arange,
    "torch.softmax": softmax_function("softmax"),
    "torch.log_softmax": softmax_function("log_softmax"),
    "torch.finfo": limits("finfo"),
    "torch.iinfo": limits("iinfo"),
    "torch.max": max_function("max"),
    "torch.min": max_function("min"),
    "torch.mean": mean_function,
    "torch.randint": randint,
    "torch.device": device,
    "torch.where": where,
    "torch.Tensor": cast_tensor,
    "torch.FloatTensor": cast_tensor,
    "torch.einsum": einsum,
    "torch.stack": stack,
}


# Methods of tensors


def size(calls: CallTranslator, receiver: Code, arguments: Arguments) -> Code:
    """`x.size()` and `x.size(i)`."""
    shape = _call(calls, "ops.shape({self})", {"self": receiver}, SIZE)
    if not arguments:
        return shape
    return Code(doc(shape.doc, "[", arguments[0][1].doc, "]"), DIM)


def to(calls: CallTranslator, receiver: Code, arguments: Arguments) -> Code:
    """`x.to(dtype)`, `x.to(device)`, `x.to(other)`: only the dtype remains."""
    dtype: Code | None = None
    for keyword, code in arguments:
        if keyword in ("non_blocking", "copy", "memory_format") or code.kind.tag in (
            "bool",
            "device",
        ):
            continue
        if re.fullmatch(r"[\"'](cpu|cuda|mps|meta)(:\d+)?[\"']", code.text):
            continue
        if keyword == "dtype" or code.kind == DTYPE or code.kind.tag == "str":
            dtype = code
        elif code.kind.is_tensor:
            dtype = Code(doc(code.operand(), ".dtype"), DTYPE)
        elif keyword in (None, "device", "other"):
            if code.kind.tag in ("none", "py", "int"):
                continue
            calls.module.count_helper("to")
            bound = {"self": receiver, "other": code}
            return _call(calls, "kf.dynamic.to({self}, {other})", bound, TENSOR)
    if dtype is None or dtype.text == "None":
        return receiver
    name = dtype.text.strip('"')
    exact = name if re.fullmatch(r"(b?float|u?int)\d*|bool", name) else calls.module.dtype_of(name)
    kind = Kind("tensor", exact, receiver.kind.rank)
    return _call(calls, "ops.cast({self}, {dtype})", {"self": receiver, "dtype": dtype}, kind)


def max_method(name: str) -> Method:
    """`x.max()`, `x.max(dim)` (values and indices), `x.max(other)`."""

    def method(calls: CallTranslator, receiver: Code, arguments: Arguments) -> Code:
        kind = Kind("tensor", receiver.kind.dtype if receiver.kind.is_tensor else None)
        if not arguments:
            return _call(calls, f"ops.{name}({{self}})", {"self": receiver}, kind)
        first = arguments[0]
        if first[0] == "other" or (first[0] is None and first[1].kind.is_tensor):
            target = "maximum" if name == "max" else "minimum"
            return _call(
                calls,
                f"ops.{target}({{self}}, {{other}})",
                {"self": receiver, "other": first[1]},
                kind,
            )
        bound = _bound(f"Tensor.{name}", "dim, keepdim?", arguments) | {"self": receiver}
        pair = Kind("tuple", items=(kind, Kind("tensor", "int64")))
        return _call(
            calls,
            f"kf.{name}_with_indices({{self}}, dim={{dim}}, keepdim={{keepdim}})",
            bound,
            pair,
        )

    return method


def mean(calls: CallTranslator, receiver: Code, arguments: Arguments) -> Code:
    """`x.mean(dim, keepdim, dtype=...)` casts first."""
    bound = _bound("Tensor.mean", "dim?, keepdim?, dtype?, out^", arguments) | {"self": receiver}
    kind = Kind("tensor", receiver.kind.dtype if receiver.kind.is_tensor else None)
    dtype = bound.get("dtype")
    if dtype is not None and dtype.text != "None":
        kind = parse_kind("dtype:dtype", bound)
        bound["self"] = _call(calls, "ops.cast({self}, {dtype})", bound, kind)
    return _call(calls, "ops.mean({self}, axis={dim}, keepdims={keepdim})", bound, kind)


def plain_when_float(name: str, signature: str, template: str) -> Method:
    """Reductions that differ from Keras's for integers and booleans only."""

    def method(calls: CallTranslator, receiver: Code, arguments: Arguments) -> Code:
        rule = METHOD_RULES[name]
        bound = bind(rule, [("self", receiver), *arguments])
        dtype = bound.get("dtype")
        if receiver.kind.dtype_class == "float" and (dtype is None or dtype.text == "None"):
            return _call(calls, template, bound, Kind("tensor", receiver.kind.dtype))
        kind = (
            parse_kind("dtype:dtype", bound)
            if dtype is not None
            else Kind("tensor", "int64" if receiver.kind.dtype_class else None)
        )
        return _call(calls, str(rule.emit), bound, kind)

    return method


def chunk(calls: CallTranslator, receiver: Code, arguments: Arguments) -> Code:
    """`x.chunk(n)`; unpacked into n names it divides, because Keras raises where it does not."""
    bound = bind(METHOD_RULES["chunk"], [("self", receiver), *arguments])
    kind = Kind(
        "list", items=(Kind("tensor", receiver.kind.dtype if receiver.kind.is_tensor else None),)
    )
    if calls.module.unpacking == bound["chunks"].text:
        return _call(calls, "ops.split({self}, {chunks}, axis={dim})", bound, kind)
    return _call(calls, "kf.chunk({self}, {chunks}, dim={dim})", bound, kind)


def clamp(calls: CallTranslator, receiver: Code, arguments: Arguments) -> Code:
    """`x.clamp(min, max)` with both, or only one, of its bounds."""
    bound = _bound("Tensor.clamp", "min?, max?, out^", arguments) | {"self": receiver}
    low, high = (bound.get(n) for n in ("min", "max"))
    low, high = (c if c is not None and c.text != "None" else None for c in (low, high))
    kind = Kind("tensor", receiver.kind.dtype if receiver.kind.is_tensor else None)
    if any(c is not None and c.kind.is_tensor for c in (low, high)):
        return _call(calls, "kf.clamp({self}, min={min}, max={max})", bound, kind)
    if low is not None and high is not None:
        return _call(calls, "ops.clip({self}, {min}, {max})", bound, kind)
    if low is not None:
        return _call(calls, "ops.maximum({self}, {min})", bound, kind)
    if high is not None:
        return _call(calls, "ops.minimum({self}, {max})", bound, kind)
    raise Refusal("Tensor.clamp", "neither bound is given")


def expand(calls: CallTranslator, receiver: Code, arguments: Arguments) -> Code:
    """`x.expand(sizes)`; without -1 it is a plain broadcast."""
    sizes = pack_tuple(Code((), source=[code for _, code in arguments]))
    kinds = sizes.kind.items if sizes.kind.tag == "tuple" else ()
    sure = bool(kinds) and all(k.tag in ("dim", "int") for k in kinds) and "-" not in sizes.text
    kind = Kind("tensor", receiver.kind.dtype if receiver.kind.is_tensor else None)
    template = (
        "ops.broadcast_to({self}, {sizes})"
        if sure or sizes.kind.tag == "size"
        else "kf.expand({self}, {sizes})"
    )
    return _call(calls, template, {"self": receiver, "sizes": sizes}, kind)


def new(name: str) -> Method:
    """`x.new_zeros(size)` keeps the dtype of `x`."""

    def method(calls: CallTranslator, receiver: Code, arguments: Arguments) -> Code:
        bound = bind(METHOD_RULES[name], [("self", receiver), *arguments])
        kind = Kind("tensor", receiver.kind.dtype if receiver.kind.is_tensor else None)
        if "dtype" not in bound:
            bound["dtype"] = Code(doc(receiver.operand(), ".dtype"), DTYPE)
        else:
            kind = parse_kind("dtype:dtype", bound)
        return _call(calls, str(METHOD_RULES[name].emit), bound, kind)

    return method


def type_(calls: CallTranslator, receiver: Code, arguments: Arguments) -> Code:
    """`x.type(dtype)`."""
    if not arguments:
        return Code(doc(receiver.operand(), ".dtype"), DTYPE)
    return to(calls, receiver, [("dtype", arguments[0][1])])


def squeeze(calls: CallTranslator, receiver: Code, arguments: Arguments) -> Code:
    """`x.squeeze(dim)` leaves axes alone that are not 1, which Keras refuses."""
    bound = bind(METHOD_RULES["squeeze"], [("self", receiver), *arguments])
    rank = receiver.kind.rank - 1 if receiver.kind.rank and "dim" in bound else None
    kind = Kind("tensor", receiver.kind.dtype if receiver.kind.is_tensor else None, rank)
    return _call(calls, "kf.squeeze({self}, {dim})", bound, kind)


def softmax_method(name: str) -> Method:
    """`x.softmax(dim, dtype=...)`."""

    def method(calls: CallTranslator, receiver: Code, arguments: Arguments) -> Code:
        bound = _bound(f"Tensor.{name}", "dim, dtype?", arguments) | {"self": receiver}
        kind = Kind("tensor", receiver.kind.dtype if receiver.kind.is_tensor else "float")
        if "dtype" in bound and bound["dtype"].text != "None":
            bound["self"] = _call(calls, "ops.cast({self}, {dtype})", bound, kind)
            kind = parse_kind("dtype:dtype", bound)
        return _call(calls, f"ops.{name}({{self}}, axis={{dim}})", bound, kind)

    return method


def uniform(calls: CallTranslator, receiver: Code, arguments: Arguments) -> Code:
    """`x.uniform_(low, high)`."""
    bound = _bound("Tensor.uniform_", "low?, high?, generator!", arguments) | {"self": receiver}
    kind = Kind("tensor", receiver.kind.dtype if receiver.kind.is_tensor else "float")
    draw = _call(calls, "kf.rand(ops.shape({self}), dtype={self!o}.dtype)", bound, kind)
    if "high" not in bound:
        return draw
    bound["draw"] = draw
    return _call(calls, "{low!o} + ({high!o} - {low!o}) * {draw}", bound, kind, 9)


def power(calls: CallTranslator, receiver: Code, arguments: Arguments) -> Code:
    """`x.pow(2)` is a square."""
    bound = _bound("Tensor.pow", "exponent", arguments) | {"self": receiver}
    kind = Kind("tensor", receiver.kind.dtype if receiver.kind.is_tensor else None)
    if bound["exponent"].text == "2":
        return _call(calls, "ops.square({self})", bound, kind)
    return _call(calls, "ops.power({self}, {exponent})", bound, kind)


def backward(_calls: CallTranslator, _receiver: Code, _arguments: Arguments) -> Code:
    """Refused."""
    raise Refusal("Tensor.backward", "gradients are Keras's matter")


METHODS: dict[str, Method] = {
    "size": size, "to": to, "max": max_method("max"), "min": max_method("min"), "chunk": chunk, "clamp": clamp,
    "clip": clamp, "expand": expand, "type": type_, "squeeze": squeeze, "uniform": uniform, "pow": power, "backward": backward,
    "mean": mean, "softmax": softmax_method("softmax"), "log_softmax": softmax_method("log_softmax"),
    "sum": plain_when_float("sum", "dim?, keepdim?, dtype?", "ops.sum({self}, axis={dim}, keepdims={keepdim})"),
    "cumsum": plain_when_float("cumsum", "dim, dtype?", "ops.cumsum({self}, axis={dim})"),
    **{name: new(name) for name in ("new_zeros", "new_ones", "new_empty", "new_full", "new_tensor")},
}  # fmt: skip


# Builtins


def isinstance_(calls: CallTranslator, node: cst.Call) -> Code | None:
    """`isinstance(x, torch.Tensor)`."""
    names = calls.module.dotted(node.args[1].value) if len(node.args) == 2 else None
    if names in ("torch.Tensor", "torch.FloatTensor", "torch.LongTensor"):
        value = calls.module.expressions(node.args[0].value)
        return calls.ops_call("is_tensor", [value], BOOL)
    if names in ("torch.Size",):
        value = calls.module.expressions(node.args[0].value)
        return Code(doc("isinstance", Group("(", [Item(value.doc), Item(("tuple",))], ")")), BOOL)
    return None


def len_(calls: CallTranslator, node: cst.Call) -> Code | None:
    """`len(x)` of a tensor."""
    value = calls.module.expressions(node.args[0].value)
    if value.kind.is_tensor:
        return _call(calls, "ops.shape({self})[0]", {"self": value}, DIM)
    return Code(
        doc("len", Group("(", [Item(value.doc)], ")")),
        Kind("int") if value.kind.tag == "size" else DIM,
    )


def number(name: str) -> Special:
    """`int(x)` of a size or tensor."""

    def special(calls: CallTranslator, node: cst.Call) -> Code | None:
        if len(node.args) != 1:
            return None
        value = calls.module.expressions(node.args[0].value)
        if value.kind.is_tensor or value.kind.tag == "dim":
            calls.module.imports.need("keraform.runtime.chunking", f"torch_{name}")
            return _call(
                calls, f"torch_{name}({{self}})", {"self": value}, DIM if name == "int" else PY
            )
        return None

    return special  # type: ignore[return-value]


def enumerate_(calls: CallTranslator, node: cst.Call) -> Code | None:
    """`enumerate(x)` yields pairs."""
    inner = calls.module.expressions(node.args[0].value)
    element = calls.module.expressions.element_kind(inner)
    kind = Kind("py", items=(Kind("int"), element), name="enumerate")
    return calls.generic(Code(("enumerate",)), node, kind=kind)


def zip_(calls: CallTranslator, node: cst.Call) -> Code | None:
    """`zip(a, b)` yields tuples."""
    kinds = tuple(
        calls.module.expressions.element_kind(calls.module.expressions(a.value)) for a in node.args
    )
    return calls.generic(Code(("zip",)), node, kind=Kind("py", items=kinds, name="zip"))


def getattr_(calls: CallTranslator, node: cst.Call) -> Code | None:
    """`getattr(config, "x", default)`: a Python value; `getattr(self, name)(...)`: a layer."""
    first = calls.module.expressions(node.args[0].value)
    kind = PY if first.kind.tag in ("config", "py") else UNKNOWN
    return calls.generic(Code(("getattr",)), node, kind=kind)


def hasattr_(calls: CallTranslator, node: cst.Call) -> Code | None:
    """`hasattr(torch..., name)` is known."""
    dotted = calls.module.dotted(node.args[0].value)
    if dotted is not None and dotted.split(".")[0] == "torch":
        return Code(("True",), BOOL)
    return None


BUILTINS: dict[str, Callable[[CallTranslator, cst.Call], Code | None]] = {
    "isinstance": isinstance_, "len": len_, "int": number("int"), "float": number("float"), "enumerate": enumerate_,
    "zip": zip_, "getattr": getattr_, "hasattr": hasattr_,
}  # fmt: skip


# Modules


def module_list(calls: CallTranslator, node: cst.Call) -> Code:
    """`nn.ModuleList(x)` is the list itself."""
    if not node.args:
        return Code(("[]",), Kind("layers"))
    saved, calls.module.scope.assigning = calls.module.scope.assigning, None
    argument = node.args[0].value
    value = calls.module.expressions(argument)
    for arg in node.args:
        calls.module.comments_in(arg.whitespace_after_arg)
    calls.module.scope.assigning = saved
    kind = value.kind if value.kind.tag == "layers" else Kind("layers", name=value.kind.item().name)
    if isinstance(argument, (cst.List, cst.ListComp)):
        return Code(value.doc, kind)
    if isinstance(argument, cst.GeneratorExp):
        inner = value.doc[0]
        assert isinstance(inner, Group)
        return Code(doc(Group("[", inner.items, "]", trailing_comma=False)), kind)
    return Code(doc("list", Group("(", [Item(value.doc)], ")")), kind)


def module_dict(calls: CallTranslator, node: cst.Call) -> Code:
    """`nn.ModuleDict(x)` is the dict itself."""
    saved, calls.module.scope.assigning = calls.module.scope.assigning, None
    value = (
        calls.module.expressions(node.args[0].value) if node.args else Code(("{}",), Kind("dict"))
    )
    calls.module.scope.assigning = saved
    return value


def sequential(calls: CallTranslator, node: cst.Call) -> Code:
    """`nn.Sequential(...)`."""
    calls.module.imports.need("keraform.runtime", "layers")
    name = calls.module.scope.assigning
    calls.module.scope.assigning = None
    extra: tuple[Doc, ...] = ((f'name="{name}"',),) if name else ()
    code = calls.generic(
        Code(("layers.Sequential",)), node, extra, Kind("layer", name="nn.Sequential")
    )
    calls.module.scope.assigning = name
    return code


_INITIALIZERS = {
    "torch.ones": "ones",
    "torch.zeros": "zeros",
    "torch.empty": "zeros",
    "torch.FloatTensor": "zeros",
}


def parameter(calls: CallTranslator, node: cst.Call, trainable: bool = True) -> Code:
    """`nn.Parameter(torch.ones(n))` is a weight with an initializer, any other value is computed."""
    value = node.args[0].value
    self_name = calls.module.scope.self_name or "self"
    name = calls.module.scope.assigning
    kind = FLOAT_TENSOR
    options: list[Item] = [Item((f'name="{name}"',))] if name else []
    frozen = not trainable or any(
        a.keyword is not None
        and a.keyword.value == "requires_grad"
        and calls.module.text(a.value) == "False"
        for a in node.args
    )
    torch_name = calls.module.torch_callee(value)
    if torch_name in _INITIALIZERS and isinstance(value, cst.Call):
        bound = _bound(torch_name, "*size, device!, dtype?, requires_grad!", calls.arguments(value))
        if torch_name == "torch.FloatTensor":  # float32 whatever the model's dtype
            bound["dtype"] = Code(('"float32"',), DTYPE)
        shape = bound.get("size") or Code(("()",))
        items = [
            Item(doc("shape=", shape.doc)),
            Item((f'initializer="{_INITIALIZERS[torch_name]}"',)),
        ]
        if "dtype" in bound:
            items.append(Item(doc("dtype=", bound["dtype"].doc)))
            kind = parse_kind("dtype:dtype|float", bound)
        if frozen:
            items.append(Item(("trainable=False",)))
        return Code(doc(f"{self_name}.add_weight", Group("(", [*items, *options], ")")), kind)
    saved, calls.module.scope.assigning = calls.module.scope.assigning, None
    code = calls.module.expressions(value)
    calls.module.scope.assigning = saved
    items = [Item(code.doc), *options]
    if frozen:
        items.append(Item(("trainable=False",)))
    kind = code.kind if code.kind.is_tensor else kind
    return Code(doc(f"{self_name}.add_parameter", Group("(", items, ")")), kind)


def buffer(calls: CallTranslator, node: cst.Call) -> Code:
    """`nn.Buffer(x, persistent=False)`: a constant; a persistent one is a weight that is not trained."""
    persistent = next(
        (
            calls.module.text(a.value)
            for a in node.args
            if a.keyword is not None and a.keyword.value == "persistent"
        ),
        "True",
    )
    if persistent == "True":
        return parameter(calls, node.with_changes(args=node.args[:1]), trainable=False)
    saved, calls.module.scope.assigning = calls.module.scope.assigning, None
    value = calls.module.expressions(node.args[0].value)
    calls.module.scope.assigning = saved
    if persistent != "False":
        raise Refusal("nn.Buffer", "whether the buffer is saved is decided at run time")
    calls.module.imports.need("keraform.runtime", "layers")
    kind = value.kind if value.kind.is_tensor else TENSOR
    return Code(doc("layers.buffer", Group("(", [Item(value.doc)], ")")), kind)


def wrapped(function: str) -> Special:
    """`nn.utils.weight_norm(layer, ...)`."""

    def special(calls: CallTranslator, node: cst.Call) -> Code:
        calls.module.imports.need("keraform.runtime", "layers")
        return calls.generic(
            Code((f"layers.{function}",)), node, kind=Kind("layer", name="nn.Module")
        )

    return special


MODULES: dict[str, Special] = {
    "nn.ModuleList": module_list,
    "nn.ParameterList": module_list,
    "nn.ModuleDict": module_dict,
    "nn.Sequential": sequential,
    "nn.Parameter": parameter,
    "nn.Buffer": buffer,
}


# Methods of self


def register_buffer(calls: CallTranslator, node: cst.Call) -> Code:
    """`self.register_buffer("x", value, persistent=False)` is an assignment."""
    name = calls.module.text(node.args[0].value).strip("\"'")
    if not name.isidentifier():
        raise Refusal("Module.register_buffer", "the name of the buffer is computed")
    rest = [a for a in node.args[1:]]
    if rest and rest[0].keyword is not None:
        rest[0] = rest[0].with_changes(keyword=None)
    if len(rest) > 1 and rest[1].keyword is None:
        rest[1] = rest[1].with_changes(keyword=cst.Name("persistent"))
    if rest and isinstance(rest[0].value, cst.Name) and rest[0].value.value == "None":
        value = Code(("None",), Kind("none"))
    else:
        calls.module.scope.assigning = name
        value = buffer(calls, node.with_changes(args=rest))
        calls.module.scope.assigning = None
    if calls.module.scope.owner is not None:
        calls.module.scope.owner.attributes[name] = value.kind
    return Code(doc(f"{calls.module.scope.self_name}.{name} = ", value.doc), UNKNOWN)


def register_parameter(calls: CallTranslator, node: cst.Call) -> Code:
    """`self.register_parameter("x", nn.Parameter(...))` is an assignment."""
    name = calls.module.text(node.args[0].value).strip("\"'")
    calls.module.scope.assigning = name
    value = calls.module.expressions(node.args[1].value)
    calls.module.scope.assigning = None
    return Code(doc(f"{calls.module.scope.self_name}.{name} = ", value.doc), UNKNOWN)


def add_module(calls: CallTranslator, node: cst.Call) -> Code:
    """`self.add_module(name, module)` sets an attribute."""
    items, _, _ = calls.items(node)
    self_name = calls.module.scope.self_name or "self"
    return Code(doc("setattr", Group("(", [Item((self_name,)), *items], ")")), UNKNOWN)


SELF_METHODS: dict[str, Special] = {
    "register_buffer": register_buffer,
    "register_parameter": register_parameter,
    "add_module": add_module,
    "register_module": add_module,
}


def activation_kind(function: Code) -> Kind:
    """Activations of a layer (`self.act_fn(x)`) give tensors."""
    last = function.text.rsplit(".", 1)[-1]
    return (
        FLOAT_TENSOR
        if last in ("act", "act_fn", "activation", "activation_fn", "intermediate_act_fn")
        else UNKNOWN
    )
