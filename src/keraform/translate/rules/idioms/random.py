"""Idioms that draw random numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import libcst as cst

from keraform.translate.kinds import INT, UNKNOWN
from keraform.translate.layout import doc
from keraform.translate.rules.functions import FUNCTIONS as FUNCTION_RULES
from keraform.translate.rules.idioms.form import FunctionIdiom, MethodIdiom, bound_to, emit, like
from keraform.translate.rules.record import Arguments, Code, Refusal

if TYPE_CHECKING:
    from keraform.translate.calls import CallTranslator


def randint(calls: CallTranslator, node: cst.Call) -> Code:
    """`torch.randint(high, size)` starts at 0."""
    arguments = calls.arguments(node)
    keywords = [keyword for keyword, _ in arguments]
    if "low" not in keywords and sum(k in (None, "high", "size") for k in keywords) < 3:
        arguments.insert(0, ("low", Code(("0",), INT)))
    return calls.apply(FUNCTION_RULES["torch.randint"], arguments)


def generator(calls: CallTranslator, _node: cst.Call) -> Code:
    """`torch.Generator()` is a generator of seeds."""
    calls.module.imports.plain("keras")
    return Code(("keras.random.SeedGenerator()",), UNKNOWN)


def manual_seed(_calls: CallTranslator, receiver: Code, arguments: Arguments) -> Code:
    """`torch.Generator().manual_seed(seed)`."""
    made, bracket, _ = receiver.text.rpartition("()")
    if not bracket or not made.endswith("SeedGenerator"):
        raise Refusal("Tensor.manual_seed", "a generator gets a new seed")
    return Code(doc(f"{made}(", arguments[0][1].doc, ")"), UNKNOWN)


def seed(calls: CallTranslator, _node: cst.Call) -> Code:
    """`torch.seed()` is a new seed, of 64 bits."""
    calls.module.imports.plain("random")
    return Code(("random.getrandbits(64)",), INT)


def uniform(calls: CallTranslator, receiver: Code, arguments: Arguments) -> Code:
    """`x.uniform_(low, high)`."""
    bound = bound_to("Tensor.uniform_", "low?, high?, generator!", arguments) | {"self": receiver}
    kind = like(receiver, "float")
    draw = emit(calls, "kf.rand(ops.shape({self}), dtype={self!o}.dtype)", bound, kind)
    if "high" not in bound:
        return draw
    bound["draw"] = draw
    return emit(calls, "{low!o} + ({high!o} - {low!o}) * {draw}", bound, kind, 9)


FUNCTIONS: dict[str, FunctionIdiom] = {
    "torch.randint": randint,
    "torch.Generator": generator,
    "torch.seed": seed,
}
METHODS: dict[str, MethodIdiom] = {"uniform": uniform, "manual_seed": manual_seed}
