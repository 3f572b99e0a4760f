"""Attention functions by name: how queries meet keys, once the heads are split."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import keras
from keras import ops

from keraform.runtime.interface import GeneralInterface
from keraform.runtime.layers import Tensor
from keraform.runtime.masks.functions import to_float


def repeat_kv(hidden_states: Tensor, n_rep: int) -> Tensor:
    """Repeat each key or value head `n_rep` times: [b, g, k, d] to [b, g * n_rep, k, d]."""
    return hidden_states if n_rep == 1 else ops.repeat(hidden_states, n_rep, axis=1)


def sdpa_attention_forward(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    is_causal: bool | None = None,
    position_bias: Tensor | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """softmax(scaling q k' + mask) v, with the numbers of upstream's eager attention.

    Key-value heads are not repeated; the query heads of a group share theirs by broadcasting.
    The softmax runs in float32 or better. A row without any open key is uniform over the keys, as
    in eager attention (torch's own kernel gives zeros there).

    Args:
        module: the attention layer; read are `num_key_value_groups`, `is_causal`, and the seed
            generator of its dropout.
        query: [b, h, q, d].
        key: [b, g, k, d].
        value: [b, g, k, e].
        attention_mask: added to the scores, [b, 1 or h, q, k] (booleans: True is open).
        dropout: the share of attention weights dropped; the caller gives 0 outside training.
        scaling: factor of the scores, 1 / sqrt(d) when None.
        is_causal: with no mask and more than one query, whether later keys are closed.
        position_bias: added to the scores, [1 or b, h, q, k].
        **kwargs: what other implementations read; `softcap` is refused.

    Returns:
        The mixed values, [b, q, h, e], and None in place of attention weights.
    """
    if kwargs.get("softcap") is not None:
        raise ValueError(
            f"Expected no `softcap` with sdpa attention; got softcap={kwargs['softcap']}. "
            f'Load the model with attn_implementation="eager".'
        )
    groups = getattr(module, "num_key_value_groups", None) or 1
    size = query.shape[-1]
    scaling = scaling if scaling is not None else size**-0.5
    q_length, kv_length = ops.shape(query)[2], ops.shape(key)[2]
    heads = query.shape[1]
    bias = _additive(attention_mask, query.dtype)
    if attention_mask is None and _wants_causal(module, is_causal, q_length):
        rows = ops.arange(q_length, dtype="int32")[:, None]
        open_keys = ops.arange(kv_length, dtype="int32")[None, :] <= rows  # True is open
        bias = _additive(open_keys[None, None], query.dtype)
    if position_bias is not None:
        bias = position_bias if bias is None else position_bias + bias
    if groups > 1:
        query = ops.reshape(query, (-1, heads // groups, groups, q_length, size))  # [b, g, r, q, d]
        key, value = ops.expand_dims(key, 2), ops.expand_dims(value, 2)  # [b, g, 1, k, d]
        bias = _grouped(bias, groups)
    scores = ops.matmul(query, ops.swapaxes(key, -1, -2)) * scaling
    if bias is not None:
        scores = scores + bias
    weights = ops.softmax(ops.cast(scores, _softmax_dtype(scores.dtype)), axis=-1)
    weights = ops.cast(weights, scores.dtype)
    weights = _dropout(module, weights, dropout)
    mixed = ops.matmul(weights, value)
    mixed = ops.reshape(mixed, (-1, heads, q_length, value.shape[-1]))  # [b, h, q, e]
    return ops.transpose(mixed, (0, 2, 1, 3)), None  # [b, q, h, e]


def _wants_causal(module: Any, is_causal: bool | None, q_length: Any) -> bool:
    causal = is_causal if is_causal is not None else getattr(module, "is_causal", True)
    return bool(causal) and not (isinstance(q_length, int) and q_length == 1)


def _softmax_dtype(dtype: Any) -> str:
    """float32 for half precision, else the scores' own."""
    name = keras.backend.standardize_dtype(dtype)
    return "float32" if name in ("float16", "bfloat16") else name


def _additive(mask: Tensor | None, dtype: Any) -> Tensor | None:
    if mask is None or keras.backend.standardize_dtype(mask.dtype) != "bool":
        return mask
    return to_float(mask, dtype)


def _grouped(bias: Tensor | None, groups: int) -> Tensor | None:
    """[b, 1, q, k] to [b, 1, 1, q, k], and [b, h, q, k] to [b, g, r, q, k]."""
    if bias is None:
        return None
    if bias.shape[1] == 1:
        return ops.expand_dims(bias, 2)
    batch, heads, q_length, kv_length = ops.shape(bias)
    return ops.reshape(bias, (batch, heads // groups, groups, q_length, kv_length))


def _dropout(module: Any, weights: Tensor, rate: float) -> Tensor:
    if not isinstance(rate, (int, float)) or rate == 0:
        return weights
    seed = getattr(module, "seed_generator", None)
    if seed is None:
        raise ValueError(
            f"Expected a seed generator for attention dropout of {rate}; {type(module).__name__} "
            f"has none. Set `self.seed_generator = keras.random.SeedGenerator()` in its "
            f'constructor, or use attn_implementation="eager".'
        )
    return keras.random.dropout(weights, rate, seed=seed)


class AttentionInterface(GeneralInterface):
    """Attention functions by name; "eager" is the model's own."""

    _global_mapping: ClassVar[dict[str, Callable]] = {"sdpa": sdpa_attention_forward}

    def get_interface(self, attn_implementation: str | None, default: Callable) -> Callable:
        """The function of this name; `default` for "eager" and for None."""
        return self.resolve(attn_implementation, default, "an attention")


ALL_ATTENTION_FUNCTIONS = AttentionInterface()
