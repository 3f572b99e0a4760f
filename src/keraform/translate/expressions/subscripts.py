"""Translation of subscripts: reading and writing parts of tensors, sequences and mappings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import libcst as cst
import libcst.matchers as m

from keraform.translate.kinds import DIM, FLOAT_TENSOR, PY, UNKNOWN, Kind
from keraform.translate.layout import Doc, Group, Item, begins, called, doc, flat
from keraform.translate.rules.record import Code

if TYPE_CHECKING:
    from keraform.translate.module import ModuleTranslator

# Index elements that TensorFlow's and JAX's own slicing understands.
BASIC = frozenset({"int", "dim", "none", "slice", "ellipsis"})
SEQUENCES = frozenset(
    {
        "tuple",
        "list",
        "dict",
        "size",
        "py",
        "layer",
        "layers",
        "object",
        "numpy",
        "function",
        "class",
        "torch",
        "config",
    }
)


@dataclass(frozen=True, slots=True)
class Element:
    """One element of an index."""

    document: Doc
    sort: str
    kind: Kind
    full: bool = False


class SubscriptTranslator:
    """Translates `x[...]` and `x[...] = v`."""

    def __init__(self, module: ModuleTranslator):
        self.module = module

    def elements(self, node: cst.Subscript) -> list[Element]:
        """The elements of the index."""
        self.module.comments.keep(node.lbracket.whitespace_after, node.rbracket.whitespace_before)
        slices = [element.slice for element in node.slice]
        if (
            len(slices) == 1
            and isinstance(slices[0], cst.Index)
            and isinstance(slices[0].value, cst.Tuple)
        ):
            values = slices[0].value.elements
            return [self.index(v.value, star=isinstance(v, cst.StarredElement)) for v in values]
        result = []
        for element in slices:
            if isinstance(element, cst.Slice):
                result.append(self.slice(element))
            else:
                result.append(self.index(element.value, star=bool(element.star)))
        for each in node.slice:
            if isinstance(each.comma, cst.Comma):
                self.module.comments.keep(each.comma.whitespace_after)
        return result

    def slice(self, node: cst.Slice) -> Element:
        """`lower:upper:step`, spaced as formatters space it."""
        parts = [
            self.module.expressions(p) if p is not None else None for p in (node.lower, node.upper)
        ]
        simple = all(
            p is None or isinstance(n, (cst.Name, cst.Integer)) or _negative(n)
            for p, n in zip(parts, (node.lower, node.upper), strict=True)
        )
        lower, upper = parts
        document: Doc = lower.operand(1) if lower else ()
        colon = (
            ":"
            if simple
            else (" : " if lower and upper else " :" if lower else ": " if upper else ":")
        )
        document = doc(document, colon, upper.operand(1) if upper else ())
        if node.step is not None:
            document = doc(
                document, ":" if simple else " : ", self.module.expressions(node.step).operand(1)
            )
        tensor = any(p is not None and p.kind.is_tensor for p in parts)
        return Element(
            document,
            "slice",
            Kind("tensor") if tensor else DIM,
            lower is None and upper is None and node.step is None,
        )

    def index(self, node: cst.BaseExpression, star: bool = False) -> Element:
        """An element that is an expression."""
        code = self.module.expressions(node)
        if star:
            return Element(doc("*", code.operand(5)), "star", code.kind)
        tag = code.kind.tag
        if isinstance(node, cst.Ellipsis):
            tag = "ellipsis"
        elif isinstance(node, cst.Call) and code.text.startswith("slice("):
            tag = "slice"
        elif tag in ("list",) or (tag == "tuple" and isinstance(node, cst.Tuple)):
            tag = "tensor"
        return Element(code.doc, tag, code.kind)

    def subscript(self, node: cst.Subscript) -> Code:
        """`x[...]` that is read."""
        if self.module.annotations.active:
            return self.annotation(node)
        receiver = self.module.expressions(node.value)
        elements = self.elements(node)
        if receiver.kind.tag in ("function", "torch", "class"):
            return self.plain(receiver, elements, UNKNOWN)
        if receiver.kind.tag in SEQUENCES:
            return self.plain(receiver, elements, self.element_kind(receiver.kind, node, elements))
        self.module.stats.operations += receiver.kind.is_tensor
        if all(
            e.sort in BASIC or (e.sort in ("py", "bool") and not receiver.kind.is_tensor)
            for e in elements
        ):
            return self.plain(receiver, elements, self.tensor_kind(receiver.kind, elements))
        if receiver.kind.is_unknown and all(e.sort in ("str", "class") for e in elements):
            return self.plain(receiver, elements, UNKNOWN)
        if (
            receiver.kind.is_unknown
            and len(elements) == 1
            and elements[0].sort in ("unknown", "py")
        ):
            index = node.slice[0].slice
            fields = [node.value, *([index.value] if isinstance(index, cst.Index) else [])]
            open_ = self.module.is_of_generation or any(_is_field(each) for each in fields)
            if elements[0].kind.is_unknown and open_:
                return self.decided_when_run(receiver, elements[0])
            return self.plain(receiver, elements, UNKNOWN)
        return self.advanced(receiver, elements)

    def of_container(self, node: cst.Subscript) -> Code:
        """`x[key]` where the value is a Python container, so that `x` is no tensor."""
        receiver = self.module.expressions(node.value)
        return self.plain(receiver, self.elements(node), PY)

    def decided_when_run(self, receiver: Code, element: Element) -> Code:
        """`outputs["boxes"][index]`: what a mapping holds may be a tensor, and the index too."""
        self.module.count_helper("getitem")
        self.module.note_rule("kf.dynamic.getitem")
        self.module.imports.need("keraform.runtime", "ops", "kf")
        return Code(called("kf.dynamic.getitem", receiver.doc, element.document), UNKNOWN)

    def plain(self, receiver: Code, elements: list[Element], kind: Kind) -> Code:
        items = [Item(e.document) for e in elements]
        trailing = len(items) > 1
        return Code(doc(receiver.operand(), Group("[", items, "]", trailing_comma=trailing)), kind)

    def advanced(self, receiver: Code, elements: list[Element]) -> Code:
        """An index with tensors in it."""
        self.module.stats.operations += 1
        kind = Kind("tensor", receiver.kind.dtype if receiver.kind.is_tensor else None)
        last = elements[-1]
        if (
            all(e.full for e in elements[:-1])
            and last.kind.is_tensor
            and last.kind.dtype_class == "int"
            and receiver.kind.is_tensor
        ):
            axis = str(len(elements) - 1)
            self.module.note_rule("ops.take")
            self.module.imports.need("keras", "ops")
            return Code(called("ops.take", receiver.doc, last.document, (f"axis={axis}",)), kind)
        if all(e.sort in BASIC or e.sort in ("py",) for e in elements):
            return self.plain(receiver, elements, self.tensor_kind(receiver.kind, elements))
        function = "kf.getitem"
        if receiver.kind.is_unknown:
            self.module.count_helper("getitem")
            function = "kf.dynamic.getitem"
        self.module.note_rule(function)
        self.module.imports.need("keraform.runtime", "ops", "kf")
        return Code(called(function, receiver.doc, self.index_doc(elements)), kind)

    def index_doc(self, elements: list[Element]) -> Doc:
        """The index as a Python value: slices become `slice(a, b)`."""
        items = []
        for element in elements:
            if element.sort == "slice" and not begins(element.document, "slice("):
                items.append(Item((_slice_call(element.document),)))
            else:
                items.append(Item(element.document))
        if len(items) == 1:
            return items[0].doc
        return doc(Group("(", items, ")"))

    @staticmethod
    def tensor_kind(kind: Kind, elements: list[Element]) -> Kind:
        """The kind of a part of a tensor; only tensors have an index such as `[:, None]`."""
        if not kind.is_tensor:
            parts = any(e.sort in ("slice", "none", "ellipsis") for e in elements)
            return Kind("tensor", kind.dtype) if parts and len(elements) > 1 else UNKNOWN
        rank = kind.rank
        if rank is not None:
            rank += sum((e.sort == "none") - (e.sort in ("int", "dim")) for e in elements)
        return Kind("tensor", kind.dtype, rank)

    @staticmethod
    def element_kind(kind: Kind, node: cst.Subscript, elements: list[Element]) -> Kind:
        if elements[0].sort == "slice":
            return Kind(kind.tag, items=kind.items if len(kind.items) == 1 else (), name=kind.name)
        if kind.tag == "size":
            return DIM
        if kind.tag == "layers":
            end = {"0": 0, "-1": -1}.get(flat(elements[0].document))
            return kind.element() if end is None or not kind.items else kind.item(end)
        if kind.tag == "object":
            first = elements[0].document
            return FLOAT_TENSOR if first == ("0",) else UNKNOWN
        if kind.tag == "dict":
            return kind.item()
        if kind.tag in ("tuple", "list"):
            text = elements[0].document
            value = (
                int(str(text[0])) if len(text) == 1 and str(text[0]).lstrip("-").isdigit() else None
            )
            return kind.item(value)
        return (
            Kind("py")
            if kind.tag in ("py", "config")
            else Kind("numpy")
            if kind.tag == "numpy"
            else UNKNOWN
        )

    def annotation(self, node: cst.Subscript) -> Code:
        """A subscript inside an annotation."""
        receiver = self.module.expressions(node.value)
        items = []
        for element in node.slice:
            assert isinstance(element.slice, cst.Index)
            items.append(Item(self.module.expressions(element.slice.value).doc))
        return Code(doc(receiver.doc, Group("[", items, "]")), UNKNOWN)

    # Writing

    def assign(self, node: cst.Subscript, value: Code, operator: str = "") -> Doc | None:
        """`x[...] = v` on a tensor as a rebinding of `x`; None when `x` is no tensor."""
        receiver = self.module.expressions(node.value)
        if receiver.kind.tag in SEQUENCES or receiver.kind.tag == "layer":
            return None
        elements = self.elements(node)
        function = "kf.setitem"
        if receiver.kind.is_unknown:
            if all(e.sort in ("str",) for e in elements):
                return None
            if len(elements) == 1 and elements[0].sort in ("unknown", "py", "dim", "int"):
                self.module.count_helper("setitem")
                function = "kf.dynamic.setitem"
        self.module.imports.need("keraform.runtime", "ops", "kf")
        index = self.index_doc(elements)
        new = value.doc
        if operator:
            current = (
                self.advanced(receiver, elements)
                if any(e.sort not in BASIC for e in elements)
                else self.plain(receiver, elements, receiver.kind)
            )
            new = doc(current.doc, f" {operator} ", value.operand(11))
        self.module.stats.operations += 1
        self.module.note_rule(function)
        update = called(function, receiver.doc, index, new)
        return self.rebind(node.value, receiver, update)

    def rebind(self, target: cst.BaseExpression, receiver: Code, update: Doc) -> Doc:
        """Binds an updated tensor to where it came from: a name, an attribute, or a part of another
        tensor.
        """
        if isinstance(target, cst.Subscript):
            outer = self.assign(target, Code(update, receiver.kind))
            if outer is not None:
                return outer
        written = self.module.calls.initialisation.written(target, update)
        if written is not None:
            return written
        if isinstance(target, cst.Attribute) and target.attr.value == "data":
            return self.rebind(target.value, receiver, update)
        if isinstance(target, cst.Name) and target.value in self.module.scope.borrowed:
            update = called("kf.assign", (target.value,), update)
            self.module.imports.need("keraform.runtime", "ops", "kf")
        return doc(receiver.doc, " = ", update)


def _negative(node: cst.CSTNode | None) -> bool:
    return isinstance(node, cst.UnaryOperation) and isinstance(
        node.expression, (cst.Name, cst.Integer)
    )


def _slice_call(document: Doc) -> str:
    """`a:b:c` as `slice(a, b, c)`."""
    depth, parts, current = 0, [], ""
    for character in flat(document):
        depth += (character in "([{") - (character in ")]}")
        if character == ":" and depth == 0:
            parts.append(current.strip())
            current = ""
        else:
            current += character
    parts.append(current.strip())
    values = [part or "None" for part in parts]
    return f"slice({', '.join(values)})" if values != ["None", "None"] else "slice(None)"


def _is_field(node: cst.BaseExpression) -> bool:
    """Whether an expression is `x["name"]`."""
    return m.matches(node, m.Subscript(slice=[m.SubscriptElement(slice=m.Index(m.SimpleString()))]))
