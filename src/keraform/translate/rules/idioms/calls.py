"""Idioms that call what they are given."""

from __future__ import annotations

from typing import TYPE_CHECKING

import libcst as cst

from keraform.translate.kinds import CONTEXT
from keraform.translate.rules.idioms.form import FunctionIdiom
from keraform.translate.rules.record import Code, Refusal

if TYPE_CHECKING:
    from keraform.translate.calls import CallTranslator

# Options of checkpointing itself.
CHECKPOINTING = frozenset(
    {"use_reentrant", "preserve_rng_state", "context_fn", "determinism_check", "debug"}
)


def checkpoint(calls: CallTranslator, node: cst.Call) -> Code:
    """`torch.utils.checkpoint.checkpoint(f, x)` is `f(x)`: what is kept for the gradients is
    Keras's matter.
    """
    function, *rest = node.args
    kept = [arg for arg in rest if arg.keyword is None or arg.keyword.value not in CHECKPOINTING]
    return calls.call(cst.Call(func=function.value, args=kept))


def no_grad(calls: CallTranslator, _node: cst.Call) -> Code:
    """`torch.no_grad()` that is perhaps entered: what its block gives is detached afterwards."""
    calls.module.imports.need("keraform.runtime", "gradients")
    return Code(("gradients.no_grad()",), CONTEXT)


def conv_forward(calls: CallTranslator, node: cst.Call) -> Code:
    """`self._conv_forward(x, self.weight, self.bias)` is what the convolution itself does."""
    inputs, *weights = [calls.module.text(arg.value) for arg in node.args]
    own = [f"{calls.module.scope.self_name}.{name}" for name in ("weight", "bias")]
    if weights != own:
        raise Refusal("Module._conv_forward", f"expects {inputs} and the layer's own weights")
    return calls.construction.super_call("forward", node.with_changes(args=node.args[:1]))


SELF_METHODS: dict[str, FunctionIdiom] = {"_conv_forward": conv_forward}
FUNCTIONS: dict[str, FunctionIdiom] = {
    "torch.no_grad": no_grad,
    "torch.utils.checkpoint.checkpoint": checkpoint,
}
