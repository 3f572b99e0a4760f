"""The form of an idiom: a function that writes a call by the kinds or the number of its arguments."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import libcst as cst

from keraform.translate.kinds import Kind
from keraform.translate.rules.record import (
    ATOM,
    Arguments,
    Code,
    Rule,
    bind,
    fill,
    parse_kind,
)

if TYPE_CHECKING:
    from keraform.translate.calls import CallTranslator

FunctionIdiom = Callable[["CallTranslator", cst.Call], Code]
BuiltinIdiom = Callable[["CallTranslator", cst.Call], Code | None]
MethodIdiom = Callable[["CallTranslator", Code, Arguments], Code]


def bound_to(name: str, signature: str, arguments: Arguments) -> dict[str, Code]:
    """Binds arguments to a signature of torch."""
    return bind(Rule(name, signature, ""), arguments)


def emit(
    calls: CallTranslator,
    template: str,
    arguments: Mapping[str, Code],
    kind: Kind,
    precedence: int = ATOM,
) -> Code:
    """Fills a template and asks for the imports that it mentions."""
    document = fill(template, arguments)
    calls.module.imports.need_for(document)
    return Code(document, kind, precedence)


def like(code: Code, otherwise: str | None = None) -> Kind:
    """A tensor with the dtype of another, or else the dtype `otherwise`."""
    return Kind("tensor", code.kind.dtype if code.kind.is_tensor else otherwise)


def given(bound: Mapping[str, Code], name: str) -> bool:
    """Whether an argument is there and is not None."""
    return name in bound and bound[name].text != "None"


def cast_first(calls: CallTranslator, bound: dict[str, Code], name: str, kind: Kind) -> Kind:
    """Casts an argument to the `dtype` that the call asks for; returns the kind of the result."""
    if not given(bound, "dtype"):
        return kind
    bound[name] = emit(calls, f"ops.cast({{{name}}}, {{dtype}})", bound, kind)
    return parse_kind("dtype:dtype", bound)


def as_function(method: MethodIdiom) -> FunctionIdiom:
    """The function of torch that is a method of its first argument."""

    def idiom(calls: CallTranslator, node: cst.Call) -> Code:
        (_, receiver), *rest = calls.arguments(node)
        return method(calls, receiver, rest)

    return idiom
