"""Activations by the names configurations use, each a layer with upstream's class name.

`ACT2FN[name]` makes a new layer at every look-up. Formulas follow torch 2.13: `gelu` is the form
with the error function (Keras's own is 5e-9 off in float64), softplus is the identity above 20.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import Any

import ml_dtypes
import numpy as np
from keras import ops

from keraform.runtime import layers
from keraform.runtime.layers import Layer, Tensor

SQRT_2 = math.sqrt(2.0)
SQRT_2_OVER_PI = math.sqrt(2.0 / math.pi)
SOFTPLUS_THRESHOLD = 20.0


def gelu(input: Tensor) -> Tensor:
    """X times the normal distribution function of x."""
    return input * 0.5 * (1.0 + ops.erf(input / SQRT_2))


def gelu_new(input: Tensor) -> Tensor:
    """The tanh approximation of `gelu`."""
    inner = SQRT_2_OVER_PI * (input + 0.044715 * (input * input * input))
    return 0.5 * input * (1.0 + ops.tanh(inner))


def gelu_fast(input: Tensor) -> Tensor:
    """`gelu_new` with its constant cut to ten digits."""
    inner = input * 0.7978845608 * (1.0 + 0.044715 * input * input)
    return 0.5 * input * (1.0 + ops.tanh(inner))


def quick_gelu(input: Tensor) -> Tensor:
    """X sigmoid(1.702 x)."""
    return input * ops.sigmoid(1.702 * input)


def silu(input: Tensor) -> Tensor:
    """X sigmoid(x)."""
    return input * ops.sigmoid(input)


def softplus(input: Tensor) -> Tensor:
    """log(1 + exp(x)), and x itself above 20, as torch has it."""
    small = ops.log1p(ops.exp(ops.minimum(input, SOFTPLUS_THRESHOLD)))
    return ops.where(input > SOFTPLUS_THRESHOLD, input, small)


def mish(input: Tensor) -> Tensor:
    """X tanh(softplus(x))."""
    return input * ops.tanh(softplus(input))


def linear_act(input: Tensor) -> Tensor:
    """X."""
    return input


gelu_python = gelu
gelu_pytorch_tanh = gelu_new


class GELUActivation(Layer):
    """`gelu`; torch's two ways to compute it are one here."""

    def __init__(self, use_gelu_python: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.use_gelu_python = use_gelu_python

    def call(self, input: Tensor) -> Tensor:
        return gelu(input)


class GELUTanh(Layer):
    """The tanh approximation of `gelu`; torch's two ways to compute it are one here."""

    def __init__(self, use_gelu_tanh_python: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.use_gelu_tanh_python = use_gelu_tanh_python

    def call(self, input: Tensor) -> Tensor:
        return gelu_new(input)


PytorchGELUTanh = GELUTanh


class NewGELUActivation(Layer):
    """The tanh approximation of `gelu`, of BERT's and GPT's first code."""

    def call(self, input: Tensor) -> Tensor:
        return gelu_new(input)


class AccurateGELUActivation(NewGELUActivation):
    """The same formula under MEGA's name."""


class SiLUActivation(Layer):
    """`silu`, also called swish."""

    def call(self, input: Tensor) -> Tensor:
        return silu(input)


class FastGELUActivation(Layer):
    """`gelu_fast`."""

    def call(self, input: Tensor) -> Tensor:
        return gelu_fast(input)


class QuickGELUActivation(Layer):
    """`quick_gelu`."""

    def call(self, input: Tensor) -> Tensor:
        return quick_gelu(input)


class ClippedGELUActivation(Layer):
    """`gelu` kept between `min` and `max`."""

    def __init__(self, min: float, max: float, **kwargs: Any) -> None:
        if min > max:
            raise ValueError(
                f"Expected min <= max; got min={min}, max={max}. "
                f"Swap them: ClippedGELUActivation(min={max}, max={min})."
            )
        super().__init__(**kwargs)
        self.min = min
        self.max = max

    def call(self, x: Tensor) -> Tensor:
        return ops.clip(gelu(x), self.min, self.max)


class MishActivation(Layer):
    """`mish`."""

    def call(self, input: Tensor) -> Tensor:
        return mish(input)


class LinearActivation(Layer):
    """The input itself."""

    def call(self, input: Tensor) -> Tensor:
        return input


class LaplaceActivation(Layer):
    """(1 + erf((x - mu) / (sigma sqrt 2))) / 2, of MEGA's attention."""

    def call(self, input: Tensor, mu: float = 0.707107, sigma: float = 0.282095) -> Tensor:
        return 0.5 * (1.0 + ops.erf((input - mu) / (sigma * SQRT_2)))


class ReLUSquaredActivation(Layer):
    """relu(x) squared."""

    def call(self, input: Tensor) -> Tensor:
        return ops.square(ops.relu(input))


class SqrtSoftplusActivation(Layer):
    """The square root of softplus(x), DeepSeek V4's router score."""

    def call(self, input: Tensor) -> Tensor:
        return ops.sqrt(softplus(input))


class XIELUActivation(Layer):
    """xIELU (arXiv:2411.13010): a parabola above zero, an expm1 below, with learnt curvatures."""

    def __init__(
        self,
        alpha_p_init: float = 0.8,
        alpha_n_init: float = 0.8,
        beta: float = 0.5,
        eps: float = -1e-6,
        with_vector_loads: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.alpha_p = self.add_parameter(_inverse_softplus(alpha_p_init), name="alpha_p")
        self.alpha_n = self.add_parameter(_inverse_softplus(alpha_n_init - beta), name="alpha_n")
        self.beta = self.add_parameter(_bfloat16(beta), name="beta", trainable=False)
        self.eps = self.add_parameter(_bfloat16(eps), name="eps", trainable=False)
        self.with_vector_loads = with_vector_loads

    def call(self, input: Tensor) -> Tensor:
        alpha_p, alpha_n, beta, eps = (
            ops.cast(weight, input.dtype)
            for weight in (self.alpha_p, self.alpha_n, self.beta, self.eps)
        )
        alpha_p = softplus(alpha_p)
        alpha_n = beta + softplus(alpha_n)
        return ops.where(
            input > 0,
            alpha_p * input * input + beta * input,
            (ops.expm1(ops.minimum(input, eps)) - input) * alpha_n + beta * input,
        )


def _bfloat16(value: float) -> np.ndarray:
    """The number upstream starts from: it makes these parameters in bfloat16."""
    return np.asarray(value, ml_dtypes.bfloat16).astype("float32")


def _inverse_softplus(value: float) -> np.ndarray:
    step = np.expm1(_bfloat16(value)).astype(ml_dtypes.bfloat16)
    return np.log(step.astype("float32")).astype(ml_dtypes.bfloat16).astype("float32").reshape(1)


class ClassInstantier(OrderedDict):
    """A table of layer classes, or (class, arguments), that makes a new layer when read."""

    def __getitem__(self, key: str) -> Layer:
        if key not in self:
            raise KeyError(
                f"Expected the name of an activation; got {key!r}. Use one of {list(self.keys())}."
            )
        content = super().__getitem__(key)
        cls, kwargs = content if isinstance(content, tuple) else (content, {})
        return cls(**kwargs)


ACT2CLS: dict[str, Any] = {
    "gelu": GELUActivation,
    "gelu_10": (ClippedGELUActivation, {"min": -10, "max": 10}),
    "gelu_fast": FastGELUActivation,
    "gelu_new": NewGELUActivation,
    "gelu_python": (GELUActivation, {"use_gelu_python": True}),
    "gelu_pytorch_tanh": GELUTanh,
    "gelu_python_tanh": (GELUTanh, {"use_gelu_tanh_python": True}),
    "gelu_accurate": AccurateGELUActivation,
    "hardswish": layers.Hardswish,
    "laplace": LaplaceActivation,
    "leaky_relu": layers.LeakyReLU,
    "linear": LinearActivation,
    "mish": MishActivation,
    "quick_gelu": QuickGELUActivation,
    "relu": layers.ReLU,
    "relu2": ReLUSquaredActivation,
    "relu6": layers.ReLU6,
    "sigmoid": layers.Sigmoid,
    "silu": SiLUActivation,
    "sqrtsoftplus": SqrtSoftplusActivation,
    "swish": layers.SiLU,
    "tanh": layers.Tanh,
    "prelu": layers.PReLU,
    "xielu": XIELUActivation,
}
ACT2FN = ClassInstantier(ACT2CLS)


def get_activation(activation_string: str) -> Layer:
    """A new layer for the activation of this name."""
    return ACT2FN[activation_string]
