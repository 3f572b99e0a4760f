"""Faults in constructors: epsilon, biases, activations, scales and ties."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.mutations.mutators.mutator import Mutator
from tests.mutations.source import Place, called, changed, dotted, parsed

EPSILON = ("epsilon", "eps")
NORMS = ("layers.LayerNormalization", "kl.LayerNormalization", "layers.GroupNormalization")
WITH_BIAS = ("Dense", "Conv1D", "Conv2D")

# Keras's own default, which a port that forgets the argument gets.
KERAS_EPSILON = 1e-3
OTHER_GELU = "{'gelu': 'gelu_new', 'gelu_new': 'gelu'}.get({key}, 'gelu')"


def keras_epsilon(place: Place) -> Iterator[ast.expr]:
    """`epsilon=config.layer_norm_eps` becomes Keras's default."""
    node = place.node
    if isinstance(node, ast.Call):
        for keyword in node.keywords:
            if keyword.arg in EPSILON:
                yield _with_keyword(node, keyword.arg, ast.Constant(KERAS_EPSILON))


def dropped_epsilon(place: Place) -> Iterator[ast.expr]:
    """`epsilon=` is left out, so that torch's default holds."""
    node = place.node
    if isinstance(node, ast.Call) and any(each.arg in EPSILON for each in node.keywords):
        yield changed(node, keywords=[each for each in node.keywords if each.arg not in EPSILON])


def foreign_epsilon(place: Place) -> Iterator[ast.expr]:
    """A norm that has torch's default gets Keras's."""
    node = place.node
    if called(node) in NORMS and not any(each.arg in EPSILON for each in node.keywords):
        yield _with_keyword(node, "epsilon", ast.Constant(KERAS_EPSILON))


def no_bias(place: Place) -> Iterator[ast.expr]:
    """A layer is built without its bias."""
    node = place.node
    if place.constructs and called(node).rpartition(".")[2] in WITH_BIAS:
        yield _with_keyword(node, "use_bias", ast.Constant(False))


def other_gelu(place: Place) -> Iterator[ast.expr]:
    """The tanh gelu in place of the exact one and the reverse; gelu in place of the others."""
    yield from (parsed(f"{head}{OTHER_GELU.replace('{key}', key)}{tail}")
                for head, key, tail in _activation(place))  # fmt: skip


def relu(place: Place) -> Iterator[ast.expr]:
    """Relu in place of whatever the config asks for."""
    yield from (parsed(f"{head}'relu'{tail}") for head, _, tail in _activation(place))


def _activation(place: Place) -> Iterator[tuple[str, str, str]]:
    """How an activation by its name is written: before, the name's expression, after."""
    node = place.node
    if not place.constructs:
        return
    if isinstance(node, ast.Subscript) and dotted(node.value) == "ACT2FN":
        yield "ACT2FN[", ast.unparse(node.slice), "]"
    elif called(node) == "get_activation":
        yield "get_activation(", ast.unparse(node.args[0]), ")"


def other_power(place: Place) -> Iterator[ast.expr]:
    """`head_dim**-0.5` becomes `head_dim**-1.0`."""
    node = place.node
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
        if ast.unparse(node.right) == "-0.5":
            yield changed(node, right=ast.parse("-1.0", mode="eval").body)


def other_scale(place: Place) -> Iterator[ast.expr]:
    """An attribute called a scale is half of what it was."""
    statement, node = place.statement, place.node
    if not (place.constructs and isinstance(statement, ast.Assign) and statement.value is node):
        return
    target = dotted(statement.targets[0])
    if target.startswith("self.") and "scal" in target and "weight" not in target:
        if not called(node).startswith(("layers.", "self.add_")):
            yield parsed("(value) * 0.5", value=node)


def no_ties(place: Place) -> Iterator[ast.expr]:
    """The class ties nothing."""
    if _is_tie(place) and isinstance(place.node, ast.Dict):
        yield ast.Dict([], [])


def one_tie_less(place: Place) -> Iterator[ast.expr]:
    """The class ties all but one of its weights."""
    node = place.node
    if _is_tie(place) and isinstance(node, ast.Dict) and len(node.keys) > 1:
        for index in range(len(node.keys)):
            keys, values = [*node.keys], [*node.values]
            del keys[index], values[index]
            yield ast.Dict(keys, values)


def _is_tie(place: Place) -> bool:
    statement = place.statement
    return (
        isinstance(statement, ast.Assign)
        and dotted(statement.targets[0]) == "_tied_weights_keys"
        and statement.value is place.node
    )


def _with_keyword(call: ast.Call, name: str, value: ast.expr) -> ast.expr:
    kept = [each for each in call.keywords if each.arg != name]
    return changed(call, keywords=[*kept, ast.keyword(name, value)])


MUTATORS = (
    Mutator("dropped eps", "keras epsilon", keras_epsilon),
    Mutator("dropped eps", "dropped epsilon", dropped_epsilon),
    Mutator("dropped eps", "foreign epsilon", foreign_epsilon),
    Mutator("dropped bias", "no bias", no_bias),
    Mutator("tanh for erf", "other gelu", other_gelu),
    Mutator("wrong activation", "relu", relu),
    Mutator("changed scale", "other power", other_power),
    Mutator("changed scale", "other scale", other_scale),
    Mutator("untied head", "no ties", no_ties),
    Mutator("untied head", "one tie less", one_tie_less),
)
