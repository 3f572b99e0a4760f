"""Loops that write to the rows of a tensor (`for x, row in zip(xs, rows): row[:n] = x`). A row is a
part of its tensor in torch; in Keras it is a tensor of its own, which has to be put back.
"""

from __future__ import annotations

from collections.abc import Iterator

import libcst as cst
import libcst.matchers as m

from keraform.translate.kinds import Kind
from keraform.translate.rules.record import Refusal


def written_rows(node: cst.For, names: dict[str, Kind]) -> dict[str, str]:
    """The loop's variables that are rows of a tensor and are written to, with that tensor's name.

    Args:
        node: the loop.
        names: the kinds of the names around it.

    Raises:
        Refusal: the loop leaves a round early, so that rows could not be gathered.
    """
    pairs = dict(_pairs(node))
    found = {
        row: rows
        for row, rows in pairs.items()
        if rows in names and names[rows].is_tensor and _is_written(row, node.body)
    }
    if found and m.findall(node.body, m.Break() | m.Continue() | m.Return()):
        raise Refusal("loop.rows", f"writes to rows of `{next(iter(found.values()))}`, and leaves")
    return found


def _pairs(node: cst.For) -> Iterator[tuple[str, str]]:
    """Variables of a loop, each with the name that it goes through."""
    targets: list[cst.BaseExpression] = [node.target]
    sources: list[cst.BaseExpression] = [node.iter]
    if m.matches(node.iter, m.Call(func=m.Name("zip"))) and isinstance(node.target, cst.Tuple):
        targets = [element.value for element in node.target.elements]
        sources = [arg.value for arg in node.iter.args if arg.keyword is None]  # type: ignore[attr-defined]
    for target, source in zip(targets, sources, strict=False):
        if isinstance(target, cst.Name) and isinstance(source, cst.Name):
            yield target.value, source.value


def _is_written(name: str, body: cst.CSTNode) -> bool:
    """Whether a block writes into the tensor that a name stands for, and never binds it anew."""
    if m.findall(body, m.AssignTarget(m.Name(name))):
        return False
    targets = [node.target for node in m.findall(body, m.AssignTarget(m.Subscript()))]  # type: ignore[attr-defined]
    targets += [node.target for node in m.findall(body, m.AugAssign())]  # type: ignore[attr-defined]
    calls = m.findall(body, m.Expr(m.Call(func=m.Attribute())))
    methods = [node.value.func for node in calls]  # type: ignore[attr-defined]
    targets += [func.value for func in methods if func.attr.value.endswith("_")]
    return any(_root(target) == name for target in targets)


def _root(target: cst.BaseExpression) -> str | None:
    while isinstance(target, cst.Subscript):
        target = target.value
    return target.value if isinstance(target, cst.Name) else None
