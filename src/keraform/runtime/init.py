"""torch's initialisers for weights named as torch names them, in torch's layout.

`init.normal_(layer, "weight", std=0.02)` is torch's `init.normal_(layer.weight, std=0.02)`. The
variable is assigned, or initialised when the model was built in a `keras.StatelessScope`. Every
function takes `index`, for torch's `init.zeros_(layer.weight[index])`, and gives the variable back
(a tensor for a buffer). Source of the formulas: torch.nn.init of torch 2.13 and
transformers.initialization of Transformers 5.23.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from keraform.runtime.filling import Target, entry_of, fill, torch_shape
from keraform.runtime.filling import Weight as Weight
from keraform.runtime.tree import TorchWeight, find_weight, own_weights


def uniform_(target: Target, name: str | None = None, a: float = 0.0, b: float = 1.0, *,
             index: Any = None, generator: Any = None) -> Any:  # fmt: skip
    """U(a, b)."""

    def make(shape: tuple[int, ...], dtype: str) -> Any:
        return keras.random.uniform(shape, a, b, dtype=dtype, seed=generator)

    return fill(target, name, make, index, free=True)


def normal_(target: Target, name: str | None = None, mean: float = 0.0, std: float = 1.0, *,
            index: Any = None, generator: Any = None) -> Any:  # fmt: skip
    """N(mean, std^2)."""

    def make(shape: tuple[int, ...], dtype: str) -> Any:
        return keras.random.normal(shape, mean, std, dtype=dtype, seed=generator)

    return fill(target, name, make, index, free=True)


def trunc_normal_(target: Target, name: str | None = None, mean: float = 0.0, std: float = 1.0,
                  a: float = -2.0, b: float = 2.0, *, index: Any = None,
                  generator: Any = None) -> Any:  # fmt: skip
    """N(mean, std^2) within `[a, b]`, which are values, not multiples of `std`.

    By the inverse of the normal distribution: `x = mean + sqrt(2) std erfinv(u)`.
    """

    def make(shape: tuple[int, ...], dtype: str) -> Any:
        low, high = (math.erf((bound - mean) / (std * math.sqrt(2.0))) for bound in (a, b))
        edge = 1.0 - 2.0**-24  # erfinv(1) is infinite
        low, high = max(low, -edge), min(high, edge)
        draws = keras.random.uniform(shape, low, high, dtype=dtype, seed=generator)
        draws = ops.erfinv(ops.clip(draws, low, high)) * (std * math.sqrt(2.0)) + mean
        return ops.clip(draws, a, b)

    return fill(target, name, make, index, free=True)


def constant_(target: Target, name: str | None = None, val: float = 0.0, *,
              index: Any = None) -> Any:  # fmt: skip
    """The number `val` everywhere."""

    def make(shape: tuple[int, ...], dtype: str) -> Any:
        return ops.full(shape, val, dtype=dtype)

    return fill(target, name, make, index, free=True)


def ones_(target: Target, name: str | None = None, *, index: Any = None) -> Any:
    """Ones."""
    return constant_(target, name, 1.0, index=index)


def zeros_(target: Target, name: str | None = None, *, index: Any = None) -> Any:
    """Zeros."""
    return constant_(target, name, 0.0, index=index)


def copy_(target: Target, name: str | None = None, other: Any = None, *,
          index: Any = None) -> Any:  # fmt: skip
    """The tensor `other`, in torch's layout, broadcast to the weight's shape."""

    def make(shape: tuple[int, ...], dtype: str) -> Any:
        return ops.broadcast_to(ops.cast(ops.convert_to_tensor(other), dtype), shape)

    return fill(target, name, make, index)


def eye_(target: Target, name: str | None = None, *, index: Any = None) -> Any:
    """Ones on the diagonal of a matrix."""

    def make(shape: tuple[int, ...], dtype: str) -> Any:
        return ops.eye(*shape, dtype=dtype)

    return fill(target, name, make, index)


def dirac_(target: Target, name: str | None = None, groups: int = 1, *,
           index: Any = None) -> Any:  # fmt: skip
    """The convolution kernel that passes channels through, in each of `groups`."""

    def make(shape: tuple[int, ...], dtype: str) -> Any:
        value = np.zeros(shape)
        per_group = shape[0] // groups
        centre = tuple(size // 2 for size in shape[2:])
        for group in range(groups):
            for channel in range(min(per_group, shape[1])):
                value[(group * per_group + channel, channel, *centre)] = 1.0
        return ops.convert_to_tensor(value, dtype=dtype)

    return fill(target, name, make, index)


def orthogonal_(target: Target, name: str | None = None, gain: float = 1.0, *,
                index: Any = None, generator: Any = None) -> Any:  # fmt: skip
    """A (semi-)orthogonal matrix of the weight seen as `[rows, the rest]`, times `gain`."""

    def make(shape: tuple[int, ...], dtype: str) -> Any:
        rows, columns = shape[0], math.prod(shape[1:])
        size = (max(rows, columns), min(rows, columns))
        draws = keras.random.normal(size, dtype=dtype, seed=generator)
        basis, triangle = ops.qr(draws)
        basis = basis * ops.sign(ops.diagonal(triangle))
        return ops.reshape(gain * (ops.transpose(basis) if rows < columns else basis), shape)

    return fill(target, name, make, index)


def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """`(fan_in, fan_out)` of a torch shape `[out, in, *kernel]`."""
    if len(shape) < 2:
        raise ValueError(
            f"expected a weight with two axes or more; got shape {shape}; "
            "use normal_ or uniform_ for vectors."
        )
    field = math.prod(shape[2:])
    return shape[1] * field, shape[0] * field


def fan_in_and_fan_out(target: Target, name: str | None = None) -> tuple[int, int]:
    """The fans of a weight, in torch's layout."""
    shape = _shape_of(target, name, None)
    if shape is None:
        raise ValueError(
            f"expected a weight of the layer; got {name!r}, which a parametrisation computes; "
            "take the fans before the layer is parametrised."
        )
    return fans(shape)


