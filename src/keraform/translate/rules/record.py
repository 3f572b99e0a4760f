"""The form of a rule: one record says what a torch name becomes, how its arguments map, and when it does not hold."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property

from keraform.translate.kinds import NUMBERS, UNKNOWN, Kind
from keraform.translate.layout import Doc, Group, Item, doc, flat

ATOM = 14


@dataclass(frozen=True, slots=True)
class Code:
    """A translated expression: its text, what is known of its value, and how tightly it binds."""

    doc: Doc
    kind: Kind = UNKNOWN
    precedence: int = ATOM
    parenthesized: bool = False
    star: str = ""
    source: object = None

    @property
    def text(self) -> str:
        """The expression on one line."""
        return flat(self.doc)

    def operand(self, precedence: int = ATOM) -> Doc:
        """The expression as an operand of something that binds with `precedence`."""
        if self.parenthesized or self.precedence < precedence:
            return doc(Group("(", [Item(self.doc)], ")", trailing_comma=False))
        return self.doc

    @property
    def whole(self) -> Doc:
        """The expression with the parentheses that the source has."""
        return self.operand(0)


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a torch function in a rule's signature.

    `name` is required; `name=text` is written even when absent; `name?` is left out when absent; `name!` is accepted
    and dropped; `name^` is dropped when it is None or False and refused else; `*name` takes the remaining positional
    arguments as one tuple.
    """

    name: str
    default: str | None = None
    optional: bool = False
    dropped: bool = False
    variadic: bool = False
    refused: bool = False


@cache
def parse_signature(signature: str) -> tuple[Parameter, ...]:
    """Parses the signature of a rule."""
    parameters = []
    for piece in filter(None, (p.strip() for p in re.split(r",(?![^(\[]*[)\]])", signature))):
        name, _, default = piece.partition("=")
        variadic, name = name.startswith("*"), name.lstrip("*")
        if name[-1] in "?!^":
            parameters.append(
                Parameter(
                    name[:-1], None, name[-1] == "?", name[-1] in "!^", refused=name[-1] == "^"
                )
            )
        else:
            parameters.append(Parameter(name, default or None, False, False, variadic))
    return tuple(parameters)


class Refusal(Exception):
    """A construct that no rule covers; carries the rule's id and the reason."""

    def __init__(self, rule: str, reason: str):
        super().__init__(f"{rule}: {reason}")
        self.rule = rule
        self.reason = reason


# The arguments of a call, each with its keyword.
Arguments = list[tuple[str | None, Code]]


@dataclass(frozen=True)
class Rule:
    """What one torch function, tensor method or module becomes.

    Args:
        torch: the torch name (`torch.cat`, `Tensor.view`, `nn.Linear`), which is also the rule's id.
        signature: the torch parameters (see `Parameter`); a method's receiver is `self`.
        emit: a template with `{name}` for arguments (`{name!o}` as an operand); what a template cannot say is an idiom.
        kind: the result: `tensor` (dtype unknown), `same` (like the first argument), `floating` (the same, as a
            float), `tensor:float32`, `like:name`, `dtype:name` (the dtype given by that argument; after `|` what it is else, `default` for torch's default dtype, `constructed` for one that makes no other dtype of what it meets), `vector:name` (the same, of one axis), `int`, `dim`, `size`, `list`, `tuple:a,b`, ...
        guard: called with the arguments; returns the reason for refusing, or None.
        precedence: how tightly the emitted text binds.
    """

    torch: str
    signature: str
    emit: str
    kind: str = "tensor"
    guard: Callable[[Mapping[str, Code]], str | None] | None = None
    precedence: int = ATOM

    @property
    def id(self) -> str:
        """The rule's id: docs anchor and name of its case."""
        return self.torch

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        """The parsed signature."""
        return parse_signature(self.signature)


# Torch accepts NumPy's names of some arguments, and a method may have others than the function.
OTHER_NAMES = {
    "axis": "dim",
    "keepdims": "keepdim",
    "x": "input",
    "a": "input",
    "split_size": "split_size_or_sections",
}


