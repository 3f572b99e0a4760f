"""Normalisations as functions, with torch's shapes and eps; halves are computed in float32."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keraform.runtime.ops import dtypes
from keraform.runtime.ops.tensors import Tensor, as_tensor, rank, refuse, sizes


def _normed(x: Tensor, axes: Sequence[int], eps: float, centre: bool = True) -> Tensor:
    """Returns `(x - mean) / sqrt(var + eps)`, or `x / sqrt(mean(x^2) + eps)` when not centred."""
    if centre:
        x = x - ops.mean(x, axis=axes, keepdims=True)
    spread = ops.mean(ops.square(x), axis=axes, keepdims=True)
    return x * ops.rsqrt(spread + eps)


def _affine(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, shape: Sequence[Any] | None
) -> Tensor:
    for parameter, combine in ((weight, ops.multiply), (bias, ops.add)):
        if parameter is not None:
            parameter = dtypes.to(as_tensor(parameter), dtypes.name_of(x.dtype))
            x = combine(x, parameter if shape is None else ops.reshape(parameter, shape))
    return x


def layer_norm(
    input: Tensor,
    normalized_shape: Any,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Normalises over the last axes, as many as `normalized_shape` has."""
    count = 1 if isinstance(normalized_shape, int) else len(tuple(normalized_shape))
    input = as_tensor(input)
    x = dtypes.to(input, dtypes.computing_dtype(input))
    x = _affine(_normed(x, tuple(range(rank(x) - count, rank(x))), eps), weight, bias, None)
    return dtypes.to(x, dtypes.name_of(input.dtype))


def rms_norm(
    input: Tensor, normalized_shape: Any, weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    """Divides by the root of the mean square over the last axes; eps is the dtype's when None."""
    count = 1 if isinstance(normalized_shape, int) else len(tuple(normalized_shape))
    input = as_tensor(input)
    x = dtypes.to(input, dtypes.computing_dtype(input))
    floor = dtypes.finfo(x.dtype).eps if eps is None else eps
    axes = tuple(range(rank(x) - count, rank(x)))
    return dtypes.to(
        _affine(_normed(x, axes, floor, centre=False), weight, None, None),
        dtypes.name_of(input.dtype),
    )


def group_norm(
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Normalises [b, c, ...] over each of `num_groups` groups of channels."""
    input = as_tensor(input)
    x = dtypes.to(input, dtypes.computing_dtype(input))
    shape = sizes(x)
    grouped = ops.reshape(x, (shape[0], num_groups, -1))
    x = ops.reshape(_normed(grouped, (2,), eps), shape)
    return dtypes.to(
        _affine(x, weight, bias, (-1, *(1,) * (rank(x) - 2))), dtypes.name_of(input.dtype)
    )


def instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Normalises [b, c, ...] over the axes behind the channels."""
    if not use_input_stats:
        return batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    if running_mean is not None or running_var is not None:
        raise refuse(
            "no running statistics together with the input's own",
            "running_mean given",
            "layers.InstanceNormalization(..., track_running_stats=True)",
        )
    input = as_tensor(input)
    x = dtypes.to(input, dtypes.computing_dtype(input))
    x = _normed(x, tuple(range(2, rank(x))), eps)
    return dtypes.to(
        _affine(x, weight, bias, (-1, *(1,) * (rank(x) - 2))), dtypes.name_of(input.dtype)
    )


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Normalises [b, c, ...] over all axes but the channels.

    Args:
        input: [b, c, ...].
        running_mean: [c]; a Keras variable is updated in training.
        running_var: [c], unbiased; a Keras variable is updated in training.
        weight: [c].
        bias: [c].
        training: Whether the batch's own statistics are used.
        momentum: Share of the new statistics, as torch has it.
        eps: Added to the variance.
    """
    input = as_tensor(input)
    x = dtypes.to(input, dtypes.computing_dtype(input))
    name = dtypes.name_of(x.dtype)
    shape = (-1, *(1,) * (rank(x) - 2))
    if training or running_mean is None or running_var is None:
        axes = (0, *range(2, rank(x)))
        mean = ops.mean(x, axis=axes)
        spread = ops.mean(ops.square(x - ops.reshape(mean, shape)), axis=axes)
        _update(running_mean, mean, momentum)
        if running_var is not None:
            count = ops.cast(ops.size(x) // x.shape[1], name)
            _update(running_var, spread * count / (count - 1), momentum)
    else:
        mean, spread = (dtypes.to(as_tensor(v), name) for v in (running_mean, running_var))
    x = (x - ops.reshape(mean, shape)) * ops.rsqrt(ops.reshape(spread, shape) + eps)
    return dtypes.to(_affine(x, weight, bias, shape), dtypes.name_of(input.dtype))


def _update(running: Any, value: Tensor, momentum: float) -> None:
    if running is None:
        return
    if not isinstance(running, keras.Variable):
        raise refuse(
            "running statistics as Keras variables in training",
            type(running).__name__,
            "layers.BatchNormalization",
        )
    running.assign(running + momentum * (dtypes.to(value, dtypes.name_of(running.dtype)) - running))


def local_response_norm(
    input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Tensor:
    """Divides by `(k + alpha * mean of squares over `size` neighbouring channels) ** beta`."""
    squares = ops.square(as_tensor(input))
    pairs = [(0, 0)] * rank(squares)
    pairs[1] = (size // 2, (size - 1) // 2)
    padded = ops.pad(squares, pairs)
    channels = sizes(squares)[1]
    total = sum(padded[:, i : i + channels] for i in range(size))
    return input / ops.power(k + alpha * total / size, beta)
