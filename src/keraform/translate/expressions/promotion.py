"""Type promotion: the kind that an arithmetic operator gives, and where Keras's operators promote
otherwise than torch's.
"""

from __future__ import annotations

from dataclasses import replace

from keraform.translate.kinds import (
    DIM,
    FLOAT,
    LIST,
    PERHAPS_DIM,
    STR,
    UNKNOWN,
    Kind,
    broadcast_rank,
    join,
    join_all,
    whole,
)

ARITHMETIC = frozenset({"+", "-", "*", "/", "//", "%", "**"})
NUMBERS = frozenset({"int", "float", "bool", "py"})
SEQUENCES = frozenset({"size", "tuple", "list"})


def promoted(symbol: str, left: Kind, right: Kind) -> Kind:
    """The kind of `left symbol right`."""
    tags = (left.tag, right.tag)
    if "str" in tags:
        return STR
    if left.is_tensor or right.is_tensor:
        return _promoted_tensor(symbol, left, right)
    if symbol in ("+", "*") and not SEQUENCES.isdisjoint(tags):
        sequence = left if left.tag in SEQUENCES else right
        if symbol == "*" and sequence.tag == "list":
            return LIST  # `[None] * n` has n places, and who knows what for
        mixed = left.tag == right.tag and left.items and right.items and left.items != right.items
        # one kind for all of the elements
        return Kind(left.tag, items=(join_all(left.items + right.items),)) if mixed else sequence
    if "dim" in tags or PERHAPS_DIM in (left, right):
        if "unknown" in tags:
            return PERHAPS_DIM
        if "float" in tags:
            return left if left.tag == "float" else right
        return _promoted_dim(symbol, left, right)
    if NUMBERS.issuperset(tags):
        return FLOAT if symbol == "/" or "float" in tags else join(left, right)
    return UNKNOWN


def _promoted_dim(symbol: str, left: Kind, right: Kind) -> Kind:
    if symbol == "/" or left.is_fraction or right.is_fraction:
        return Kind("dim", "float")
    return DIM if whole(left, right) else Kind("dim", "mixed")


def _promoted_tensor(symbol: str, left: Kind, right: Kind) -> Kind:
    tensors = [kind for kind in (left, right) if kind.is_tensor]
    classes = {kind.dtype_class for kind in tensors}
    rank = broadcast_rank([left, right])
    if "mixed" in (left.dtype, right.dtype) and "float32" not in (left.dtype, right.dtype):
        return Kind("tensor", "mixed", rank)
    if "mask" in (left.dtype, right.dtype) and "int" in (left.tag, right.tag) and symbol in "+-*":
        return Kind("tensor", "mask", rank)  # `1 - mask`
    if tensors[0].dtype == "mask" and len(tensors) == 1 and (left.is_fraction or right.is_fraction):
        return Kind("tensor", "mixed", rank)  # integers make a float32 of it
    if "float" in classes or symbol == "/" or left.is_fraction or right.is_fraction:
        floats = {kind.dtype for kind in tensors if kind.dtype_class == "float"}
        if floats == {"float", "float32"}:
            return Kind("tensor", "float32", rank)
        return Kind("tensor", floats.pop() if len(floats) == 1 else "float", rank)
    if symbol == "*" and "py" in (left.tag, right.tag):
        return Kind("tensor", None, rank)  # perhaps by a fraction
    if classes in ({"int"}, {"int", "bool"}):
        return Kind("tensor", "int64" if "int64" in (left.dtype, right.dtype) else "int", rank)
    if classes == {"bool"} and symbol in "&|^+*":
        return Kind("tensor", "bool", rank)
    return Kind("tensor", None, rank)


def becomes_float(symbol: str, kind: Kind, other: Kind) -> bool:
    """Whether a tensor of integers or booleans meets a float, which makes it one of torch's default
    dtype (JAX would give it a weak one, which the next operand overrules).
    """
    return (
        kind.is_tensor
        and kind.dtype_class in ("int", "bool")
        and other.is_fraction
        and symbol in ARITHMETIC
    )


def needs_function(symbol: str, left: Kind, right: Kind) -> bool:
    """Whether the operator would raise or mislead: mixed dtypes, sizes as numbers, divided
    integers, products of vectors (which TensorFlow's `@` does not know).
    """
    if symbol == "@":
        return 1 in (left.rank, right.rank)
    left, right = _as_tensor(left), _as_tensor(right)
    if left.is_tensor and right.is_tensor:
        return _differs_on_tensors(symbol, left, right)
    if left.is_tensor:
        return _differs_on_number(symbol, left, right)
    return right.is_tensor and _differs_on_number(symbol, right, left)


def _as_tensor(kind: Kind) -> Kind:
    """A value of unknown kind that has a dtype by its name is a tensor, for arithmetic."""
    return replace(kind, tag="tensor") if kind.is_unknown and kind.dtype is not None else kind


def _differs_on_tensors(symbol: str, left: Kind, right: Kind) -> bool:
    a, b = left.dtype_class, right.dtype_class
    if "mixed" in (left.dtype, right.dtype):
        return symbol in "+-*/%//**"
    if "mask" in (left.dtype, right.dtype):
        # a mask that is added has the model's dtype
        return symbol in "*/" or (symbol in ARITHMETIC and "float32" in (left.dtype, right.dtype))
    if a and b and a != b:
        return True
    if a == b == "int" and left.dtype != right.dtype and symbol not in "<<>>":
        return True
    if a == b == "float" and left.dtype != right.dtype:
        return True
    if a == b == "bool" and symbol in ("+", "*"):
        return True
    if (a is None) != (b is None) and symbol in ARITHMETIC:
        if "float" not in (a, b) or "float32" in (left.dtype, right.dtype):
            return True  # the unknown one may be of floats, or of the model's own
    return symbol == "/" and "float" not in (a, b)


def _differs_on_number(symbol: str, tensor: Kind, number: Kind) -> bool:
    kind = tensor.dtype_class
    if number.is_unknown and (
        tensor.dtype in ("mixed", "float32") or (tensor.dtype == "mask" and symbol == "*")
    ):
        return symbol in ARITHMETIC  # a tensor, perhaps, and of the model's own dtype
    if number.tag == "dim" and symbol in ARITHMETIC:
        return kind != "int" or tensor.dtype == "int64" or symbol == "/"
    if symbol == "/":
        return kind != "float"
    if kind == "bool" and symbol in ("+", "-", "*"):
        return True
    if tensor.dtype == "mask" and symbol == "+":
        return True  # perhaps of booleans
    if tensor.dtype in ("mixed", "mask") and number.is_fraction:
        return symbol in ARITHMETIC
    if kind == "int" and symbol == "*" and number.tag in ("py", "unknown"):
        return True  # perhaps by a fraction
    return kind == "int" and number.tag == "float"


def may_be_of_bits(symbol: str, left: Kind, right: Kind) -> bool:
    """Whether truth values meet what may be integers in a bit operation."""
    tensors = left.is_tensor and right.is_tensor
    return symbol in "&|^" and tensors and {left.dtype, right.dtype} == {"bool", None}


def function_for(symbol: str, function: str, left: Kind, right: Kind) -> str:
    """The function of `keras.ops` for an operator; dtypes tell bits from truth values."""
    classes = {left.dtype_class, right.dtype_class}
    if symbol in "&|^" and "int" in classes:
        return function.replace("logical", "bitwise")
    if classes == {"bool"}:
        return {"+": "logical_or", "*": "logical_and"}.get(symbol, function)
    return function
