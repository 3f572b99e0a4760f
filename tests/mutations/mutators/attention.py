"""Faults of attention: queries and keys, masks, positions."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.mutations.mutators.mutator import Mutator
from tests.mutations.source import Place, called, changed, dotted, names_in, parsed

# A query's projection and the key's beside it, as the ports name them.
PROJECTIONS = {
    "query": "key", "q_proj": "k_proj", "q_lin": "k_lin", "q": "k", "query_proj": "key_proj",
}  # fmt: skip
MASKS = {"create_causal_mask": "create_bidirectional_mask"}


def key_projection(place: Place) -> Iterator[ast.expr]:
    """The query is made by the key's projection, or the key by the query's."""
    node = place.node
    if isinstance(node, ast.Call) and dotted(node.func).startswith("self."):
        other = {**PROJECTIONS, **{key: query for query, key in PROJECTIONS.items()}}
        if node.func.attr in other:
            yield changed(node, func=changed(node.func, attr=other[node.func.attr]))


def swapped_product(place: Place) -> Iterator[ast.expr]:
    """`query @ key'` becomes `key @ query'`."""
    node = place.node
    if called(node) != "ops.matmul":
        return
    query, key = node.args[0], node.args[1]
    turned = key.args[0] if called(key) == "ops.swapaxes" else None
    if isinstance(query, ast.Name) and isinstance(turned, ast.Name) and query.id.startswith("q"):
        yield changed(node, args=[turned, changed(key, args=[query, *key.args[1:]])])


def swapped_states(place: Place) -> Iterator[ast.expr]:
    """A call gets the key states where it wants the query states, and the reverse."""
    node = place.node
    if not isinstance(node, ast.Call) or called(node) == "apply_rotary_pos_emb":
        return
    for index, (first, second) in enumerate(zip(node.args, node.args[1:], strict=False)):
        if dotted(first).startswith(("quer", "q_")) and dotted(second).startswith(("key", "k_")):
            args = [*node.args]
            args[index], args[index + 1] = second, first
            yield changed(node, args=args)


def rolled_mask(place: Place) -> Iterator[ast.expr]:
    """A mask is handed on one position late."""
    if _is_mask(place):
        yield parsed("None if mask is None else ops.roll(mask, 1, axis=-1)", mask=place.node)


def no_mask(place: Place) -> Iterator[ast.expr]:
    """A mask is not handed on."""
    if _is_mask(place) and not _is_added(place):
        yield ast.Constant(None)


def _is_mask(place: Place) -> bool:
    node = place.node
    if not isinstance(node, ast.Name) or not node.id.endswith("mask"):
        return False
    around = place.above[-1]
    if isinstance(around, ast.keyword):
        return "mask" in (around.arg or "")
    inside_call = isinstance(around, ast.Call) and node in around.args
    return (inside_call and not called(around).startswith(("ops.", "kf."))) or _is_added(place)


def _is_added(place: Place) -> bool:
    around = place.above[-1]
    added = isinstance(around, ast.BinOp) and isinstance(around.op, ast.Add)
    return added and around.right is place.node


def other_mask(place: Place) -> Iterator[ast.expr]:
    """A mask that closes nothing ahead."""
    name = called(place.node)
    if name in MASKS and MASKS[name] in place.source.names:
        yield changed(place.node, func=ast.Name(MASKS[name]))


def shifted_range(place: Place) -> Iterator[ast.expr]:
    """Positions count from 1."""
    node = place.node
    if called(node) == "ops.arange" and len(node.args) == 1:
        yield changed(node, args=list(parsed("f(1, (n) + 1)", n=node.args[0]).args))


def shifted_slice(place: Place) -> Iterator[ast.expr]:
    """A slice that starts, or ends, one too late or too early, of the same length."""
    node = place.node
    if not isinstance(node, ast.Subscript) or not isinstance(node.ctx, ast.Load):
        return
    parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    for index, part in enumerate(parts):
        if not isinstance(part, ast.Slice) or part.step is not None or _about_shapes(node):
            continue
        for moved in _moved(part):
            new = [*parts[:index], moved, *parts[index + 1 :]]
            yield changed(node, slice=ast.Tuple(new) if len(parts) > 1 else moved)


def _about_shapes(node: ast.Subscript) -> bool:
    return bool(names_in(node.value) & {"shape", "layers", "size"})


def _moved(part: ast.Slice) -> Iterator[ast.Slice]:
    if part.lower is None and part.upper is not None and not _negative(part.upper):
        yield ast.Slice(ast.Constant(1), parsed("(n) + 1", n=part.upper))
    elif part.lower is not None and part.upper is None and not _negative(part.lower):
        yield ast.Slice(parsed("(n) - 1", n=part.lower), ast.Constant(-1))


def _negative(node: ast.expr) -> bool:
    return isinstance(node, ast.UnaryOp)


def next_index(place: Place) -> Iterator[ast.expr]:
    """The second entry of an axis in place of the first (a pooler's token)."""
    node = place.node
    if not isinstance(node, ast.Subscript) or not isinstance(node.slice, ast.Tuple):
        return
    for index, part in enumerate(node.slice.elts):
        if isinstance(part, ast.Constant) and part.value == 0:
            parts = [*node.slice.elts]
            parts[index] = ast.Constant(1)
            yield changed(node, slice=ast.Tuple(parts))


STRICT = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt}


def other_bound(place: Place) -> Iterator[ast.expr]:
    """`<` becomes `<=` and the like."""
    node = place.node
    if isinstance(node, ast.Compare) and type(node.ops[0]) in STRICT:
        yield changed(node, ops=[STRICT[type(node.ops[0])]()])


MUTATORS = (
    Mutator("swapped query and key", "key projection", key_projection),
    Mutator("swapped query and key", "swapped product", swapped_product),
    Mutator("swapped query and key", "swapped states", swapped_states),
    Mutator("mask off by one", "rolled mask", rolled_mask),
    Mutator("mask off by one", "other bound", other_bound),
    Mutator("wrong mask", "no mask", no_mask),
    Mutator("wrong mask", "other mask", other_mask),
    Mutator("position off by one", "shifted range", shifted_range),
    Mutator("position off by one", "shifted slice", shifted_slice),
    Mutator("position off by one", "next index", next_index),
)
