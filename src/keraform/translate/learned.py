"""What the calls in a file tell of its functions: the dtypes of arguments and results that
annotations leave open, from a first translation of the file.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import libcst as cst

from keraform.translate.kinds import UNKNOWN, Kind, join

if TYPE_CHECKING:
    from keraform.translate.module import ModuleTranslator

# An argument: its position or keyword, its kind, and the value that is passed.
Argument = tuple[int | str, Kind, cst.BaseExpression]
# A parameter: the line of its function and its name.
Place = tuple[int, str]


@dataclass(slots=True)
class Learned:
    """The dtypes that reach parameters, and the kinds that functions return.

    `dtypes` are those of the arguments, None among them where one is not known; `passed_on` are
    the callers' own parameters that are handed on; `results` are by the line of the function.
    """

    dtypes: dict[Place, set[str | None]] = field(default_factory=dict)
    passed_on: dict[Place, set[Place]] = field(default_factory=dict)
    results: dict[int, Kind] = field(default_factory=dict)

    # Noting

    def note_call(
        self, module: ModuleTranslator, function: cst.FunctionDef, arguments: Iterable[Argument]
    ) -> None:
        """Notes the arguments of a call of a function of the file."""
        line = module.line_of(function)
        names = [each.name.value for each in function.params.params]
        if names[:1] == ["self"]:
            del names[0]
        for place, kind, value in arguments:
            if isinstance(place, int) and place >= len(names):
                continue
            name = names[place] if isinstance(place, int) else place
            own = _own_parameter(module, value)
            if own is not None:
                self.passed_on.setdefault((line, name), set()).add(own)
            elif kind.is_tensor or kind.is_unknown:
                self.dtypes.setdefault((line, name), set()).add(kind.dtype)

    def note_result(self, line: int, kind: Kind) -> None:
        """Notes what a function returns."""
        known = self.results.get(line)
        self.results[line] = kind if known is None else join(known, kind)

    def solve(self) -> None:
        """Hands dtypes on from parameter to parameter."""
        for _ in range(8):
            before = {place: set(found) for place, found in self.dtypes.items()}
            for place, sources in self.passed_on.items():
                for source in sources:
                    found = self.dtypes.get(source, {None})
                    self.dtypes.setdefault(place, set()).update(found)
            if self.dtypes == before:
                return

    # Asking

    def parameter(self, line: int, name: str, kind: Kind) -> Kind:
        """The kind of a parameter, given what its annotation and its uses say."""
        if not (kind.is_tensor or kind.is_unknown) or kind.dtype not in (None, "float", "mask"):
            return kind
        found = self.dtypes.get((line, name), set())
        if found and None not in found and len(found) == 1 and found != {"float"}:
            return replace(kind, dtype=next(iter(found)))
        return replace(kind, dtype="mixed") if "float32" in found or "mixed" in found else kind

    def result(self, line: int, kind: Kind) -> Kind:
        """The kind of a function's result, given what its annotation says."""
        found = self.results.get(line)
        return kind if found is None else _refined(kind, found)


def _own_parameter(module: ModuleTranslator, value: cst.BaseExpression) -> Place | None:
    """The parameter of the function around a call, where the call hands it on as it came."""
    scope = module.scope
    if not isinstance(value, cst.Name) or scope.function is None:
        return None
    kind = scope.parameters.get(value.value)
    if kind is None or scope.names.get(value.value) != kind:
        return None
    return module.line_of(scope.function), value.value


def _refined(kind: Kind, found: Kind) -> Kind:
    """An annotated kind with the dtypes that were found; unknown where the two contradict."""
    if (kind.tag, found.tag) in (("tuple", "tensor"), ("tensor", "tuple")):
        return UNKNOWN
    if found.is_tensor:
        wanted = kind.is_tensor and kind.dtype in (None, "float")
        wanted = wanted or (kind.is_unknown and found.dtype is not None)
        telling = found.dtype not in (None, "float")
        return (
            replace(found, optional=kind.optional, rank=kind.rank) if wanted and telling else kind
        )
    if found.tag != "tuple" or not found.items or kind.tag not in ("tuple", "unknown"):
        return kind
    if not kind.items:
        known = (UNKNOWN,) * len(found.items)
    elif len(kind.items) == len(found.items):
        known = kind.items
    else:
        return kind
    items = tuple(map(_refined, known, found.items))
    return Kind("tuple", items=items, optional=kind.optional) if items != known else kind
