"""What the calls in a file tell of its functions: what arguments and results are that annotations
leave open or name wrongly, from a first translation of the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import libcst as cst

from keraform.translate.kinds import DIM, INT_DTYPES, PY, TUPLE, UNKNOWN, Kind, join, join_all

if TYPE_CHECKING:
    from keraform.translate.module import ModuleTranslator

# An argument: its position or keyword, its kind, and the value that is passed.
Argument = tuple[int | str, Kind, cst.BaseExpression]
# A parameter: the line of its function and its name.
Place = tuple[int, str]
# Names of what may be one number, or one for each axis, though annotated as a number.
EACH_AXIS = re.compile(r"(kernel_size|stride|padding|dilation)$")
# Names of what may be a fraction, though annotated as a whole number.
FRACTION = re.compile(r"(^|_)factor$")
# Names of what says what is padding, in whatever dtype.
MASK = re.compile(r"(mask|padding)$")
# A tuple of tuples, in some of the places where its name is used.
NESTED = Kind("tuple", items=(UNKNOWN,))
# What is an item of a list in a configuration, and may be a list itself.
ITEM = Kind("py", name="item")
# What is read from a field that holds values of several kinds.
SEVERAL = Kind("unknown", name="several")


@dataclass(slots=True)
class Learned:
    """The kinds that reach parameters, and those that functions return.

    `dtypes` are those of the arguments, None among them where one is not known; `kinds` are what
    the arguments are, where it is known; `passed_on` are the callers' own parameters that are
    handed on, with what the callers take them for; `results` are by the line of the function;
    `asked` is what was known of the parameters without all this; `fields` are what is put into
    attributes of other objects than self (`outputs.pooler_output = ...`), `unsaid` those of them
    that something unknown fills too; `loops` are what a loop makes of what it assigns, by its line
    and the name, `begun` what it was before and was taken for; `known` answers meanwhile, where a
    file is learned from again.
    """

    dtypes: dict[Place, set[str | None]] = field(default_factory=dict)
    kinds: dict[Place, set[Kind]] = field(default_factory=dict)
    passed_on: dict[Place, dict[Place, Kind]] = field(default_factory=dict)
    results: dict[int, Kind] = field(default_factory=dict)
    asked: dict[Place, Kind] = field(default_factory=dict)
    fields: dict[str, Kind] = field(default_factory=dict)
    unsaid: set[str] = field(default_factory=set)
    loops: dict[Place, Kind] = field(default_factory=dict)
    begun: dict[Place, tuple[Kind, Kind]] = field(default_factory=dict)
    known: Learned | None = None

    # Noting

    def note_call(
        self, module: ModuleTranslator, function: cst.FunctionDef, arguments: Iterable[Argument]
    ) -> None:
        """Notes the arguments of a call of a function of the file."""
        line = module.line_of(function)
        names = [each.name.value for each in function.params.params]
        if names[:1] in (["self"], ["cls"]):
            del names[0]
        for place, kind, value in arguments:
            if isinstance(place, int) and place >= len(names):
                continue
            name = names[place] if isinstance(place, int) else place
            own = _own_parameter(module, value)
            if own is not None:
                self.passed_on.setdefault((line, name), {})[own] = kind
                continue
            if kind.is_tensor or kind.is_unknown:
                self.dtypes.setdefault((line, name), set()).add(kind.dtype)
            if kind.is_unknown and self._is_of_several(value):
                kind = SEVERAL
            if kind == PY and isinstance(value, cst.Subscript):
                kind = ITEM
            if kind.tag != "none":
                self.kinds.setdefault((line, name), set()).add(replace(kind, optional=False))

    def note_result(self, line: int, kind: Kind) -> None:
        """Notes what a function returns."""
        known = self.results.get(line)
        self.results[line] = kind if known is None else join(known, kind)

    def note_field(self, name: str, kind: Kind, value: cst.BaseExpression | None = None) -> None:
        """Notes what an attribute of some object is set to, or what `value` fills a field with, of
        which one that says nothing leaves the field what its name says, or unknown if others belie
        the name.
        """
        known = self.fields.get(name)
        if kind.is_unknown and value is not None and not self._is_of_several(value):
            self.unsaid.add(name)
            return
        if known == NESTED:
            return
        parts = {each.tag for each in kind.items}
        if "tuple" in parts or (len(kind.items) > 1 and parts == {"unknown"}):
            kind = known = NESTED
        self.fields[name] = kind if known is None else join(known, kind)

    def _is_of_several(self, value: cst.BaseExpression | None) -> bool:
        """Whether a value is an attribute that is not always of the same kind."""
        known = self.known or self
        return isinstance(value, cst.Attribute) and UNKNOWN == known.fields.get(value.attr.value)

    def note_carried(self, line: int, name: str, kind: Kind) -> None:
        """Notes what a variable is at the end of a loop that assigns it."""
        self.loops[line, name] = kind

    def solve(self) -> None:
        """Hands kinds on from parameter to parameter."""
        self.known = None
        for _ in range(8):
            before = self._sizes()
            for place, sources in self.passed_on.items():
                for source, kind in sources.items():
                    pending = source in self.passed_on  # until something reaches it
                    found = self.dtypes.get(source, set() if pending else {None})
                    self.dtypes.setdefault(place, set()).update(found)
                    taken = {kind} if kind.tag != "none" else set()
                    self.kinds.setdefault(place, set()).update(self.kinds.get(source, taken))
            if self._sizes() == before:
                return

    def _sizes(self) -> tuple[int, int]:
        return sum(map(len, self.dtypes.values())), sum(map(len, self.kinds.values()))

    # Asking

    def parameter(self, line: int, name: str, kind: Kind) -> Kind:
        """The kind of a parameter, given what its annotation and its uses say."""
        if self.known is not None:
            kind = self.known.parameter(line, name, kind)
            self.asked.setdefault((line, name), kind)
            return kind
        self.asked.setdefault((line, name), kind)
        kind = self._unless_contradicted((line, name), kind)
        if kind.is_tensor and kind.dtype in ("int64", "bool"):
            kind = self._unless_of_others((line, name), kind)
        if not (kind.is_tensor or kind.is_unknown) or kind.dtype not in (None, "float", "mask"):
            return kind
        found = self.dtypes.get((line, name), set())
        if found and None not in found and len(found) == 1 and found != {"float"}:
            return replace(kind, dtype=next(iter(found)))
        return replace(kind, dtype="mixed") if "float32" in found or "mixed" in found else kind

    def _unless_contradicted(self, place: Place, kind: Kind) -> Kind:
        """What all calls pass instead, where some pass what the annotation does not say, or where
        it says nothing.
        """
        found = self.kinds.get(place, set())
        families = {_family(each) for each in found}
        if kind.is_unknown and families == {"tensor"}:
            return Kind("tensor", kind.dtype, optional=True)
        known = [each for each in found if _family(each) is not None]
        if kind.tag == "tuple" and families == {"sequence"}:
            told = tuple(each for each in found if each.items)
            return _refined(kind, join_all(told)) if told else replace(kind, items=())
        tags = {each.tag for each in found}
        if kind.tag == "tuple" and found and tags <= {"py", "int", "dim"}:
            return PY  # a size that is given as it is
        if kind.is_tensor and tags == {"py"}:
            return PY
        if kind.is_tensor and SEVERAL in found:
            return UNKNOWN
        of_config = tags == {"py"} or (ITEM in found and tags <= {"py", "int", "dim", "unknown"})
        if kind.tag == "dim" and of_config and EACH_AXIS.search(place[1]):
            return PY
        open_ = tags == {"unknown"} and FRACTION.search(place[1]) is not None
        if kind.tag == "dim" and (open_ or any(each.is_fraction for each in known)):
            return replace(kind, dtype="mixed")
        if _family(kind) is None or all(_may_be(each, kind) for each in known):
            return kind
        if families == {"tensor"}:
            return Kind("tensor", optional=kind.optional)
        return DIM if families == {"number"} else UNKNOWN

    def _unless_of_others(self, place: Place, kind: Kind) -> Kind:
        """An annotated dtype, unless calls pass others; a mask of which a call does not know the
        dtype may be of any.
        """
        found = self.dtypes.get(place, set())
        if not found <= {None, kind.dtype}:
            return replace(kind, dtype="mixed")
        given = self.kinds.get(place, set())
        unsaid = any(each.is_tensor and each.dtype is None for each in given)
        return replace(kind, dtype="mask") if unsaid and MASK.search(place[1]) else kind

    @property
    def revises(self) -> bool:
        """Whether parameters are of other kinds, hold other ones, or are of dtypes that differ
        from call to call, which was not known when this was learned: what was made of them is to
        be learned again.
        """
        found = [(self.parameter(*place, kind), kind) for place, kind in self.asked.items()]
        rounds = [(self.carried(*place, kind), was) for place, (kind, was) in self.begun.items()]
        return any("mixed" == new.dtype != old.dtype for new, old in rounds) or any(
            new.tag != old.tag or new.items != old.items or "mixed" == new.dtype != old.dtype
            for new, old in found
        )

    def carried(self, line: int, name: str, kind: Kind) -> Kind:
        """The kind of a variable in a loop that assigns it, given its kind before: sums of tensors
        begin with a number, and one round may give another dtype than comes into the first.
        """
        found = (self.known or self).loops.get((line, name), kind)
        is_sum = kind.tag in ("int", "float") and (found.is_tensor or found.is_unknown)
        becomes_mixed = kind.is_tensor and found.dtype == "mixed"
        taken = join(kind, found) if is_sum or becomes_mixed else kind
        self.begun.setdefault((line, name), (kind, taken))
        return taken

    def field_of(self, name: str, kind: Kind) -> Kind:
        """The kind of an attribute of some object, by its name a tensor or a tuple of tensors."""
        found = self.fields.get(name, kind)
        if kind.tag == found.tag == "tuple":
            return found if found == NESTED else kind
        if kind.tag == "tuple" and (found.is_tensor or found.is_unknown):
            return UNKNOWN
        if kind.is_unknown and found.tag in ("tuple", "list"):
            return found
        if found.is_tensor or not kind.is_tensor:
            return kind
        return UNKNOWN if name in self.unsaid else found

    def result(self, line: int, kind: Kind) -> Kind:
        """The kind of a function's result, given what its annotation says."""
        found = self.results.get(line)
        return kind if found is None else _refined(kind, found)


