"""Elementwise functions whose defaults, limits or precision differ between torch and Keras."""

from __future__ import annotations

import math
from typing import Any

from keras import ops

from keraform.runtime.ops import dtypes
from keraform.runtime.ops.tensors import Tensor, as_tensor, axis_of, is_array, rank, refuse

HALF_ROOT = math.sqrt(0.5)
TANH_SCALE = math.sqrt(2.0 / math.pi)


def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """Returns x * P(X <= x) for a standard normal X.

    With "none", `x / 2 * (1 + erf(x / sqrt(2)))` (Keras's own is 5e-9 off in float64); with "tanh",
    `x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3)))`. Half precision is computed in float32.
    """
    if approximate not in ("none", "tanh"):
        raise refuse('approximate "none" or "tanh"', repr(approximate), 'approximate="none"')
    input = as_tensor(input)
    dtype = dtypes.name_of(input.dtype)
    x = dtypes.to(input, dtypes.computing_dtype(input))
    if approximate == "none":
        inner = ops.erf(x * HALF_ROOT)
    else:
        inner = ops.tanh(TANH_SCALE * (x + 0.044715 * x * x * x))
    return dtypes.to(0.5 * x * (1.0 + inner), dtype)


def leaky_relu(input: Tensor, negative_slope: float = 0.01) -> Tensor:
    """Returns x where positive, else `negative_slope * x`.

    Keras's default slope is 0.2, and TensorFlow keeps the slope in float32 only.
    """
    input = as_tensor(input)
    return ops.where(input > 0, input, input * negative_slope)


def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """Returns x where positive, else `weight * x`; the weights stand along axis 1."""
    if math.prod(weight.shape) == 1:
        weight = ops.reshape(weight, ())
    elif rank(input) > 1:
        weight = ops.reshape(weight, (-1,) + (1,) * (rank(input) - 2))
    return ops.where(input > 0, input, weight * input)


def glu(input: Tensor, dim: int = -1) -> Tensor:
    """Returns `a * sigmoid(b)` for the two halves of `input` along `dim`."""
    a, b = ops.split(input, 2, axis=axis_of(dim, rank(input)))
    return a * ops.sigmoid(b)


def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """Returns `log(1 + exp(beta x)) / beta`, and x itself where `beta x > threshold`."""
    input = as_tensor(input)
    scaled = input * beta
    linear = scaled > threshold
    safe = ops.where(linear, ops.zeros_like(scaled), scaled)
    return ops.where(linear, input, ops.softplus(safe) / beta)


def hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """Returns x kept within `[min_val, max_val]`."""
    return clamp(input, min_val, max_val)


def clamp(input: Tensor, min: Any = None, max: Any = None) -> Tensor:
    """Keeps x within bounds that may each be None, a number or a tensor; `max` wins over `min`."""
    if min is None and max is None:
        raise refuse("at least one of min and max", "neither", "kf.clamp(x, min=0)")
    bounds = [bound for bound in (min, max) if bound is not None]
    dtype = dtypes.result_type(input, *bounds)
    x = dtypes.as_dtype(input, dtype)
    if min is not None:
        low = dtypes.as_dtype(min, dtype)
        x = ops.where(x < low, low, x)
    if max is not None:
        high = dtypes.as_dtype(max, dtype)
        x = ops.where(x > high, high, x)
    return x


def logit(input: Tensor, eps: float | None = None) -> Tensor:
    """Returns `log(x / (1 - x))`, with x first kept within `[eps, 1 - eps]`."""
    x = dtypes.to_float(as_tensor(input))
    if eps is not None:
        x = clamp(x, eps, 1.0 - eps)
    return ops.log(x / (1.0 - x))


def xlogy(input: Any, other: Any) -> Tensor:
    """Returns `x * log(y)`, which is 0 where x is 0 (and NaN where y is)."""
    x, y = dtypes.promote(input, other)
    x, y = dtypes.to_float(x), dtypes.to_float(y)
    skip = ops.logical_and(ops.equal(x, 0), ops.logical_not(ops.isnan(y)))
    return ops.where(skip, ops.zeros_like(x), x * ops.log(ops.where(skip, ops.ones_like(y), y)))


def softmax(input: Tensor, dim: int | None = None, dtype: Any = None) -> Tensor:
    """Returns softmax along `dim`, computed in `dtype` when one is named."""
    return ops.softmax(_prepare(input, dtype), axis=_softmax_axis(input, dim))


def log_softmax(input: Tensor, dim: int | None = None, dtype: Any = None) -> Tensor:
    """Returns log(softmax) along `dim`, computed in `dtype` when one is named."""
    return ops.log_softmax(_prepare(input, dtype), axis=_softmax_axis(input, dim))


def softmin(input: Tensor, dim: int | None = None, dtype: Any = None) -> Tensor:
    """Returns softmax of `-input`."""
    return softmax(-input, dim, dtype)


def softmax_gradient(grad_output: Tensor, output: Tensor, dim: int) -> Tensor:
    """Returns the gradient at the input of a softmax that gave `output`: `y (g - sum(g y))`."""
    return output * (
        grad_output - ops.sum(grad_output * output, axis=axis_of(dim, rank(output)), keepdims=True)
    )


def gumbel_softmax(
    logits: Tensor,
    tau: float = 1.0,
    hard: bool = False,
    eps: float = 1e-10,
    dim: int = -1,
    *,
    seed: Any = None,
) -> Tensor:
    """Samples from the Gumbel-softmax distribution; `hard` gives one-hot with soft gradients.

    Args:
        logits: Unnormalised log-probabilities.
        tau: Temperature.
        hard: Whether to return one-hot values.
        eps: Not used, as in torch.
        dim: Axis of the classes.
        seed: A `keras.random.SeedGenerator`; the current one when left out.
    """
    from keraform.runtime.ops.randomness import uniform_like

    floor = dtypes.finfo(logits.dtype).tiny
    noise = -ops.log(-ops.log(clamp(uniform_like(logits, seed=seed), min=floor)))
    soft = ops.softmax((logits + noise) / tau, axis=dim)
    if not hard:
        return soft
    axis = axis_of(dim, rank(logits))
    best = ops.one_hot(ops.argmax(soft, axis=axis), logits.shape[axis], axis=axis, dtype=soft.dtype)
    return ops.stop_gradient(best - soft) + soft


def _prepare(input: Tensor, dtype: Any) -> Tensor:
    input = as_tensor(input) if not is_array(input) else input
    return dtypes.to(input, dtypes.resolve(dtype))


def _softmax_axis(input: Tensor, dim: int | None) -> int:
    if dim is None:  # torch's legacy choice
        return 0 if rank(input) in (0, 1, 3) else 1
    return axis_of(dim, rank(input))
