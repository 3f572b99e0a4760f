"""Assignment targets: their text in the port, and what binding a value to them tells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import libcst as cst

from keraform.translate.kinds import DIM, LIST, NUMBERS, PY, SIZE, UNKNOWN, Kind, join
from keraform.translate.layout import Doc, doc, flat

if TYPE_CHECKING:
    from keraform.translate.module import ModuleTranslator


class TargetTranslator:
    """Translates what stands left of `=`, after `for`, and after `as`."""

    def __init__(self, module: ModuleTranslator):
        self.module = module

    def bind(self, target: cst.BaseExpression, kind: Kind) -> None:
        """Records the kind of what is assigned."""
        scope = self.module.scope
        if isinstance(target, cst.Name):
            scope.borrowed.discard(target.value)
            scope.names[target.value] = self.module.recorded.refine(target, kind)
            if not scope.function:
                self.module.globals[target.value] = kind
        elif isinstance(target, (cst.Tuple, cst.List)):
            for number, element in enumerate(target.elements):
                starred = isinstance(element, cst.StarredElement)
                self.bind(element.value, _unpacked(kind, number, starred))
        else:
            name = self.own_attribute(target)
            if name is not None and scope.owner is not None:
                attributes = scope.owner.attributes
                known = attributes.get(name, UNKNOWN)
                if known.is_unknown and (kind.tag != "none" or name not in scope.owner.several):
                    attributes[name] = kind
                elif "none" in (kind.tag, known.tag):  # made or left out, by a condition
                    attributes[name] = join(known, kind)
                elif {known.tag, kind.tag} == {"list", "layers"}:
                    attributes[name] = PY
                elif known.tag == kind.tag == "layer" and name in scope.owner.several:
                    attributes[name] = known.or_layer(kind)
                elif kind.is_tensor and known.tag in NUMBERS and name in scope.owner.several:
                    attributes[name] = UNKNOWN
                elif not kind.is_unknown and (known.tag, kind) != ("layers", Kind("layers")):
                    attributes[name] = kind  # but for a list that the constructor fills later
            elif name is None and isinstance(target, cst.Attribute):
                self.module.learned.note_field(target.attr.value, kind)

    def own_attribute(self, target: cst.BaseExpression) -> str | None:
        """The name of `self.name`; None for other targets."""
        if (
            isinstance(target, cst.Attribute)
            and isinstance(target.value, cst.Name)
            and target.value.value == self.module.scope.self_name
        ):
            return target.attr.value
        return None

    def text(self, target: cst.BaseExpression) -> str:
        """The text of a target."""
        return flat(self.document(target))

    def document(self, target: cst.BaseExpression) -> Doc:
        """A target in the port."""
        if isinstance(target, cst.Tuple):
            result: Doc = ()
            for number, element in enumerate(target.elements):
                star = "*" if isinstance(element, cst.StarredElement) else ""
                result = doc(result, ", " if number else "", star, self.document(element.value))
            if len(target.elements) == 1:
                result = doc(result, ",")
            return doc("(", result, ")") if target.lpar else result
        if isinstance(target, cst.Name):
            return (target.value,)
        if isinstance(target, cst.Attribute):
            return doc(self.module.expressions(target.value).operand(), f".{target.attr.value}")
        return self.module.expressions(target).doc


def _unpacked(kind: Kind, number: int, starred: bool) -> Kind:
    """The kind of one element when a value is unpacked."""
    if kind.is_tensor:
        return Kind("tensor", kind.dtype)
    if starred:
        return SIZE if kind.tag == "size" else LIST
    if kind.tag == "size":
        return DIM
    return kind.item(number) if kind.tag in ("tuple", "list", "py") else UNKNOWN