def bind(rule: Rule, arguments: Arguments) -> dict[str, Code]:
    """Binds call arguments to the rule's parameters by torch's own calling convention."""
    bound: dict[str, Code] = {}
    by_name = {p.name: p for p in rule.parameters}
    positional = list(rule.parameters)
    cursor = 0
    for keyword, code in arguments:
        if keyword is not None:
            keyword = OTHER_NAMES.get(keyword, keyword) if keyword not in by_name else keyword
            if keyword not in by_name:
                raise Refusal(rule.id, f"argument {keyword!r} is not known to the rule")
            bound[keyword] = code
            continue
        while (
            cursor < len(positional)
            and positional[cursor].name in bound
            and not positional[cursor].variadic
        ):
            cursor += 1
        if cursor >= len(positional):
            raise Refusal(rule.id, f"takes {len(positional)} positional arguments, more were given")
        parameter = positional[cursor]
        if parameter.variadic:
            bound.setdefault(parameter.name, Code((), Kind("tuple"), source=[])).source.append(code)  # type: ignore[union-attr]
            continue
        if code.star:
            raise Refusal(rule.id, "a starred argument cannot be matched to the torch parameters")
        bound[parameter.name] = code
        cursor += 1
    for parameter in rule.parameters:
        _complete(rule, parameter, bound)
    return bound


def _complete(rule: Rule, parameter: Parameter, bound: dict[str, Code]) -> None:
    """Packs, adds, or drops one parameter when all arguments are bound."""
    name = parameter.name
    if parameter.variadic and name in bound:
        bound[name] = pack_tuple(bound[name])
    elif name not in bound:
        if parameter.default is not None:
            bound[name] = Code((parameter.default,), kind_of_literal(parameter.default))
        elif not (parameter.optional or parameter.dropped or parameter.variadic):
            raise Refusal(rule.id, f"argument {name!r} is missing")
    elif parameter.dropped:
        given = bound.pop(name)
        if parameter.refused and given.text not in ("None", "False"):
            raise Refusal(rule.id, f"argument {name!r} has no counterpart")


def takes_torchs_arguments(rule: Rule) -> bool:
    """Whether the target has torch's parameters by torch's names and in torch's order, as functions
    of `keraform.ops` mostly have; then `*args` and `**kwargs` mean the same there.
    """
    found = re.fullmatch(r"kf\.\w+\((.*)\)", rule.emit)
    if found is None:
        return False
    named = [re.fullmatch(r"(?:(\w+)=)?\{(\w+)\}", part) for part in found[1].split(", ")]
    names = [each[2] for each in named if each is not None and each[1] in (None, each[2])]
    kept = [parameter.name for parameter in rule.parameters if not parameter.dropped]
    variadic = any(parameter.variadic for parameter in rule.parameters)
    return not variadic and "self" not in names and names == kept and len(names) == len(named)


def kind_of_literal(text: str) -> Kind:
    """The kind of a literal in a signature."""
    if text in ("True", "False"):
        return Kind("bool")
    if text == "None":
        return Kind("none")
    if re.fullmatch(r"-?\d+", text):
        return Kind("int")
    return Kind("float") if re.fullmatch(r"-?[\d.]+(e-?\d+)?", text) else Kind("py")


def pack_tuple(code: Code) -> Code:
    """Turns the arguments of a variadic parameter (`view(a, b)`, `view(shape)`, `view(*shape)`) into one sequence."""
    if not isinstance(code.source, list):
        return code
    items: list[Code] = code.source
    if len(items) == 1:
        only = items[0]
        if only.star:
            return Code(only.doc, only.kind, only.precedence)
        if only.kind.tag not in ("int", "dim") and not re.fullmatch(r"-?\d+", only.text):
            return only
    close = ",)" if len(items) == 1 else ")"
    docs = [Item(doc("*", i.operand(5)) if i.star else i.doc) for i in items]
    return Code(doc(Group("(", docs, close)), Kind("tuple", items=tuple(i.kind for i in items)))


# Templates


@dataclass(frozen=True, slots=True)
class Slot:
    """A place for an argument in a template."""

    name: str
    operand: bool


TemplatePart = "str | Slot | TemplateGroup"


@dataclass(frozen=True, slots=True)
class TemplateGroup:
    """A bracketed list in a template."""

    open: str
    items: tuple[tuple[object, ...], ...]
    close: str


