"""Kinds: what the translator knows about the value of an expression (tensor, size, Python number,
layer...).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

FLOAT_DTYPES = frozenset({"float16", "bfloat16", "float32", "float64", "float"})
INT_DTYPES = frozenset({"int8", "int16", "int32", "int64", "uint8", "int"})


@dataclass(frozen=True, slots=True)
class Kind:
    """An abstract value.

    Args:
        tag: `tensor`, `dim` (an int, or a scalar tensor in a graph; a fraction where its dtype is
            `float`, perhaps one where it is `mixed`), `size` (a tuple of dims), `py` (some Python
            value that is no tensor), `int`, `float`, `bool`, `str`, `none`, `tuple`, `list`,
            `dict`, `layer`, `layers` (a list of layers), `class`, `function`, `object`, `numpy`,
            `dtype`, `device`, `config`, `torch` (a name of torch), or `unknown`.
        dtype: for tensors, the exact dtype, `float` for the model's own, `int`, `bool`, `mixed`
            where runs differ, or `mask` for what is either added or multiplied by; None when not
            known.
        rank: for tensors, the number of axes, None when not known.
        items: for tuples and lists, the kinds of the elements, or one kind for all; for lists of
            layers, the kinds of those that the first and the last may be told from.
        name: for layers, classes, objects and torch names, the name of the class or the dotted
            name.
        optional: whether None is possible too.
    """

    tag: str
    dtype: str | None = None
    rank: int | None = None
    items: tuple[Kind, ...] = ()
    name: str | None = None
    optional: bool = False

    @property
    def is_tensor(self) -> bool:
        """Whether the value is a tensor."""
        return self.tag == "tensor"

    @property
    def is_fraction(self) -> bool:
        """Whether the value is a number and may be none of the whole ones."""
        return self.tag == "float" or (self.tag == "dim" and self.dtype == "float")

    @property
    def is_unknown(self) -> bool:
        """Whether nothing is known."""
        return self.tag == "unknown"

    @property
    def is_python(self) -> bool:
        """Whether the value is certainly no tensor."""
        return self.tag in PYTHON_TAGS

    @property
    def dtype_class(self) -> str | None:
        """`float`, `int`, `bool`, or None when not known."""
        if self.dtype in FLOAT_DTYPES:
            return "float"
        if self.dtype in INT_DTYPES:
            return "int"
        return "bool" if self.dtype == "bool" else None

    def or_layer(self, other: Kind) -> Kind:
        """The kind of a layer that is of one class or of another, both of which the name tells."""
        if self.name is None or other.name is None:
            return Kind("layer")
        known = self.name.split("|")
        others = [each for each in other.name.split("|") if each not in known]
        return replace(self, name="|".join(known + others))

    def item(self, index: int | None = None) -> Kind:
        """The kind of an element."""
        if not self.items:
            return UNKNOWN
        if index is None or len(self.items) == 1:
            return join_all(self.items)
        return self.items[index] if -len(self.items) <= index < len(self.items) else UNKNOWN

    def element(self) -> Kind:
        """The kind of what iterating over the value yields."""
        if self.name in ("enumerate", "zip"):
            return Kind("tuple", items=self.items)
        if self.tag == "layers":
            return Kind("layer", name=self.name)
        if self.tag in ("tuple", "list") and self.items:
            return self.item()
        if self.tag == "size":
            return DIM
        if self.is_tensor:
            return Kind("tensor", self.dtype, self.rank - 1 if self.rank else None)
        return INT if self.name == "range" else UNKNOWN

    def row(self) -> Kind:
        """The kind of `x[i]` for a tensor."""
        return replace(self, rank=None if self.rank is None else self.rank - 1)


PYTHON_TAGS = frozenset(
    "py int float bool str none tuple list dict layer layers class function numpy dtype device "
    "config torch size".split()
)
NUMBERS = frozenset({"int", "dim", "float", "bool", "py"})

UNKNOWN = Kind("unknown")
TENSOR = Kind("tensor")
FLOAT_TENSOR = Kind("tensor", "float")
INT_TENSOR = Kind("tensor", "int64")
BOOL_TENSOR = Kind("tensor", "bool")
DIM = Kind("dim")
PERHAPS_DIM = Kind("unknown", name="dim")  # or a tensor
SIZE = Kind("size")
PY = Kind("py")
INT = Kind("int")
FLOAT = Kind("float")
BOOL = Kind("bool")
STR = Kind("str")
NONE = Kind("none")
UNAVAILABLE = Kind("none", name="unavailable")  # what torch's side may have imported
NUMPY = Kind("numpy")
DTYPE = Kind("dtype")
DEVICE = Kind("device")
CONFIG = Kind("config")
LIST = Kind("list")
TUPLE = Kind("tuple")
DICT = Kind("dict")
MODULE_DICT = Kind("dict", name="nn.ModuleDict")
PARAMETERS = Kind("list", items=(FLOAT_TENSOR,))
FUNCTION = Kind("function")
FLOAT_LIMITS = Kind("object", name="finfo")
# What parameters and arguments are called that are devices, or their names.
DEVICE_NAMES = frozenset({"device", "device_type"})
CONTEXT = Kind("object", name="context")
DISTRIBUTION = Kind("object", name="Distribution")


def join(a: Kind, b: Kind) -> Kind:
    """The kind of a value that is `a` on one path and `b` on the other."""
    if a == b:
        return a
    if a.tag == "none":
        return replace(b, optional=True)
    if b.tag == "none":
        return replace(a, optional=True)
    optional = a.optional or b.optional
    if "dim" in (a.tag, b.tag) and {a.tag, b.tag} <= NUMBERS:
        fractions = a.is_fraction and b.is_fraction
        dtype = None if whole(a, b) else "float" if fractions else "mixed"
        return Kind("dim", dtype, optional=optional)
    if a.tag == b.tag:
        if a.tag == "tensor":
            rank = a.rank if a.rank == b.rank else None
            return Kind("tensor", _joined_dtype(a, b), rank, optional=optional)
        if a.tag in ("tuple", "list") and len(a.items) == len(b.items):
            return Kind(a.tag, items=tuple(map(join, a.items, b.items)), optional=optional)
        return Kind(a.tag, optional=optional)
    if {a.tag, b.tag} == {"tuple", "list"}:
        element = join(a.item(), b.item())
        return Kind("tuple", items=() if element.is_unknown else (element,), optional=optional)
    if a.is_python and b.is_python:
        return Kind("py", optional=optional)
    if {a.tag, b.tag} == {"tensor", "unknown"} and _joined_dtype(a, b) == "mixed":
        return Kind("unknown", "mixed")
    if "float32" in (a.dtype, b.dtype) and not NUMBERS.isdisjoint({a.tag, b.tag}):
        return Kind("unknown", "float32")  # a number or a tensor: no other dtype comes of either
    return UNKNOWN


def _joined_dtype(a: Kind, b: Kind) -> str | None:
    """The dtype of one of two tensors; float32 on one path alone is one that differs."""
    dtypes = {a.dtype, b.dtype}
    if len(dtypes) == 1:
        return a.dtype
    if "mixed" in dtypes or ("float32" in dtypes and not dtypes.isdisjoint({None, "float"})):
        return "mixed"
    return a.dtype_class if a.dtype_class == b.dtype_class else None


def whole(*kinds: Kind) -> bool:
    """Whether numbers are certainly integers."""
    return all(
        kind.tag in ("int", "bool") or (kind.tag == "dim" and kind.dtype is None) for kind in kinds
    )


def join_all(kinds: tuple[Kind, ...]) -> Kind:
    """The kind that covers all of `kinds`."""
    result = kinds[0]
    for kind in kinds[1:]:
        result = join(result, kind)
    return result


def broadcast_rank(operands: list[Kind]) -> int | None:
    """The number of axes of what an operator gives, None when not known."""
    ranks = [kind.rank for kind in operands if kind.is_tensor or kind.is_unknown]
    return None if None in ranks else max(rank for rank in ranks if rank is not None)


_FACT_TAGS = {
    "int": INT,
    "float": FLOAT,
    "bool": BOOL,
    "str": STR,
    "none": NONE,
    "tuple": TUPLE,
    "list": LIST,
    "dict": DICT,
    "size": SIZE,
    "module": Kind("layer"),
    "dtype": DTYPE,
    "device": DEVICE,
    "config": CONFIG,
    "output": Kind("object", name="ModelOutput"),
    "cache": Kind("object", name="Cache"),
    "function": FUNCTION,
    "numpy": NUMPY,
    "other": PY,
}


def kind_from_fact(fact: str) -> Kind:
    """Turns a recorded fact such as `none|tensor:float32:3` into a kind."""
    result: Kind | None = None
    for part in fact.split("|"):
        if part.startswith("tensor"):
            pieces = part.split(":")
            dtype = pieces[1] if len(pieces) > 1 else None
            kind = Kind("tensor", dtype, int(pieces[2]) if len(pieces) > 2 else None)
        else:
            kind = _FACT_TAGS.get(part.split(":")[0], UNKNOWN)
        result = kind if result is None else join(result, kind)
    return result or UNKNOWN
