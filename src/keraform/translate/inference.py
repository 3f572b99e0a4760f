"""Static inference: what the classes and functions of a file say of attributes and results."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property, reduce
from typing import TYPE_CHECKING

import libcst as cst
import libcst.matchers as m

from keraform.translate.kinds import (
    BOOL,
    CONFIG,
    DICT,
    DTYPE,
    FLOAT_TENSOR,
    LIST,
    MODULE_DICT,
    NONE,
    PARAMETERS,
    PY,
    TENSOR,
    UNKNOWN,
    Kind,
    join,
    join_all,
)
from keraform.translate.scope import ClassInfo

if TYPE_CHECKING:
    from keraform.translate.module import ModuleTranslator

PYTHON_CALLS = frozenset({"int", "float", "bool", "str", "len", "getattr", "max", "min"})
# Modules whose call gives more than one tensor.
SEVERAL_RESULTS = frozenset({"nn.LSTM", "nn.GRU", "nn.MultiheadAttention"})


class KindInference:
    """Infers kinds without translating."""

    def __init__(self, module: ModuleTranslator):
        self.module = module

    # Attributes

    def learn_attributes(self, info: ClassInfo) -> None:
        """What `self.x = ...` in the constructor says about `self.x`."""
        init = info.methods.get("__init__")
        if init is None:
            return
        for node in _assignments(init.body):
            target = node.targets[0].target if isinstance(node, cst.Assign) else node.target
            if (
                node.value is not None
                and isinstance(target, cst.Attribute)
                and isinstance(target.value, cst.Name)
                and target.value.value == "self"
            ):
                name, kind = target.attr.value, self.of_form(node.value)
                if name in info.attributes:
                    info.several.add(name)
                    if info.attributes[name].tag == "none":
                        kind = join(info.attributes.pop(name), kind)
                info.attributes.setdefault(name, kind)
                if self.makes_weight(node.value):
                    info.weights.add(name)
        for name, kind in info.attributes.items():
            if kind == Kind("layers"):
                info.attributes[name] = self.gathered(init, name)

    def gathered(self, init: cst.FunctionDef, name: str) -> Kind:
        """The kind of a list that a constructor fills: `self.layer.append(Attention(config))`."""
        owner = m.Attribute(m.Name("self"), m.Name(name))
        append = m.Call(m.Attribute(owner, m.Name("append")), [m.Arg()])
        calls = m.findall(init.body, append)
        kinds = [self.of_form(call.args[0].value) for call in calls]  # type: ignore[attr-defined]
        if not kinds or any(kind.tag != "layer" for kind in kinds):
            return Kind("layers")
        lines = [each for each in init.body.body if isinstance(each, cst.SimpleStatementLine)]
        always = [each.value for line in lines for each in line.body if isinstance(each, cst.Expr)]
        ends = calls[0] in always and calls[-1] in always
        several = reduce(Kind.or_layer, kinds).name
        return Kind("layers", name=several, items=tuple(kinds) if ends else ())

    def learn_changes(self, info: ClassInfo) -> None:
        """Attributes that the constructor leaves empty, and other methods or classes fill."""
        empty = {name for name, kind in info.attributes.items() if kind.tag == "none"}
        if not empty:
            return
        filled = set(self.filled_from_outside)
        for name, method in info.methods.items():
            if name != "__init__":
                filled |= _assigned_attributes(method.body, of_self=True)
        for name in empty & filled:
            info.attributes[name] = UNKNOWN
            info.several.add(name)

    @cached_property
    def filled_from_outside(self) -> frozenset[str]:
        """What the file's functions assign to attributes of other objects than self."""
        return frozenset(_assigned_attributes(self.module.tree, of_self=False))

    def of_form(self, node: cst.BaseExpression) -> Kind:
        """A kind from the form of an expression alone."""
        if isinstance(node, cst.Call):
            return self.of_call(node)
        if isinstance(node, cst.Subscript) and self.module.text(node.value) == "ACT2FN":
            return Kind("layer", name="nn.Module")
        if isinstance(node, (cst.Integer, cst.Float)):
            return PY
        if isinstance(node, cst.IfExp):
            return join(self.of_form(node.body), self.of_form(node.orelse))
        if isinstance(node, cst.Name) and node.value == "None":
            return NONE
        text = self.module.text(node)
        if text == "config" or text.endswith(".config"):
            return CONFIG
        if re.match(r"(self\.)?config\.\w+$", text):
            return CONFIG if text.endswith("config") else PY
        if isinstance(node, cst.List):
            return LIST
        if isinstance(node, cst.Dict):
            return DICT
        if isinstance(node, cst.BinaryOperation):
            if isinstance(node.left, cst.List):
                return LIST
            return (
                PY
                if self.of_form(node.left).tag == self.of_form(node.right).tag == "py"
                else UNKNOWN
            )
        return UNKNOWN

    def makes_weight(self, node: cst.BaseExpression) -> bool:
        """Whether an expression is a new parameter."""
        return isinstance(node, cst.Call) and self.module.torch_callee(node) == "nn.Parameter"

    def has_weight(self, info: ClassInfo | None, name: str) -> bool:
        """Whether a class of the file makes a parameter of this name."""
        return any(name in owner.weights for owner in self.module.analysis.lineage(info))

    def of_call(self, node: cst.Call) -> Kind:
        """What a call constructs."""
        name = self.module.torch_callee(node)
        if name in ("nn.Parameter", "nn.Buffer"):
            return FLOAT_TENSOR if name == "nn.Parameter" else TENSOR
        if name == "nn.ModuleDict":
            return MODULE_DICT
        if name == "nn.ParameterList":
            return PARAMETERS
        if name == "nn.ModuleList":
            inner = node.args[0].value if node.args else None
            if not isinstance(inner, (cst.ListComp, cst.GeneratorExp)):
                return Kind("layers")
            element = self.of_form(inner.elt)
            nested = element.tag in ("layers", "list")
            return Kind("list", items=(element,)) if nested else Kind("layers", name=element.name)
        if name.startswith("nn."):
            return Kind("layer", name=name)
        if not isinstance(node.func, cst.Name):
            return UNKNOWN
        info = self.module.classes.get(node.func.value)
        if info is not None:
            return Kind("layer" if info.is_layer else "object", name=info.name)
        return PY if node.func.value in PYTHON_CALLS else UNKNOWN

    @cached_property
    def kept_layers(self) -> frozenset[str]:
        """The classes of the file whose weights stay in float32 under the name of an attribute that
        holds such a layer.
        """
        held = [each for info in self.module.classes.values() for each in info.attributes.items()]
        kept = self.module.analysis.kept_in_float32
        return frozenset(kind.name or "" for name, kind in held if name in kept)

    def attribute(self, info: ClassInfo | None, name: str, torch: str | None = None) -> Kind:
        """The kind of an attribute of a layer, of a class of the file or of torch."""
        for owner in self.module.analysis.lineage(info):
            if name in owner.attributes:
                kind = owner.attributes[name]
                kept = name in self.module.analysis.kept_in_float32
                kept = kept or (owner.name in self.kept_layers and name in owner.weights)
                kept = kept and kind.is_tensor and kind.dtype == "float"
                return replace(kind, dtype="mixed") if kept else kind
        if name in ("weight", "bias") and torch is not None:
            return FLOAT_TENSOR
        if name == "config":
            return CONFIG
        if name in ("training", "gradient_checkpointing"):
            return BOOL
        if name == "dtype":
            return DTYPE
        return PY if torch is not None and torch.startswith("nn.") else UNKNOWN

    @cached_property
    def keeps_model_in_float32(self) -> bool:
        """Whether a model of the file stands in another one whose half precision it does not
        share.
        """
        classes, kept = self.module.classes.values(), self.module.analysis.kept_in_float32
        held = [info.attributes[name] for info in classes for name in kept & info.attributes.keys()]
        names = [kind.name for kind in held if kind.tag == "layer"]
        return any(info.is_model for name in names if (info := self.module.classes.get(name or "")))

    # Results

    def result_like(self, function: cst.FunctionDef) -> str | None:
        """The parameter whose dtype the result of a function has in the end:
        `return y.to(dtype=x.dtype)`.
        """
        dtype = m.Attribute(m.SaveMatchedNode(m.Name(), "parameter"), m.Name("dtype"))
        dtypes = [m.ZeroOrMore(), m.Arg(dtype), m.ZeroOrMore()]
        cast = m.Call(m.Attribute(attr=m.Name("to")), dtypes)
        last = m.SimpleStatementLine([m.Return(cast)])
        found = m.extract(function.body.body[-1], last)
        return found["parameter"].value if found is not None else None  # type: ignore[union-attr]

    def method(self, info: ClassInfo | None, name: str) -> cst.FunctionDef | None:
        """A method of a class of the file, or of its bases in the file."""
        owners = self.module.analysis.lineage(info)
        return next((owner.methods[name] for owner in owners if name in owner.methods), None)

    def returned(self, function: cst.FunctionDef) -> Kind:
        """What a function gives: what its annotation says, and what it was seen to return."""
        line, learned = self.module.line_of(function), self.module.learned
        kind = learned.result(line, self.annotated(function))
        if kind == TENSOR and function.name.value in self.module.analysis.construction:
            return replace(kind, dtype=learned.results.get(line, kind).dtype)
        return kind

    def annotated(self, function: cst.FunctionDef) -> Kind:
        """What the annotation of a function's result says, unless its `return` says otherwise."""
        if function.returns is None:
            return UNKNOWN
        kind = self.module.annotations.kind(function.returns.annotation)
        values = list(_returns(function.body))
        output = m.Call(m.Name(m.MatchIfTrue(lambda name: "Output" in name)))
        if kind.is_tensor and any(m.matches(value, m.Tuple() | output) for value in values):
            return UNKNOWN
        if kind.tag == "tuple" and all(_is_sum(value, function) for value in values):
            return UNKNOWN
        return kind

    def called(self, name: str | None) -> Kind:
        """What calling a layer gives."""
        if name is None:
            return UNKNOWN
        if "|" in name:
            return join_all(tuple(self.called(each) for each in name.split("|")))
        if name.startswith("nn."):
            return UNKNOWN if name in SEVERAL_RESULTS else FLOAT_TENSOR
        info = self.module.classes.get(name)
        if info is not None and info.torch_base and "forward" not in info.methods:
            return FLOAT_TENSOR
        forward = self.method(info, "forward")
        if forward is None:
            return UNKNOWN
        kind = self.returned(forward)
        return FLOAT_TENSOR if kind.tag == "tuple" and self.ends_in_layer(info, forward) else kind

    def ends_in_layer(self, info: ClassInfo | None, function: cst.FunctionDef) -> bool:
        """Whether a method returns what layers of torch give, whatever its annotation says."""
        results = [node.value for node in m.findall(function.body, m.Return())]  # type: ignore[attr-defined]
        call = m.Call(func=m.Attribute(value=m.Name("self")))
        if not results or not all(m.matches(each, call) for each in results):
            return False
        names = [self.attribute(info, each.func.attr.value).name or "" for each in results]
        return all(name.startswith("nn.") and name not in SEVERAL_RESULTS for name in names)


