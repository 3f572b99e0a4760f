"""What the functions of a file do with their parameters, which tells what these are where their
annotations are missing or wrong.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

import libcst as cst
import libcst.matchers as m

from keraform.translate.kinds import CONFIG, INT_TENSOR, PY, TENSOR, TUPLE, UNKNOWN, Kind

# Methods by which a parameter is known to be a tensor.
TENSOR_METHODS = frozenset(
    "size dim view reshape transpose permute unsqueeze squeeze flatten contiguous detach float "
    "long masked_fill expand repeat_interleave chunk unbind softmax new_zeros new_ones "
    "numel to".split()
)
# Methods by which a parameter is known to be a cache.
CACHE_METHODS = frozenset({"get_seq_length", "get_max_cache_shape", "get_mask_sizes"})
# What stands among the methods for an index that no tuple has.
INDEXED_BY_SEVERAL = "x[:, 0]"
# What stands there for an index that no number has.
INDEXED = "x[0]"
# An attribute that layers have and tensors have not.
OF_LAYER = "weight"
# Names of what may be of integers.
INTEGERS = re.compile(
    r"(^|_)(ids?|idx|index|indices|pos|positions?|labels?|lengths?|lens?|timesteps?|coords?)$"
)
# Names of what is never of integers, though annotations say so now and then.
FLOATS = frozenset({"pixel_values", "inputs_embeds", "input_features", "hidden_states"})
# Masks that tokenizers and processors make, of integers, whatever annotations say.
MADE_MASKS = ("attention_mask", "padding_mask", "pixel_mask")
# The mask that an encoder leaves to a decoder: the one that it was given, or one that it made.
OF_ENCODER = "encoder_attention_mask"
# What functions of masks are given, though annotated as plain integers.
MASK_INDICES = frozenset({"batch_idx", "head_idx", "q_idx", "kv_idx"})


@dataclass(slots=True)
class FunctionUses:
    """The methods that a function calls on its parameters, which of these it unpacks, and which it
    makes whole numbers of.
    """

    parameters: frozenset[str]
    methods: dict[str, set[str]] = field(default_factory=dict)
    unpacked: set[str] = field(default_factory=set)
    rounded: set[str] = field(default_factory=set)

    def calls(self, name: str, methods: frozenset[str]) -> bool:
        """Whether one of these methods is called on a parameter."""
        return not methods.isdisjoint(self.methods.get(name, ()))


class ParameterUses:
    """The uses in all functions of a file; a name means the same in all of them."""

    def __init__(self, tree: cst.Module):
        collector = _Collector()
        tree.visit(collector)
        self.functions = collector.found

    def refine(self, function: cst.FunctionDef | None, name: str, kind: Kind) -> Kind:
        """The kind of a parameter, given that of its annotation."""
        if name in MASK_INDICES:
            return INT_TENSOR
        if kind.tag == "dict" and name == "config":
            return CONFIG
        own = self.functions.get(function) if function is not None else None
        if own is not None:
            kind = self._refined(own, name, kind)
        if kind.is_tensor and kind.dtype_class == "int" and name in FLOATS:
            kind = replace(kind, dtype="float")
        of_others = kind.dtype == "int64" and name == OF_ENCODER
        if of_others or (kind.dtype == "bool" and name.endswith(MADE_MASKS)):
            kind = replace(kind, dtype="mask")
        if kind.tag == "bool" and name.endswith("_mask"):
            kind = Kind("tensor", "mask", optional=True)
        if (kind.is_tensor or kind.is_unknown) and kind.dtype is None:
            kind = replace(kind, dtype=_dtype_by_name(name))
        return kind

    def _refined(self, own: FunctionUses, name: str, kind: Kind) -> Kind:
        if kind.is_unknown:
            return TENSOR if own.calls(name, TENSOR_METHODS - {"to"}) else kind
        if kind.tag == "dim" and own.calls(name, frozenset({INDEXED})):
            return PY
        if kind.tag == "dim" and name in own.rounded:
            return replace(kind, dtype="mixed")
        if kind.is_tensor:
            if own.calls(name, frozenset({OF_LAYER})):
                return Kind("layer", optional=kind.optional)
            if own.calls(name, CACHE_METHODS):
                return Kind("object", name="Cache", optional=kind.optional)
            elsewhere = any(name in each.unpacked for each in self._with(name))
            return UNKNOWN if elsewhere and not own.calls(name, TENSOR_METHODS) else kind
        of_tensors = TENSOR_METHODS | {INDEXED_BY_SEVERAL}
        if kind.tag == "tuple" and any(e.calls(name, of_tensors) for e in self._with(name)):
            return UNKNOWN
        several = frozenset({INDEXED_BY_SEVERAL})
        if kind.tag == "dict" and any(each.calls(name, several) for each in self._with(name)):
            return UNKNOWN
        return kind

    def _with(self, name: str) -> list[FunctionUses]:
        """The functions that have a parameter of this name."""
        return [each for each in self.functions.values() if name in each.parameters]


def narrowed(test: cst.BaseExpression) -> dict[str, Kind]:
    """What `isinstance(x, dict)` says of `x` where it holds, alone or with other conditions."""
    if isinstance(test, cst.BooleanOperation) and isinstance(test.operator, cst.And):
        return narrowed(test.left) | narrowed(test.right)
    if not isinstance(test, cst.Call) or asked_about(test) is None:
        return {}
    value, classes = (each.value for each in test.args)
    if not isinstance(value, cst.Name):
        return {}
    return {value.value: Kind(classes.value) if isinstance(classes, cst.Name) else TUPLE}


def asked_about(node: cst.Call) -> str | None:
    """`x` in `isinstance(x, dict)`, `isinstance(y := x, dict)` and `isinstance(x, (list, tuple))`,
    which ask whether a variable holds no tensor.
    """
    name = m.Name("dict") | m.Name("list") | m.Name("tuple")
    classes = name | m.Tuple([m.Element(name), m.AtLeastN(m.Element(name), n=1)])
    if not m.matches(node, m.Call(m.Name("isinstance"), [m.Arg(), m.Arg(classes)])):
        return None
    value = node.args[0].value
    value = value.value if isinstance(value, cst.NamedExpr) else value
    return value.value if isinstance(value, cst.Name) else None


class _Collector(cst.CSTVisitor):
    """Walks a file; a function inside another one tells of the parameters of both."""

    def __init__(self) -> None:
        self.found: dict[cst.FunctionDef, FunctionUses] = {}
        self.open: list[FunctionUses] = []

    def visit_FunctionDef(self, node: cst.FunctionDef) -> None:
        every = (*node.params.posonly_params, *node.params.params, *node.params.kwonly_params)
        uses = FunctionUses(frozenset(each.name.value for each in every))
        self.found[node] = uses
        self.open.append(uses)

    def leave_FunctionDef(self, original_node: cst.FunctionDef) -> None:
        self.open.pop()

    def visit_Call(self, node: cst.Call) -> None:
        if isinstance(node.func, cst.Attribute):
            self.note(node.func.value, node.func.attr.value)
        if isinstance(node.func, cst.Name) and node.func.value in ("int", "round"):
            inner = {each.value for each in m.findall(node, m.Name())}  # type: ignore[attr-defined]
            for uses in self.open:
                uses.rounded |= inner & uses.parameters

    def visit_Attribute(self, node: cst.Attribute) -> None:
        if node.attr.value == OF_LAYER:
            self.note(node.value, OF_LAYER)

    def visit_Subscript(self, node: cst.Subscript) -> None:
        self.note(node.value, INDEXED_BY_SEVERAL if len(node.slice) > 1 else INDEXED)

    def note(self, value: cst.BaseExpression, method: str) -> None:
        """Notes what is called on a parameter."""
        for uses in self.open:
            if isinstance(value, cst.Name) and value.value in uses.parameters:
                uses.methods.setdefault(value.value, set()).add(method)

    def visit_Assign(self, node: cst.Assign) -> None:
        self.note_unpacked(node.targets[0].target, node.value)

    def visit_For(self, node: cst.For) -> None:
        self.note_rows(node)

    def visit_CompFor(self, node: cst.CompFor) -> None:
        self.note_rows(node)

    def note_rows(self, node: cst.For | cst.CompFor) -> None:
        """Notes what is walked over and unpacked row by row, as nobody does with a tensor."""
        target, rows = node.target, node.iter
        if m.matches(rows, m.Call(m.Name("enumerate"))) and isinstance(target, cst.Tuple):
            target, rows = target.elements[-1].value, rows.args[0].value  # type: ignore[attr-defined]
        self.note_unpacked(target, rows)

    def note_unpacked(self, target: cst.BaseExpression, value: cst.BaseExpression) -> None:
        """Notes a parameter that is taken apart."""
        if isinstance(target, cst.Tuple) and isinstance(value, cst.Name):
            for uses in self.open:
                if value.value in uses.parameters:
                    uses.unpacked.add(value.value)


def _dtype_by_name(name: str) -> str | None:
    """What the names that Transformers uses everywhere say: masks and positions come as integers as
    well as floats.
    """
    if name.endswith("mask"):
        return "mask"
    return "mixed" if INTEGERS.search(name) else None
