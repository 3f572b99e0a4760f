"""Translation of the parameters of functions: kinds, annotations, defaults, comments."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import libcst as cst
import libcst.matchers as m

from keraform.translate.comments import split_comments
from keraform.translate.definitions.bases import BaseTranslator
from keraform.translate.kinds import CONFIG, DEVICE, DEVICE_NAMES, DICT, DTYPE, PY, TUPLE, UNKNOWN
from keraform.translate.layout import Doc, Item, doc, flat
from keraform.translate.scope import ClassInfo, Scope

if TYPE_CHECKING:
    from keraform.translate.module import ModuleTranslator


class ParameterTranslator:
    """Translates parameters; devices are left out."""

    def __init__(self, module: ModuleTranslator):
        self.module = module
        self.bases = BaseTranslator(module)

    def parameters(
        self, node: cst.Parameters, scope: Scope, owner: ClassInfo | None, name: str
    ) -> list[Doc]:
        """The parameters of a function; binds their kinds in `scope`."""
        result = [self.parameter(each, scope) for each in node.posonly_params]
        for each in node.params:
            if each.name.value in DEVICE_NAMES or _is_device(each):
                scope.names[each.name.value] = DEVICE
            else:
                result.append(self.parameter(each, scope))
        if isinstance(node.star_arg, cst.Param):
            scope.names[node.star_arg.name.value] = TUPLE
            result.append((f"*{node.star_arg.name.value}",))
        elif isinstance(node.star_arg, cst.ParamStar):
            result.append(("*",))
        for each in node.kwonly_params:
            if each.name.value in DEVICE_NAMES:
                scope.names[each.name.value] = DEVICE
            else:
                result.append(self.parameter(each, scope))
        if owner is not None and name == "call" and self.bases.is_entry(owner):
            result.append(("training=None",))
        if node.star_kwarg is not None:
            scope.names[node.star_kwarg.name.value] = DICT
            result.append((f"**{node.star_kwarg.name.value}",))
        elif owner is not None and owner.is_layer and name == "__init__":
            scope.names["kwargs"] = DICT
            result.append(("**kwargs",))
        return result

    def parameter(self, node: cst.Param, scope: Scope) -> Doc:
        """One parameter with its annotation and default."""
        module = self.module
        name = node.name.value
        if name == scope.self_name == "self":
            return (name,)  # the layer, whatever methods it shares with tensors
        kind = CONFIG if name == "config" else UNKNOWN
        text: Doc = (name,)
        if node.annotation is not None:
            kind = module.annotations.kind(node.annotation.annotation)
            text = (f"{name}: {module.annotations.text(node.annotation.annotation)}",)
        if node.default is not None:
            default = module.expressions(node.default)
            text = doc(text, " = " if node.annotation is not None else "=", default.whole)
            if kind.is_unknown and default.kind.tag in ("int", "float", "bool", "str"):
                kind = PY
            elif kind.is_tensor and default.kind.tag == "bool":
                kind = default.kind
            elif kind.tag == "dim" and default.kind.is_fraction:
                kind = replace(kind, dtype="mixed")
            elif kind == DTYPE and default.kind.name == "float32" and self.is_chosen(name):
                kind = replace(kind, dtype="mixed")
        kind = module.uses.refine(scope.function, name, kind)
        if scope.function is not None:
            kind = module.learned.parameter(module.line_of(scope.function), name, kind)
        scope.parameters[name] = kind
        scope.names[name] = module.recorded.refine_parameter(scope.function, name, kind)
        return text

    def is_chosen(self, name: str) -> bool:
        """Whether calls of the file choose a dtype, and none of them that of a tensor."""
        given = m.findall(self.module.tree, m.Arg(keyword=m.Name(name)))
        of_tensor = m.Arg(m.Attribute(attr=m.Name("dtype")))
        return bool(given) and not any(m.matches(each, of_tensor) for each in given)

    def with_comments(self, node: cst.FunctionDef, documents: list[Doc]) -> list[Item]:
        """The parameters with the comments that stand beside or above them."""
        beside: dict[str, str] = {}
        above: dict[str, list[str]] = {}
        first, pending = split_comments(node.whitespace_before_params)
        pending = [*([first] if first else []), *pending]
        every = [
            *node.params.posonly_params,
            *node.params.params,
            node.params.star_arg,
            *node.params.kwonly_params,
            node.params.star_kwarg,
        ]
        for parameter in every:
            if isinstance(parameter, cst.Param):
                name = parameter.name.value
                above[name] = pending
                beside[name], pending = _comments_after(parameter)
        items = []
        for document in documents:
            name = re.match(r"\**(\w*)", flat(document)).group(1)  # type: ignore[union-attr]
            items.append(Item(document, tuple(above.get(name, ())), beside.get(name, "")))
        return items


def _comments_after(parameter: cst.Param) -> tuple[str, list[str]]:
    """The comment beside a parameter, and those on the lines after it."""
    if isinstance(parameter.comma, cst.Comma):
        beside, after = split_comments(parameter.comma.whitespace_after)
        if beside or after:
            return beside, after
    return split_comments(parameter.whitespace_after_param)


def _is_device(parameter: cst.Param) -> bool:
    """Whether the annotation is `torch.device`."""
    annotation = parameter.annotation.annotation if parameter.annotation else None
    return isinstance(annotation, cst.Attribute) and annotation.attr.value == "device"


def one_a_line(parameters: cst.Parameters) -> bool:
    """Whether the source wrote one parameter a line, closed by a comma."""
    every = [*parameters.posonly_params, *parameters.params, *parameters.kwonly_params]
    last = parameters.star_kwarg or (every[-1] if every else None)
    if last is None or not isinstance(last.comma, cst.Comma):
        return False
    return isinstance(last.comma.whitespace_after, cst.ParenthesizedWhitespace) or isinstance(
        last.whitespace_after_param, cst.ParenthesizedWhitespace
    )