_GAINS: dict[str, Callable[[float], float]] = {
    "linear": lambda a: 1.0,
    "sigmoid": lambda a: 1.0,
    "tanh": lambda a: 5.0 / 3.0,
    "relu": lambda a: math.sqrt(2.0),
    "leaky_relu": lambda a: math.sqrt(2.0 / (1.0 + a**2)),
    "selu": lambda a: 3.0 / 4.0,
} | {f"conv{transposed}{rank}d": lambda a: 1.0 for transposed in ("", "_transpose")
     for rank in (1, 2, 3)}  # fmt: skip


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """Torch's recommended gain; `param` is the slope of leaky_relu (0.01 when None)."""
    if nonlinearity not in _GAINS:
        raise ValueError(
            f"expected a nonlinearity among {', '.join(sorted(_GAINS))}; got {nonlinearity!r}; "
            "use 'linear' for a gain of 1."
        )
    return _GAINS[nonlinearity](0.01 if param is None else param)


def _scaled(target: Target, name: str | None, index: Any, uniform: bool,
            deviation: Callable[[int, int], float], generator: Any,
            flat: bool = False) -> Any:  # fmt: skip
    """Draws with mean 0 and the standard deviation that follows from the fans."""
    shape = _shape_of(target, name, index)
    if shape is None:
        return None
    if flat:
        shape = (shape[0], math.prod(shape[1:]))
    std = deviation(*fans(shape))
    if uniform:
        bound = math.sqrt(3.0) * std
        return uniform_(target, name, -bound, bound, index=index, generator=generator)
    return normal_(target, name, 0.0, std, index=index, generator=generator)


def _shape_of(target: Target, name: str | None, index: Any) -> tuple[int, ...] | None:
    entry = entry_of(target, name)
    if entry is None:
        return None
    shape = torch_shape(entry) if isinstance(entry, TorchWeight) else tuple(entry.shape)
    return shape if index is None else np.empty(shape, "bool")[index].shape


def xavier_uniform_(target: Target, name: str | None = None, gain: float = 1.0, *,
                    index: Any = None, generator: Any = None,
                    flat: bool = False) -> Any:  # fmt: skip
    """Uniform, standard deviation `gain sqrt(2 / (fan_in + fan_out))`, `flat` as of a
    matrix [rows, the rest].
    """
    return _scaled(target, name, index, True, _xavier(gain), generator, flat)


