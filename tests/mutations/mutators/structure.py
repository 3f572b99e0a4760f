"""Faults of structure: gates, order, axes, residuals, layers and variables mistaken for others."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.mutations.mutators.mutator import Mutator
from tests.mutations.source import Place, called, changed, dotted, parsed, same

SPLITS = ("ops.split", "kf.split", "kf.chunk", "kf.unbind", "ops.unstack")
JOINS = ("ops.concatenate", "ops.stack", "kf.cat")
REDUCTIONS = (
    "ops.softmax", "ops.mean", "ops.sum", "kf.sum", "ops.max", "ops.argmax", "kf.argmax",
    "ops.cumsum", "kf.cumsum", "ops.log_softmax", "kf.mean", "kf.std", "kf.var",
)  # fmt: skip
TURNS = ("ops.swapaxes", "ops.transpose", "ops.moveaxis")
RESIDUALS = (
    "residual", "shortcut", "input_tensor", "hidden_states", "residual_states", "attention_output",
    "inputs_embeds",
)  # fmt: skip


def swapped_parts(place: Place) -> Iterator[ast.expr]:
    """`gate, up = split(...)` becomes `up, gate = ...`; of more parts two neighbours swap."""
    node, statement = place.node, place.statement
    if not isinstance(node, ast.Tuple) or not isinstance(node.ctx, ast.Store):
        return
    if not isinstance(statement, ast.Assign) or called(statement.value) not in SPLITS:
        return
    for index in range(len(node.elts) - 1):
        if all(dotted(each) not in ("", "_") for each in node.elts[index : index + 2]):
            yield changed(node, elts=_swapped(node.elts, index))


def swapped_gate(place: Place) -> Iterator[ast.expr]:
    """`act(gate(x)) * up(x)` becomes `act(up(x)) * gate(x)`."""
    node = place.node
    if not isinstance(node, ast.BinOp) or not isinstance(node.op, ast.Mult):
        return
    inner = node.left.args[0] if isinstance(node.left, ast.Call) and node.left.args else None
    if isinstance(inner, ast.Call) and isinstance(node.right, ast.Call):
        if dotted(inner.func).startswith("self.") and dotted(node.right.func).startswith("self."):
            yield changed(node, left=changed(node.left, args=[node.right]), right=inner)


def reordered(place: Place) -> Iterator[ast.expr]:
    """Parts that are joined come in another order; equal parts are no fault."""
    node = place.node
    if called(node) not in JOINS or not isinstance(node.args[0], (ast.Tuple, ast.List)):
        return
    parts = node.args[0].elts
    if len(parts) > 1 and not all(same(parts[0], part) for part in parts[1:]):
        yield changed(node, args=[changed(node.args[0], elts=parts[::-1]), *node.args[1:]])


def other_axis(place: Place) -> Iterator[ast.expr]:
    """A reduction runs over the axis beside its own."""
    node = place.node
    if called(node) not in REDUCTIONS:
        return
    for index, keyword in enumerate(node.keywords):
        axis = _integer(keyword.value) if keyword.arg in ("axis", "dim") else None
        if axis is not None:
            keywords = [*node.keywords]
            other = ast.Constant(-2 if axis == -1 else axis - 1)
            keywords[index] = ast.keyword(keyword.arg, other)
            yield changed(node, keywords=keywords)


def _integer(node: ast.expr) -> int | None:
    try:
        value = ast.literal_eval(node)
    except ValueError:
        return None
    return value if isinstance(value, int) else None


def no_turn(place: Place) -> Iterator[ast.expr]:
    """A transposition is left out."""
    if called(place.node) in TURNS:
        yield place.node.args[0]


def no_residual(place: Place) -> Iterator[ast.expr]:
    """`x + residual` becomes `x`."""
    node = place.node
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        pair = [node.left, node.right]
    elif called(node) == "ops.add":
        pair = node.args[:2]
    else:
        return
    for index, each in enumerate(pair):
        if dotted(each) in RESIDUALS:
            yield pair[1 - index]


def no_norm(place: Place) -> Iterator[ast.expr]:
    """A norm is left out."""
    node = place.node
    name = called(node)
    if name.startswith("self.") and ("norm" in name.lower() or name.endswith(("ln_1", "ln_2"))):
        if len(node.args) == 1 and not node.keywords:
            yield node.args[0]


def sibling(place: Place) -> Iterator[ast.expr]:
    """Another layer of the same class, built with the same arguments, does this one's work."""
    node = place.node
    name = called(node)
    if not name.startswith("self.") or name.count(".") != 1 or place.constructs:
        return
    makes = _makes(place)
    own = makes.get(node.func.attr)
    for other, make in makes.items():
        if own is not None and other != node.func.attr and make == own:
            yield changed(node, func=changed(node.func, attr=other))