@cache
def parse_template(template: str) -> tuple[object, ...]:
    """Parses a template into text, slots and bracket groups."""
    tokens = re.findall(r"\{\w+(?:!o)?\}|[()\[\]]|,\s*|[^{}()\[\],]+", template)
    position = 0

    def sequence(close: str | None) -> list[list[object]]:
        nonlocal position
        items: list[list[object]] = [[]]
        while position < len(tokens):
            token = tokens[position]
            position += 1
            if token == close:
                return items
            if token in "([":
                closing = ")" if token == "(" else "]"
                inner = sequence(closing)
                shut = closing
                if len(inner) > 1 and not inner[-1]:
                    inner.pop()
                    shut = "," + closing
                items[-1].append(TemplateGroup(token, tuple(tuple(i) for i in inner if i), shut))
            elif token.startswith(",") and close is not None:
                items.append([])
            elif token.startswith("{"):
                items[-1].append(Slot(token[1:-1].removesuffix("!o"), token.endswith("!o}")))
            else:
                items[-1].append(token)
        return items

    return tuple(sequence(None)[0])


def fill(template: str, arguments: Mapping[str, Code]) -> Doc:
    """Fills a template; an item of a call whose only slot has no argument is left out."""
    return _fill(parse_template(template), arguments)


def _fill(parts: tuple[object, ...], arguments: Mapping[str, Code]) -> Doc:
    result: Doc = ()
    for part in parts:
        if isinstance(part, Slot):
            code = arguments[part.name]
            result = doc(result, code.operand() if part.operand else code.doc)
        elif isinstance(part, TemplateGroup):
            items = []
            for item in part.items:
                slots = [p for p in item if isinstance(p, Slot)]
                if slots and any(s.name not in arguments for s in slots):
                    continue
                items.append(Item(_fill(item, arguments)))
            trailing = part.close != ")" or len(items) != 1
            result = doc(result, Group(part.open, items, part.close, trailing_comma=trailing))
        else:
            result = doc(result, str(part))
    return result


def result_kind(rule: Rule, arguments: Mapping[str, Code]) -> Kind:
    """The kind of the result that the rule states."""
    return parse_kind(rule.kind, arguments)


def _of_fractions(data: Kind) -> bool:
    """Whether data is a fraction, or a list of them alone."""
    parts = data.items if data.tag in ("list", "tuple") else (data,)
    return bool(parts) and all(part.is_fraction for part in parts)


def parse_kind(text: str, arguments: Mapping[str, Code]) -> Kind:
    """Reads a kind such as `tensor:int64`, `like:input` or `list:tensor`."""
    head, _, rest = text.partition(":")
    if head == "same":  # like the first argument that is no plain number
        names = [name for name, code in arguments.items() if code.kind.tag not in NUMBERS]
        head, rest = "like", next(iter(names), "")
    if head == "floating":  # like the first argument, which becomes a float
        kind = parse_kind("same", arguments)
        return Kind("tensor", "float") if kind.dtype_class in ("int", "bool") else kind
    if head == "quotient":  # of floats; of integers it depends on the rounding
        operands = [code.kind for name, code in arguments.items() if name != "rounding_mode"]
        dtypes = {kind.dtype for kind in operands if kind.tag not in NUMBERS}
        kind = Kind("tensor", dtypes.pop() if len(dtypes) == 1 else None)
        return kind if kind.dtype_class == "float" else Kind("tensor")
    if head == "like":
        source = arguments.get(rest)
        kind = source.kind if source is not None else UNKNOWN
        if kind.tag in ("tuple", "list"):
            kind = kind.item()
        return Kind("tensor", kind.dtype if kind.is_tensor else None)
    if head == "dtype":
        given = arguments.get(rest.split("|")[0])
        if given is not None and given.text.strip('"') != "None":
            named = given.kind.name if given.kind.tag == "dtype" else None
            name = named or given.text.strip('"')
            return Kind("tensor", name if re.fullmatch(r"(b?float|u?int|bool)\d*", name) else None)
        data = arguments.get("data")
        if data is not None and data.kind.tag == "bool":
            return Kind("tensor", "bool")
        if data is not None and _of_fractions(data.kind):
            return Kind("tensor", "constructed")
        return Kind("tensor", rest.partition("|")[2] or None)
    if head == "vector":  # `dtype`, of one axis
        return replace(parse_kind(f"dtype:{rest}", arguments), rank=1)
    if head == "tensor":
        return Kind("tensor", rest or None)
    if head in ("list", "tuple") and rest:
        return Kind(head, items=tuple(parse_kind(part, arguments) for part in rest.split(",")))
    return Kind(head)