def xavier_normal_(target: Target, name: str | None = None, gain: float = 1.0, *,
                    index: Any = None, generator: Any = None,
                    flat: bool = False) -> Any:  # fmt: skip
    """Normal, standard deviation `gain sqrt(2 / (fan_in + fan_out))`, `flat` as of a
    matrix [rows, the rest].
    """
    return _scaled(target, name, index, False, _xavier(gain), generator, flat)


def _xavier(gain: float) -> Callable[[int, int], float]:
    return lambda fan_in, fan_out: gain * math.sqrt(2.0 / (fan_in + fan_out))


def kaiming_uniform_(target: Target, name: str | None = None, a: float = 0.0,
                     mode: str = "fan_in", nonlinearity: str = "leaky_relu", *,
                     index: Any = None, generator: Any = None) -> Any:  # fmt: skip
    """Uniform, standard deviation `gain / sqrt(fan)`."""
    return _scaled(target, name, index, True, _kaiming(a, mode, nonlinearity), generator)


def kaiming_normal_(target: Target, name: str | None = None, a: float = 0.0,
                    mode: str = "fan_in", nonlinearity: str = "leaky_relu", *,
                    index: Any = None, generator: Any = None) -> Any:  # fmt: skip
    """Normal, standard deviation `gain / sqrt(fan)`."""
    return _scaled(target, name, index, False, _kaiming(a, mode, nonlinearity), generator)


def _kaiming(a: float, mode: str, nonlinearity: str) -> Callable[[int, int], float]:
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"expected mode 'fan_in' or 'fan_out'; got {mode!r}; pass mode='fan_in'.")
    gain = calculate_gain(nonlinearity, a)
    return lambda *both: gain / math.sqrt(both[mode == "fan_out"])


def lecun_normal_(target: Target, name: str | None = None, *, index: Any = None,
                  generator: Any = None) -> Any:  # fmt: skip
    """Normal within two deviations, scaled back to a variance of `1 / fan_in`."""
    shape = _shape_of(target, name, index)
    if shape is None:
        return None
    # a normal cut at two deviations keeps this part of its deviation
    std = 1.0 / math.sqrt(fans(shape)[0]) / 0.87962566103423978
    return trunc_normal_(target, name, std=std, index=index, generator=generator)


def default_flax_embed_init_(target: Target, name: str | None = None, *, index: Any = None,
                             generator: Any = None) -> Any:  # fmt: skip
    """Normal with variance `1 / fan_in`, as Flax starts embeddings."""
    return _scaled(target, name, index, False, lambda fan_in, _: fan_in**-0.5, generator)


# what torch's normalisations start with
_NORMALISATION = {
    "weight": ones_,
    "bias": zeros_,
    "running_mean": zeros_,
    "running_var": ones_,
    "num_batches_tracked": zeros_,
}


def reset_parameters(layer: Any) -> None:
    """Starts the weights of a layer as torch's own module of that kind does.

    Normalisations get ones and zeros, embeddings a standard normal with a zero row for padding,
    all others Kaiming-uniform weights and biases uniform within `1 / sqrt(fan_in)` (torch 2.13,
    `nn.Linear.reset_parameters`).
    """
    names = {entry.key for entry in own_weights(layer)}
    if hasattr(layer, "padding_idx"):
        normal_(layer, "weight")
        if layer.padding_idx is not None:
            zeros_(layer, "weight", index=layer.padding_idx)
    elif "alpha" in getattr(layer, "torch_weights", ()):  # PReLU
        constant_(layer, "weight", layer.init)
    elif "Normalization" in type(layer).__name__:
        for name, function in _NORMALISATION.items():
            if name in names:
                function(layer, name)
    elif "weight" in names:
        kaiming_uniform_(layer, "weight", a=math.sqrt(5))
        if "bias" in names:
            bound = 1.0 / math.sqrt(fans(torch_shape(find_weight(layer, "weight")))[0])
            uniform_(layer, "bias", -bound, bound)