def _makes(place: Place) -> dict[str, str]:
    """How the class constructs its layers, by attribute; their names do not count."""
    found: dict[str, str] = {}
    definition = place.source.classes.get(place.class_name)
    for statement in ast.walk(definition) if definition is not None else ():
        if not isinstance(statement, ast.Assign) or not isinstance(statement.value, ast.Call):
            continue
        target, call = dotted(statement.targets[0]), statement.value
        if target.startswith("self.") and "." in called(call):
            kept = [each for each in call.keywords if each.arg != "name"]
            found[target[5:]] = ast.unparse(changed(call, keywords=kept))
    return found


def swapped_arguments(place: Place) -> Iterator[ast.expr]:
    """Two neighbouring variables change places in a call of a layer or a function of the port."""
    node = place.node
    name = called(node)
    if not isinstance(node, ast.Call) or place.constructs or name.startswith(("ops.", "kf.")):
        return
    for index, (first, second) in enumerate(zip(node.args, node.args[1:], strict=False)):
        if isinstance(first, ast.Name) and isinstance(second, ast.Name) and first.id != second.id:
            yield changed(node, args=_swapped(node.args, index))


def stale(place: Place) -> Iterator[ast.expr]:
    """A variable is read as it was before its last assignment."""
    node = place.node
    if not isinstance(node, ast.Name) or not isinstance(node.ctx, ast.Load) or place.constructs:
        return
    for statement in reversed(place.before):
        if not isinstance(statement, ast.Assign) or dotted(statement.targets[0]) != node.id:
            continue
        call = statement.value
        if isinstance(call, ast.Call) and call.args and isinstance(call.args[0], ast.Name):
            if call.args[0].id != node.id:
                yield call.args[0]
        return


def skipped(place: Place) -> Iterator[ast.expr]:
    """`x = f(x)` becomes `x = x`: a step is left out. Dropout does nothing in these runs."""
    node, statement = place.node, place.statement
    if not isinstance(statement, ast.Assign) or statement.value is not node:
        return
    if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Name):
        if node.args[0].id == dotted(statement.targets[0]) and "drop" not in called(node):
            yield parsed("value", value=node.args[0])


def _swapped(nodes: list[ast.expr], index: int) -> list[ast.expr]:
    found = [*nodes]
    found[index], found[index + 1] = found[index + 1], found[index]
    return found


MUTATORS = (
    Mutator("swapped gates", "swapped parts", swapped_parts),
    Mutator("swapped gates", "swapped gate", swapped_gate),
    Mutator("reordered concat", "reordered", reordered),
    Mutator("wrong axis", "other axis", other_axis),
    Mutator("missing transpose", "no turn", no_turn),
    Mutator("missing residual", "no residual", no_residual),
    Mutator("missing step", "no norm", no_norm),
    Mutator("missing step", "skipped", skipped),
    Mutator("wrong layer", "sibling", sibling),
    Mutator("swapped arguments", "swapped arguments", swapped_arguments),
    Mutator("stale variable", "stale", stale),
)