_FAMILIES = {
    "tensor": "tensor",
    **dict.fromkeys(("int", "float", "dim"), "number"),
    **dict.fromkeys(("tuple", "list", "size"), "sequence"),
    **dict.fromkeys(("bool", "str", "dict", "layer"), "value"),
}


def _family(kind: Kind) -> str | None:
    """Which of the kinds that exclude each other it belongs to."""
    return _FAMILIES.get(kind.tag)


def _may_be(found: Kind, kind: Kind) -> bool:
    """Whether what is passed can be of the annotated kind."""
    if "value" in (_family(found), _family(kind)):
        return found.tag == kind.tag
    return _family(found) == _family(kind)


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
    if kind.tag == "tuple" and found.tag in ("py", "dim", "int"):
        return PY
    if _family(kind) == "number" and found.is_tensor:
        return UNKNOWN
    if kind.is_tensor and (found.tag == "object" or found.is_python) and found.tag != "none":
        return UNKNOWN
    if found.is_tensor:
        classes = {kind.dtype_class, found.dtype_class} - {None}
        if kind.is_unknown and found.dtype in (None, "float"):
            return Kind("tensor", optional=found.optional)
        if kind.is_tensor and len(classes) == 2:
            return replace(found, optional=kind.optional)
        if kind.dtype_class == "int" and found.dtype in INT_DTYPES - {"int"}:
            return replace(kind, dtype=found.dtype)
        wanted = kind.is_tensor and kind.dtype in (None, "float")
        wanted = wanted or (kind.is_unknown and found.dtype is not None)
        telling = found.dtype not in (None, "float")
        return (
            replace(found, optional=kind.optional, rank=kind.rank) if wanted and telling else kind
        )
    parts = len(kind.items) > 1 and len(found.items) < 2
    if kind.tag == found.tag == "tuple" and parts:  # put together of parts
        items = tuple(UNKNOWN if each.tag == "tuple" else each for each in kind.items)
        return replace(kind, items=items)
    if found.tag != "tuple" or not found.items or kind.tag not in ("tuple", "unknown"):
        return kind
    if not kind.items:
        known: tuple[Kind, ...] = (UNKNOWN,) * len(found.items)
    elif len(kind.items) == 1 < len(found.items):
        # `tuple[torch.Tensor]` says that tensors are in it, not how many, nor what else
        known = tuple(seen if seen.is_unknown else kind.items[0] for seen in found.items)
    elif len(kind.items) == len(found.items):
        known = kind.items
    else:
        return kind
    items = tuple(
        UNKNOWN if each == TUPLE and seen.is_unknown else _refined(each, seen)
        for each, seen in zip(known, found.items, strict=True)
    )
    return Kind("tuple", items=items, optional=kind.optional) if items != kind.items else kind
