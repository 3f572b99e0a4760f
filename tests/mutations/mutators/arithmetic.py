"""Faults of arithmetic: scales, terms, signs, constants, activations, and casts."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.mutations.mutators.mutator import Mutator
from tests.mutations.source import Place, called, changed, dotted, names_in, parsed

FUNCTIONS = {
    "ops.silu": "ops.sigmoid", "ops.tanh": "ops.sigmoid", "ops.relu": "ops.silu",
    "ops.sigmoid": "ops.tanh", "kf.softplus": "ops.relu", "kf.relu": "ops.silu",
    "ops.exp": "ops.expm1", "ops.sin": "ops.cos", "ops.cos": "ops.sin",
}  # fmt: skip
FLOAT32 = "'float32'"


def no_epsilon(place: Place) -> Iterator[ast.expr]:
    """`variance + self.variance_epsilon` becomes `variance`."""
    node = place.node
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        if dotted(node.right).endswith(("epsilon", "eps")):
            yield node.left


def no_scale(place: Place) -> Iterator[ast.expr]:
    """A factor that is called a scale is left out."""
    node = place.node
    if not isinstance(node, ast.BinOp) or not isinstance(node.op, (ast.Mult, ast.Div)):
        return
    if _is_scale(node.right) and not _is_scale(node.left):
        yield node.left
    elif isinstance(node.op, ast.Mult) and _is_scale(node.left) and not _is_scale(node.right):
        yield node.right


def _is_scale(node: ast.expr) -> bool:
    return any("scal" in name for name in names_in(node))


def unit_scale(place: Place) -> Iterator[ast.expr]:
    """A scale is not handed on."""
    node, around = place.node, place.above[-1]
    if isinstance(around, ast.keyword) and "scal" in (around.arg or "") and _is_scale(node):
        yield ast.Constant(1.0)


def no_term(place: Place) -> Iterator[ast.expr]:
    """A bias, of positions too, is not added."""
    node = place.node
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add) and _is_bias(node.right):
        yield node.left
    elif called(node) == "ops.add" and _is_bias(node.args[1]):
        yield node.args[0]


def _is_bias(node: ast.expr) -> bool:
    return any("bias" in name for name in names_in(node)) and not isinstance(node, ast.BinOp)


def no_bias_argument(place: Place) -> Iterator[ast.expr]:
    """A function does not get its bias."""
    node, around = place.node, place.above[-1]
    if isinstance(around, ast.Call) and node in around.args and dotted(node).endswith("bias"):
        if "isinstance" not in called(around) and not called(around).endswith("cast"):
            yield ast.Constant(None)


def other_sign(place: Place) -> Iterator[ast.expr]:
    """`a - b` becomes `a + b`, and `-x` becomes `x`."""
    node = place.node
    if _about_sizes(place):
        return
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Sub):
        yield changed(node, op=ast.Add())
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        if not isinstance(node.operand, ast.Constant):
            yield node.operand


def other_sum(place: Place) -> Iterator[ast.expr]:
    """`a + b` becomes `a - b`."""
    node = place.node
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add) and not _about_sizes(place):
        if not dotted(node.right).endswith(("epsilon", "eps")):
            yield changed(node, op=ast.Sub())


def other_constant(place: Place) -> Iterator[ast.expr]:
    """A number in a formula is another one."""
    node, around = place.node, place.above[-1]
    if not isinstance(node, ast.Constant) or _about_sizes(place):
        return
    if type(node.value) in (int, float) and isinstance(around, ast.BinOp):
        yield ast.Constant(node.value + 1 if type(node.value) is int else node.value * 1.5)


def other_clip(place: Place) -> Iterator[ast.expr]:
    """An end of a range is another one."""
    node = place.node
    if called(node) in ("ops.clip", "kf.clamp") and len(node.args) == 3:
        low, high = node.args[1:]
        yield changed(node, args=[node.args[0], low, parsed("(high) - 1", high=high)])
        yield changed(node, args=[node.args[0], parsed("(low) + 1", low=low), high])


def _about_sizes(place: Place) -> bool:
    """Whether the expression counts (sizes, lengths, indices) rather than computes."""
    words = {"shape", "size", "length", "num_heads", "seq_length", "range"}
    inside = any(isinstance(each, (ast.Subscript, ast.Slice)) for each in place.above)
    return inside or bool(words & names_in(place.statement)) or place.constructs


def other_function(place: Place) -> Iterator[ast.expr]:
    """One function in place of another."""
    name = called(place.node)
    if name in FUNCTIONS:
        yield changed(place.node, func=parsed(FUNCTIONS[name]))


def tanh_gelu(place: Place) -> Iterator[ast.expr]:
    """Keras's default gelu, which is the tanh form."""
    if called(place.node) == "kf.gelu":
        yield parsed("ops.gelu(x)", x=place.node.args[0])


def no_cast(place: Place) -> Iterator[ast.expr]:
    """A cast to float32 is left out."""
    if _casts_up(place.node):
        yield place.node.args[0]


def no_cast_back(place: Place) -> Iterator[ast.expr]:
    """The cast from float32 back to the model's dtype is left out."""
    node = place.node
    if called(node) == "ops.cast" and dotted(node.args[1]).endswith("dtype"):
        yield node.args[0]


def _casts_up(node: ast.AST) -> bool:
    return called(node) == "ops.cast" and ast.unparse(node.args[1]) == FLOAT32


def no_float32(place: Place) -> Iterator[ast.expr]:
    """`dtype="float32"` is left out."""
    node = place.node
    if isinstance(node, ast.Call) and not place.constructs:
        kept = [k for k in node.keywords if k.arg != "dtype" or ast.unparse(k.value) != FLOAT32]
        if len(kept) < len(node.keywords):
            yield changed(node, keywords=kept)


def added_cast(place: Place) -> Iterator[ast.expr]:
    """A product, or a layer's output, is cast to float32."""
    node = place.node
    if place.constructs or any(_casts_up(each) for each in place.above[-1:]):
        return
    products = called(node) in ("ops.matmul", "ops.multiply", "ops.softmax")
    makes = called(node).startswith("self.") and called(node).count(".") == 1 and node.args
    if products or (makes and called(node).endswith(("proj", "dense", "norm", "Norm", "wte"))):
        yield parsed("ops.cast(x, 'float32')", x=node)


MUTATORS = (
    Mutator("dropped eps", "no epsilon", no_epsilon),
    Mutator("changed scale", "no scale", no_scale),
    Mutator("changed scale", "unit scale", unit_scale),
    Mutator("dropped bias", "no term", no_term),
    Mutator("dropped bias", "no bias argument", no_bias_argument),
    Mutator("wrong sign", "other sign", other_sign),
    Mutator("wrong sign", "other sum", other_sum),
    Mutator("wrong constant", "other constant", other_constant),
    Mutator("wrong constant", "other clip", other_clip),
    Mutator("wrong activation", "other function", other_function),
    Mutator("tanh for erf", "tanh gelu", tanh_gelu),
    Mutator("cast dropped", "no cast", no_cast),
    Mutator("cast dropped", "no cast back", no_cast_back),
    Mutator("cast dropped", "no float32", no_float32),
    Mutator("cast added", "added cast", added_cast),
)
