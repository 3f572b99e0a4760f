"""Kinds that were recorded in runs of the torch model, looked up by position in the source."""

from __future__ import annotations

from collections.abc import Mapping

import libcst as cst
from libcst.metadata import CodeRange

from keraform.translate.kinds import DIM, Kind, kind_from_fact

# Kinds that inference knows better than the record does: it cannot tell sizes from ints.
INFERRED = frozenset("dim device size layer layers class config dtype".split())


class RecordedKinds:
    """The facts of one file."""

    def __init__(self, facts: Mapping[str, str], positions: Mapping[cst.CSTNode, CodeRange]):
        self.facts = facts
        self.positions = positions

    def refine(self, node: cst.CSTNode, kind: Kind) -> Kind:
        """The kind of an expression: a recorded fact beats static inference."""
        fact = self.fact(node)
        if fact is None:
            return kind
        known = kind_from_fact(fact)
        if known.is_unknown and kind.tag in ("int", "float") and "tensor" in fact:
            return known  # a sum that begins with a number
        if kind.name == "scanned" or known.is_unknown or kind.tag in INFERRED:
            return kind
        if known.tag == "none" and not kind.is_unknown:
            return kind
        if known.tag == "int" and kind.is_unknown:
            return DIM
        if kind.tag == known.tag and kind.items:
            return kind
        return known

    def fact(self, node: cst.CSTNode) -> str | None:
        """What was recorded of an expression."""
        position = self.positions.get(node) if self.facts else None
        if position is None:
            return None
        start, end = position.start, position.end
        return self.facts.get(f"{start.line}:{start.column}:{end.line}:{end.column}")

    def refine_parameter(self, function: cst.FunctionDef | None, name: str, kind: Kind) -> Kind:
        """The kind of a parameter: what its first uses in the body saw beats its annotation."""
        position = self.positions.get(function) if self.facts and function is not None else None
        fact = self.facts.get(f"{position.start.line}:{name}") if position is not None else None
        if fact is None:
            return kind
        known = kind_from_fact(fact)
        return kind if known.is_unknown or known.tag == "none" else known
