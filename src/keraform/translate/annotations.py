"""Annotations: their text in the port, and the kinds that they state."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import libcst as cst

from keraform.translate.kinds import (
    BOOL,
    CONFIG,
    DEVICE,
    DICT,
    DISTRIBUTION,
    DTYPE,
    FLOAT_TENSOR,
    FUNCTION,
    LIST,
    NONE,
    SIZE,
    STR,
    TENSOR,
    TUPLE,
    UNKNOWN,
    Kind,
    join,
    join_all,
)
from keraform.translate.rules.record import Refusal
from keraform.translate.rules.torch_names import canonical

if TYPE_CHECKING:
    from keraform.translate.module import ModuleTranslator

TORCH_ANNOTATIONS = {
    "torch.Tensor": TENSOR,
    "torch.FloatTensor": FLOAT_TENSOR,
    "torch.LongTensor": Kind("tensor", "int64"),
    "torch.BoolTensor": Kind("tensor", "bool"),
    "torch.IntTensor": Kind("tensor", "int"),  # int64 is passed as often
    "nn.Parameter": FLOAT_TENSOR,
    "torch.HalfTensor": FLOAT_TENSOR,
    "torch.ByteTensor": Kind("tensor", "uint8"),
    "torch.Size": SIZE,
    "torch.dtype": DTYPE,
    "torch.device": DEVICE,
    "torch.distributions.Distribution": DISTRIBUTION,
}
PLAIN_ANNOTATIONS = {
    "int": Kind("dim", name="annotated"),
    "float": Kind("float", name="annotated"),  # which takes ints too
    "bool": BOOL,
    "str": STR,
    "dict": DICT,
    "list": LIST,
    "tuple": TUPLE,
    "None": NONE,
    "Callable": FUNCTION,
}


class AnnotationTranslator:
    """Translates annotations."""

    def __init__(self, module: ModuleTranslator):
        self.module = module
        self.active = False  # whether an annotation is being translated

    def text(self, node: cst.BaseExpression) -> str:
        """An annotation in the port: every tensor class is `Tensor`, unions keep one of each."""
        if isinstance(node, cst.Subscript) and self.module.text(node.value).endswith("Unpack"):
            return "dict"
        self.active = True
        try:
            text = self.module.expressions(node).text
        except Refusal:
            return "object"
        finally:
            self.active = False
        return re.sub(r"\bTensor(?: \| Tensor)+", "Tensor", text)

    def returns(self, node: cst.FunctionDef) -> str:
        """` -> Tensor`, where the result of a function is annotated."""
        return f" -> {self.text(node.returns.annotation)}" if node.returns is not None else ""

    def kind(self, node: cst.BaseExpression) -> Kind:
        """What an annotation says."""
        if isinstance(node, cst.BinaryOperation):
            return join(self.kind(node.left), self.kind(node.right))
        if isinstance(node, cst.SimpleString):
            text = str(node.evaluated_value)
            return self.kind(cst.parse_expression(text)) if text else UNKNOWN
        if isinstance(node, cst.Subscript):
            return self.of_generic(node)
        dotted = self.module.dotted(node)
        name = canonical(dotted) if dotted is not None else None
        if name in TORCH_ANNOTATIONS:
            return TORCH_ANNOTATIONS[name]
        text = self.module.text(node).strip("\"'")
        if text in PLAIN_ANNOTATIONS:
            return PLAIN_ANNOTATIONS[text]
        if text.endswith("Config"):
            return CONFIG
        info = self.module.classes.get(text)
        if info is not None:
            return Kind("layer" if info.is_layer else "object", name=text)
        if text.endswith("Cache") or "Output" in text:
            return Kind("object", name=text)
        return Kind("layer") if name == "nn.Module" else UNKNOWN

    def of_generic(self, node: cst.Subscript) -> Kind:
        """What `Optional[...]`, `Union[...]`, `tuple[...]` and the like say."""
        base = self.module.text(node.value).split(".")[-1]
        inner = [each.slice.value for each in node.slice if isinstance(each.slice, cst.Index)]
        if base == "Optional":
            kind = self.kind(inner[0])
            return replace(kind, optional=True)
        if base == "Union":
            return join_all(tuple(self.kind(each) for each in inner))
        if base.lower() in ("tuple", "list"):
            kinds = tuple(self.kind(each) for each in inner if not isinstance(each, cst.Ellipsis))
            return Kind(base.lower(), items=kinds)
        return DICT if base.lower() == "dict" else UNKNOWN
