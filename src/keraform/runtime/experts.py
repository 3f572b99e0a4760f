"""Mixtures of experts in forms without data-dependent shapes.

Upstream's eager experts loop over those that were chosen. Two other forms give the same sums
sum_k w[t, k] f_{i[t, k]}(x[t]): *gathered*, where each chosen pair gets its expert's weights, for
few tokens; and *dense*, where every expert sees every token and unchosen ones are left out.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, ClassVar

from keras import ops

from keraform.runtime.interface import GeneralInterface
from keraform.runtime.layers import Tensor
from keraform.runtime.observe import unobserved


def _project(
    inputs: Tensor, weight: Tensor, bias: Tensor | None, is_transposed: bool, equation: str
) -> Tensor:
    """Einsum of inputs and weights; `equation` is written for weights [..., out, in]."""
    if is_transposed:  # the weights are [..., in, out]
        left, right = equation.split("->")
        first, second = left.split(",")
        equation = f"{first},{second[:-2]}{second[-1]}{second[-2]}->{right}"
    outputs = ops.einsum(equation, inputs, weight)
    return outputs if bias is None else outputs + bias


def _first_names(self: Any) -> tuple[str, str]:
    name = "gate_up_proj" if self.has_gate else "up_proj"
    return name, f"{name}_bias"


def _activated(self: Any, projected: Tensor) -> Tensor:
    """The gate or activation, on rows [n, i] as the model wrote it.

    Unobserved, as the norm after it: upstream computes the rows of one expert at a time, so these
    are no stages of the model.
    """
    lead, width = ops.shape(projected)[:-1], projected.shape[-1]
    rows = ops.reshape(projected, (-1, width))
    with unobserved():
        rows = self._apply_gate(rows) if self.has_gate else self.act_fn(rows)
    return ops.reshape(rows, (*lead, rows.shape[-1]))


def _normed(self: Any, outputs: Tensor) -> Tensor:
    if not self.has_post_expert_norm:
        return outputs
    with unobserved():
        return self.post_expert_norm(outputs)


def dense_experts_forward(
    self: Any, hidden_states: Tensor, top_k_index: Tensor, top_k_weights: Tensor
) -> Tensor:
    """Every expert on every token: [t, m], [t, k], [t, k] to [t, m]. Costs E / k times the work."""
    first, first_bias = _first_names(self)
    bias = ops.expand_dims(getattr(self, first_bias), 1) if self.has_bias else None  # [E, 1, i]
    hidden = _project(hidden_states, getattr(self, first), bias, self.is_transposed, "tm,eim->eti")
    hidden = _activated(self, hidden)
    bias = ops.expand_dims(self.down_proj_bias, 1) if self.has_bias else None  # [E, 1, m]
    outputs = _project(hidden, self.down_proj, bias, self.is_transposed, "eti,emi->etm")
    outputs = _normed(self, outputs)
    # an index past the last expert (masked tokens) has no one in its row
    chosen = ops.one_hot(top_k_index, self.num_experts, dtype=top_k_weights.dtype)  # [t, k, E]
    weights = ops.sum(chosen * ops.expand_dims(top_k_weights, -1), axis=1)  # [t, E]
    is_chosen = ops.any(chosen > 0, axis=1)  # [t, E], True where the expert takes part
    weights = ops.expand_dims(ops.transpose(weights), -1)  # [E, t, 1]
    is_chosen = ops.expand_dims(ops.transpose(is_chosen), -1)  # [E, t, 1]
    weighted = ops.multiply(outputs, weights)  # [E, t, m]
    weighted = ops.where(is_chosen, weighted, ops.zeros_like(weighted))
    return ops.cast(ops.sum(weighted, axis=0), hidden_states.dtype)


def batched_mm_experts_forward(
    self: Any, hidden_states: Tensor, top_k_index: Tensor, top_k_weights: Tensor
) -> Tensor:
    """Each chosen expert on its token: [t, m], [t, k], [t, k] to [t, m]. Copies t k weights."""
    index = ops.cast(top_k_index, "int32")
    is_expert = index < self.num_experts  # [t, k], False for masked tokens
    index = ops.clip(index, 0, self.num_experts - 1)

    def chosen(name: str) -> Tensor:
        return ops.take(ops.convert_to_tensor(getattr(self, name)), index, axis=0)

    first, first_bias = _first_names(self)
    bias = chosen(first_bias) if self.has_bias else None  # [t, k, i]
    hidden = _project(hidden_states, chosen(first), bias, self.is_transposed, "tm,tkim->tki")
    hidden = _activated(self, hidden)
    bias = chosen("down_proj_bias") if self.has_bias else None  # [t, k, m]
    outputs = _project(hidden, chosen("down_proj"), bias, self.is_transposed, "tki,tkmi->tkm")
    outputs = _normed(self, outputs)
    weights = ops.where(is_expert, top_k_weights, ops.zeros_like(top_k_weights))
    weighted = ops.multiply(outputs, ops.expand_dims(weights, -1))  # [t, k, m]
    return ops.cast(ops.sum(weighted, axis=1), hidden_states.dtype)


def experts_forward(
    self: Any, hidden_states: Tensor, top_k_index: Tensor, top_k_weights: Tensor
) -> Tensor:
    """The cheaper of the two forms: gathered for a known few tokens (decoding), else dense."""
    tokens, choices = top_k_index.shape[0], top_k_index.shape[-1]
    few = isinstance(tokens, int) and tokens * choices <= self.num_experts
    form = batched_mm_experts_forward if few else dense_experts_forward
    return form(self, hidden_states, top_k_index, top_k_weights)


class ExpertsInterface(GeneralInterface):
    """Forms of the experts' call by name."""

    _global_mapping: ClassVar[dict[str, Callable]] = {
        "eager": experts_forward,
        "grouped_mm": experts_forward,
        "batched_mm": batched_mm_experts_forward,
        "dense": dense_experts_forward,
    }

    def get_interface(self, experts_implementation: str | None, default: Callable) -> Callable:
        """The form of this name; the one that fits the sizes for "eager" and for None."""
        return self.resolve(experts_implementation, default, "an experts")


