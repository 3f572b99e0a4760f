"""Idioms that reduce an axis."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keraform.translate.kinds import INT_TENSOR, Kind
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
from keraform.translate.rules.methods import METHODS as METHOD_RULES
from keraform.translate.rules.record import Arguments, Code, bind, parse_kind

if TYPE_CHECKING:
    from keraform.translate.calls import CallTranslator


def extremum(name: str) -> MethodIdiom:
    """`x.max()`, `x.max(dim)` (values and indices), `x.max(other)`."""

    def idiom(calls: CallTranslator, receiver: Code, arguments: Arguments) -> Code:
        kind = like(receiver)
        if not arguments:
            return emit(calls, f"ops.{name}({{self}})", {"self": receiver}, kind)
        keyword, first = arguments[0]
        if keyword == "other" or (keyword is None and first.kind.is_tensor):
            other = "{other}"
            if first.text.startswith("kf.full((),"):  # no axes: torch keeps the dtype of the other
                other = "ops.cast({other}, {self}.dtype)"
            template = f"ops.{name}imum({{self}}, {other})"
            return emit(calls, template, {"self": receiver, "other": first}, kind)
        bound = bound_to(f"Tensor.{name}", "dim, keepdim?", arguments) | {"self": receiver}
        template = f"kf.{name}_with_indices({{self}}, dim={{dim}}, keepdim={{keepdim}})"
        return emit(calls, template, bound, Kind("tuple", items=(kind, INT_TENSOR)))

    return idiom


def mean(calls: CallTranslator, receiver: Code, arguments: Arguments) -> Code:
    """`x.mean(dim, keepdim, dtype=...)` casts first."""
    bound = bound_to("Tensor.mean", "dim?, keepdim?, dtype?, out^", arguments) | {"self": receiver}
    kind = cast_first(calls, bound, "self", like(receiver))
    return emit(calls, "ops.mean({self}, axis={dim}, keepdims={keepdim})", bound, kind)


def plain_when_float(name: str, template: str) -> MethodIdiom:
    """Reductions that differ from Keras's for integers and booleans only."""

    def idiom(calls: CallTranslator, receiver: Code, arguments: Arguments) -> Code:
        rule = METHOD_RULES[name]
        bound = bind(rule, [("self", receiver), *arguments])
        if receiver.kind.dtype_class == "float" and not given(bound, "dtype"):
            return emit(calls, template, bound, Kind("tensor", receiver.kind.dtype))
        if "dtype" in bound:
            return emit(calls, rule.emit, bound, parse_kind("dtype:dtype", bound))
        dtype = "mask" if receiver.kind.dtype == "mask" else None  # whole numbers, or floats
        kind = Kind("tensor", "int64" if receiver.kind.dtype_class else dtype)
        return emit(calls, rule.emit, bound, kind)

    return idiom


def unique(calls: CallTranslator, receiver: Code, arguments: Arguments) -> Code:
    """`x.unique()`, which may give the places and the counts of the values too."""
    signature = "sorted!, return_inverse?, return_counts?, dim?"
    bound = bound_to("Tensor.unique", signature, arguments) | {"self": receiver}
    kind = like(receiver)
    more = [name for name in ("return_inverse", "return_counts") if name in bound]
    if more:
        kind = Kind("tuple", items=(kind, *(INT_TENSOR for _ in more)))
    rest = ", ".join(f"{name}={{{name}}}" for name in ("return_inverse", "return_counts", "dim"))
    return emit(calls, f"kf.unique({{self}}, {rest})", bound, kind)


def nonzero(calls: CallTranslator, receiver: Code, arguments: Arguments) -> Code:
    """`x.nonzero()`: places in rows, or with `as_tuple=True` one tensor for each axis."""
    rule = METHOD_RULES["nonzero"]
    bound = bind(rule, [("self", receiver), *arguments])
    several = "as_tuple" in bound and bound["as_tuple"].text != "False"
    kind = Kind("tuple", items=(Kind("tensor", "int64", 1),)) if several else INT_TENSOR
    return emit(calls, rule.emit, bound, kind)


METHODS: dict[str, MethodIdiom] = {
    "max": extremum("max"),
    "min": extremum("min"),
    "mean": mean,
    "sum": plain_when_float("sum", "ops.sum({self}, axis={dim}, keepdims={keepdim})"),
    "cumsum": plain_when_float("cumsum", "ops.cumsum({self}, axis={dim})"),
    "cumprod": plain_when_float("cumprod", "ops.cumprod({self}, axis={dim})"),
    "unique": unique,
    "nonzero": nonzero,
}
FUNCTIONS: dict[str, FunctionIdiom] = {
    f"torch.{name}": as_function(METHODS[name])
    for name in ("max", "min", "mean", "unique", "nonzero")
}
