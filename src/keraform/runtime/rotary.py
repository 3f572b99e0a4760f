"""Rotary tables: inverse frequencies from a config, by rope type, and their choice at call time.

The angle of pair i at position p is p * inv_freq[i], with inv_freq[i] = theta ** (-2 i / d) before
scaling. Every function gives `(inv_freq [d / 2], attention_factor)`. Tables are computed in
float32 as upstream does (float64 while casts are lifted), in NumPy, so all backends agree.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from keras import ops

from keraform.runtime import precision
from keraform.runtime.layers import Tensor
from keraform.runtime.tracing import compiles_for_cpu

RopeTable = tuple[Tensor, float]


def _float() -> str:
    return precision.resolve("float32")


def _parameters(config: Any, layer_type: str | None) -> tuple[Any, dict[str, Any]]:
    """The config of this layer type and its rope parameters, under their current names."""
    if layer_type is not None:
        try:
            config = config.per_layer_config[layer_type]
        except ValueError:  # only some configs have settings by layer type
            pass
    config.standardize_rope_params()
    parameters = config.rope_parameters
    return config, parameters if layer_type is None else parameters[layer_type]


def _head_dim(config: Any, key: str = "head_dim") -> int:
    return getattr(config, key, None) or config.hidden_size // config.num_attention_heads


def _rotated_dim(config: Any, parameters: dict[str, Any]) -> int:
    return int(_head_dim(config) * parameters.get("partial_rotary_factor", 1.0))


def _steps(dim: int, stop: int | None = None) -> np.ndarray:
    """0, 2 / dim, 4 / dim, ... for as many pairs as `stop` (by default `dim`) has."""
    return np.arange(0, dim if stop is None else stop, 2, dtype="int64").astype(_float()) / dim


def _table(inv_freq: np.ndarray, attention_factor: float = 1.0) -> RopeTable:
    return ops.convert_to_tensor(np.asarray(inv_freq, _float()), dtype=_float()), attention_factor


def _compute_linear_scaling_rope_parameters(
    config: Any, device: Any = None, seq_len: Any = None, layer_type: str | None = None
) -> RopeTable:
    """All frequencies divided by `factor`."""
    config, parameters = _parameters(config, layer_type)
    dim = _rotated_dim(config, parameters)
    inv_freq = 1.0 / (parameters["rope_theta"] ** _steps(dim))
    return _table(inv_freq / parameters["factor"])


def _compute_proportional_rope_parameters(
    config: Any,
    device: Any = None,
    seq_len: Any = None,
    layer_type: str | None = None,
    head_dim_key: str = "head_dim",
) -> RopeTable:
    """Frequencies for a part of the head, and 0 for the rest, so that all of it has an entry."""
    config, parameters = _parameters(config, layer_type)
    dim = _head_dim(config, head_dim_key)
    angles = int(parameters.get("partial_rotary_factor", 1.0) * dim // 2)
    rotated = 1.0 / (parameters["rope_theta"] ** _steps(dim, 2 * angles))
    still = np.zeros(max(dim // 2 - angles, 0), _float())
    return _table(np.concatenate([rotated, still]) / parameters.get("factor", 1.0))


def _compute_dynamic_ntk_parameters(
    config: Any, device: Any = None, seq_len: Any = None, layer_type: str | None = None
) -> RopeTable:
    """Theta grown with the sequence: theta (f n / N - (f - 1)) ** (d / (d - 2)).

    `seq_len` n may be a scalar tensor; below `max_position_embeddings` N it counts as N.
    """
    config, parameters = _parameters(config, layer_type)
    dim, factor = _rotated_dim(config, parameters), parameters["factor"]
    longest = config.max_position_embeddings
    steps = _steps(dim)
    if seq_len is not None and not isinstance(seq_len, int):
        length = ops.cast(ops.maximum(ops.cast(seq_len, "int32"), longest), "float32")
        growth = (factor * length / longest) - (factor - 1)
        base = parameters["rope_theta"] * ops.power(growth, dim / (dim - 2))
        return 1.0 / ops.power(base, ops.convert_to_tensor(steps, dtype=_float())), 1.0
    length = longest if seq_len is None else max(seq_len, longest)
    growth = (factor * length / longest) - (factor - 1)
    base = parameters["rope_theta"] * growth ** (dim / (dim - 2))
    return _table(1.0 / (base**steps))


def _yarn_attention_factor(parameters: dict[str, Any], factor: float) -> float:
    """0.1 mscale log(factor) + 1, or the quotient of two of these."""
    given = parameters.get("attention_factor")
    if given is not None:
        return given
    mscale, all_dim = parameters.get("mscale"), parameters.get("mscale_all_dim")

    def scaled(by: float) -> float:
        return 1.0 if factor <= 1 else 0.1 * by * math.log(factor) + 1.0

    return float(scaled(mscale) / scaled(all_dim)) if mscale and all_dim else scaled(1)


def _compute_yarn_parameters(
    config: Any, device: Any = None, seq_len: Any = None, layer_type: str | None = None
) -> RopeTable:
    """YaRN (arXiv:2309.00071): high frequencies kept, low ones divided, a ramp between them."""
    config, parameters = _parameters(config, layer_type)
    base, original = parameters["rope_theta"], parameters["original_max_position_embeddings"]
    dim = _rotated_dim(config, parameters)
    factor = parameters["factor"]
    if factor is None:
        factor = config.max_position_embeddings / original

    def dim_of(rotations: float) -> float:
        return (dim * math.log(original / (rotations * 2 * math.pi))) / (2 * math.log(base))

    low = dim_of(parameters.get("beta_fast") or 32)
    high = dim_of(parameters.get("beta_slow") or 1)
    if config.rope_parameters.get("truncate", True):
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, dim - 1)
    if low == high:
        high += 0.001  # a ramp of no width divides by 0
    ramp = (np.arange(dim // 2, dtype=_float()) - low) / (high - low)
    kept = 1 - np.clip(ramp, 0, 1)
    powers = base ** _steps(dim)
    inv_freq = 1.0 / (factor * powers) * (1 - kept) + 1.0 / powers * kept
    return _table(inv_freq, _yarn_attention_factor(parameters, factor))


def _compute_longrope_parameters(
    config: Any, device: Any = None, seq_len: int | None = None, layer_type: str | None = None
) -> RopeTable:
    """LongRoPE: one learnt factor a frequency, one list for short and one for long sequences."""
    config, parameters = _parameters(config, layer_type)
    dim = _rotated_dim(config, parameters)
    original = parameters["original_max_position_embeddings"]
    factor = parameters.get("factor")
    if factor is None:
        factor = config.max_position_embeddings / original
    attention_factor = parameters.get("attention_factor")
    if attention_factor is None:
        growth = 1 + math.log(factor) / math.log(original) if factor > 1.0 else 1.0
        attention_factor = math.sqrt(growth)
    is_long = bool(seq_len and seq_len > original)
    factors = np.asarray(parameters["long_factor" if is_long else "short_factor"], _float())
    return _table(1.0 / (factors * parameters["rope_theta"] ** _steps(dim)), attention_factor)


def _compute_llama3_parameters(
    config: Any, device: Any = None, seq_len: Any = None, layer_type: str | None = None
) -> RopeTable:
    """Llama 3.1: low frequencies divided by `factor`, high ones kept, the middle blended."""
    config, parameters = _parameters(config, layer_type)
    factor = parameters["factor"]
    low, high = parameters["low_freq_factor"], parameters["high_freq_factor"]
    original = parameters["original_max_position_embeddings"]
    inv_freq = 1.0 / (parameters["rope_theta"] ** _steps(_rotated_dim(config, parameters)))
    wavelength = 2 * math.pi / inv_freq
    scaled = np.where(wavelength > original / low, inv_freq / factor, inv_freq)
    smooth = (original / wavelength - low) / (high - low)
    blended = (1 - smooth) * scaled / factor + smooth * scaled
    is_middle = ~(wavelength < original / high) & ~(wavelength > original / low)
    return _table(np.where(is_middle, blended, scaled))


ROPE_INIT_FUNCTIONS: dict[str, Callable[..., RopeTable]] = {
    "linear": _compute_linear_scaling_rope_parameters,
    "dynamic": _compute_dynamic_ntk_parameters,
    "yarn": _compute_yarn_parameters,
    "longrope": _compute_longrope_parameters,
    "llama3": _compute_llama3_parameters,
    "proportional": _compute_proportional_rope_parameters,
}


def _dynamic_table(self: Any, seq_len: Tensor, layer_type: str | None, prefix: str) -> Tensor:
    rope_type = self.rope_type if layer_type is None else self.rope_type[layer_type]
    original = getattr(self, f"{prefix}original_inv_freq")
    grown, _ = ROPE_INIT_FUNCTIONS[rope_type](self.config, seq_len=seq_len, layer_type=layer_type)
    return ops.where(seq_len > self.original_max_seq_len, ops.cast(grown, original.dtype), original)


def _longrope_table(self: Any, seq_len: Tensor, layer_type: str | None, prefix: str) -> Tensor:
    parameters = self.config.rope_parameters
    parameters = parameters if layer_type is None else parameters[layer_type]
    limit = parameters["original_max_position_embeddings"]
    long, _ = ROPE_INIT_FUNCTIONS["longrope"](self.config, seq_len=limit + 1, layer_type=layer_type)
    original = getattr(self, f"{prefix}original_inv_freq")
    return ops.where(seq_len > limit, ops.cast(long, original.dtype), original)


def dynamic_rope_update(rope_forward: Callable[..., Any]) -> Callable[..., Any]:
    """Give the decorated call the table that fits the longest position of this call.

    Upstream keeps a grown table between calls; here each call computes its own from
    `original_inv_freq`, so that the result does not depend on what was called before, and the
    choice is one expression that a graph can hold. `inv_freq` is the layer's own again afterwards.
    """

    @functools.wraps(rope_forward)
    def wrapper(self: Any, x: Tensor, position_ids: Tensor, layer_type: str | None = None) -> Any:
        kwargs = {} if layer_type is None else {"layer_type": layer_type}
        rope_type = self.rope_type if layer_type is None else self.rope_type[layer_type]
        if "dynamic" in rope_type:
            choose = _dynamic_table
        elif rope_type == "longrope":
            choose = _longrope_table
        else:
            return _kept(rope_forward(self, x, position_ids, **kwargs))
        prefix = "" if layer_type is None else f"{layer_type}_"
        name = f"{prefix}inv_freq"
        seq_len = ops.cast(ops.max(position_ids), "int32") + 1
        before = getattr(self, name)
        # past Keras's tracking: a tensor of this graph must not stay on the layer
        object.__setattr__(self, name, choose(self, seq_len, layer_type, prefix))
        try:
            return _kept(rope_forward(self, x, position_ids, **kwargs))
        finally:
            object.__setattr__(self, name, before)

    return wrapper


def _kept(tables: Any) -> Any:
    """Have XLA compute cosines and sines once.

    On a CPU it would take a cosine for cheap and compute it again in every layer, for every head
    (5 % of a Llama's time). It does not do so behind a gather.
    """
    if not isinstance(tables, tuple) or not compiles_for_cpu():
        return tables
    return tuple(ops.take(table, ops.arange(ops.shape(table)[-2]), axis=-2) for table in tables)