ALL_EXPERTS_FUNCTIONS = ExpertsInterface()


def _default_apply_gate(self: Any, gate_up_out: Tensor) -> Tensor:
    """act(gate) * up, of the two halves of [n, 2 i]."""
    gate, up = ops.split(gate_up_out, 2, axis=-1)
    return self.act_fn(gate) * up


def use_experts_implementation(
    experts_class: type | None = None,
    *,
    experts_interface: ExpertsInterface = ALL_EXPERTS_FUNCTIONS,
    is_concatenated: bool = True,
    is_transposed: bool = False,
    has_bias: bool = False,
    has_gate: bool = True,
    has_post_expert_norm: bool = False,
) -> Any:
    """Class decorator: the experts' call goes through `experts_interface`.

    The class has `num_experts`, weights `gate_up_proj` (or `up_proj`) [E, 2 i, m] and `down_proj`
    [E, m, i], with `_bias` [E, ...] where `has_bias`, and `act_fn` or `_apply_gate`.

    Args:
        experts_class: the class, when the decorator is used without arguments.
        experts_interface: the table of forms.
        is_concatenated: whether gate and up are two halves, or alternate; `_apply_gate` knows.
        is_transposed: whether weights are [E, in, out].
        has_bias: whether there are biases.
        has_gate: whether there is a gate, or one projection and an activation.
        has_post_expert_norm: whether `post_expert_norm` follows each expert.
    """

    def decorate(cls: type) -> type:
        written = cls.call
        signature = inspect.signature(written)

        def call(self: Any, *args: Any, **kwargs: Any) -> Tensor:
            bound = list(signature.bind(self, *args, **kwargs).arguments.values())
            hidden_states, top_k_index, top_k_weights = bound[1:]
            name = getattr(getattr(self, "config", None), "_experts_implementation", None)
            form = experts_interface.get_interface(name, experts_forward)
            lead, width = ops.shape(hidden_states)[:-1], hidden_states.shape[-1]
            if len(lead) == 1:
                return form(self, hidden_states, top_k_index, top_k_weights)
            choices = top_k_index.shape[-1]
            outputs = form(
                self,
                ops.reshape(hidden_states, (-1, width)),
                ops.reshape(top_k_index, (-1, choices)),
                ops.reshape(top_k_weights, (-1, choices)),
            )
            return ops.reshape(outputs, (*lead, width))

        call.__doc__, call.__signature__, call.__wrapped__ = written.__doc__, signature, written
        cls.call = call
        cls.has_gate, cls.has_bias = has_gate, has_bias
        cls.is_transposed, cls.is_concatenated = is_transposed, is_concatenated
        cls.has_post_expert_norm = has_post_expert_norm
        cls._is_expert_parallel = False
        if not hasattr(cls, "_apply_gate"):
            cls._apply_gate = _default_apply_gate
        return cls

    return decorate if experts_class is None else decorate(experts_class)