def _assigned_attributes(body: cst.CSTNode, of_self: bool) -> set[str]:
    """The names of the attributes that a body assigns, of self or of anything else."""
    own = m.Name("self")
    owner = own if of_self else m.DoesNotMatch(own)
    found = m.findall(body, m.AssignTarget(m.Attribute(owner)))
    return {each.target.attr.value for each in found}  # type: ignore[attr-defined]


def _assignments(body: cst.CSTNode) -> Iterator[cst.Assign | cst.AnnAssign]:
    """The assignments of a body and of the blocks in it."""
    for child in body.children:
        if isinstance(child, (cst.Assign, cst.AnnAssign)):
            yield child
        elif isinstance(child, (cst.BaseStatement, cst.BaseSuite, cst.Else)):
            yield from _assignments(child)


def _is_sum(value: cst.BaseExpression, function: cst.FunctionDef) -> bool:
    """Whether a value is a name that was last bound to the result of an operator, as tensors are
    (`hidden_states = residual + hidden_states`).
    """
    if not isinstance(value, cst.Name):
        return False
    bound = [
        node
        for node in _assignments(function.body)
        if isinstance(node, cst.Assign) and node.targets[0].target.deep_equals(value)
    ]
    last = bound[-1].value if bound else None
    return isinstance(last, cst.BinaryOperation) and not any(
        isinstance(side, (cst.Tuple, cst.List)) for side in (last.left, last.right)
    )


def _returns(body: cst.CSTNode) -> Iterator[cst.BaseExpression]:
    """The values that a function returns."""
    for child in body.children:
        if isinstance(child, cst.Return) and child.value is not None:
            yield child.value
        elif isinstance(child, (cst.BaseStatement, cst.BaseSuite, cst.Else)) and not isinstance(
            child, (cst.FunctionDef, cst.ClassDef)
        ):
            yield from _returns(child)
