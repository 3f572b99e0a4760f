"""Reductions over the first entries of an axis, `x[i, :n].mean(0)`, where `n` is a tensor.

A graph that XLA compiles has no slice of unknown length, so the port reduces the whole axis and
leaves the other entries out: `kf.mean_of_first(x[i], n, dim=0)`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import libcst as cst
import libcst.matchers as m

from keraform.translate.kinds import Kind
from keraform.translate.rules.record import Code, Rule, bind, fill

if TYPE_CHECKING:
    from keraform.translate.calls import CallTranslator

# What stands after `dim` in torch's signatures.
OPTIONS = {
    "mean": "keepdim?",
    "sum": "keepdim?",
    "std": "unbiased?, keepdim?, correction?",
    "var": "unbiased?, keepdim?, correction?",
}
_UP_TO_A_NAME = m.Slice(lower=None, upper=m.Name(), step=None)


def reduction(calls: CallTranslator, func: cst.Attribute, node: cst.Call) -> Code | None:
    """The port of `x[..., :n].mean(dim)`; None for anything else."""
    name, value = func.attr.value, func.value
    if name not in OPTIONS or not isinstance(value, cst.Subscript):
        return None
    *before, last = [element.slice for element in value.slice]
    if not m.matches(last, _UP_TO_A_NAME):
        return None
    length = calls.module.expressions(last.upper)  # type: ignore[union-attr,arg-type]
    if not length.kind.is_tensor:
        return None
    whole = value.value
    if not all(m.matches(each, m.Slice(lower=None, upper=None, step=None)) for each in before):
        index = [each.with_changes(comma=cst.MaybeSentinel.DEFAULT) for each in value.slice[-2:-1]]
        whole = value.with_changes(slice=[*value.slice[:-2], *index])
    bound = bind(Rule(f"Tensor.{name}", f"dim, {OPTIONS[name]}", ""), calls.arguments(node))
    axis = sum(isinstance(each, cst.Slice) for each in before)
    if bound["dim"].text != str(axis):
        return None
    rest = "".join(f", {option}={{{option}}}" for option in bound if option != "dim")
    source = calls.module.expressions(whole)
    code = fill(
        f"kf.{name}_of_first({{self}}, {{length}}, dim={{dim}}{rest})",
        {**bound, "self": source, "length": length},
    )
    calls.module.imports.need_for(code)
    calls.module.stats.operations += 1
    return Code(code, Kind("tensor", source.kind.dtype if source.kind.is_tensor else None))
