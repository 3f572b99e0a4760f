"""Activation functions as layers; each calls one function with the layer's own arguments."""

from __future__ import annotations

from typing import Any, ClassVar

import keras
from keras import ops

from keraform.runtime.layers.base import Layer, Tensor
from keraform.runtime.tree import WeightSpec


class _Activation(Layer):
    """Base: `inplace` is accepted and means nothing, since tensors are never changed."""

    def __init__(self, inplace: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)


class ReLU(_Activation):
    """`max(x, 0)`."""

    def call(self, inputs: Tensor) -> Tensor:
        return ops.relu(inputs)


class ReLU6(_Activation):
    """`min(max(x, 0), 6)`."""

    def call(self, inputs: Tensor) -> Tensor:
        return ops.relu6(inputs)


class Tanh(_Activation):
    """`tanh(x)`."""

    def call(self, inputs: Tensor) -> Tensor:
        return ops.tanh(inputs)


class Sigmoid(_Activation):
    """`1 / (1 + exp(-x))`."""

    def call(self, inputs: Tensor) -> Tensor:
        return ops.sigmoid(inputs)


class SiLU(_Activation):
    """`x sigmoid(x)`."""

    def call(self, inputs: Tensor) -> Tensor:
        return ops.silu(inputs)


class Softsign(_Activation):
    """`x / (1 + |x|)`."""

    def call(self, inputs: Tensor) -> Tensor:
        return ops.softsign(inputs)


class LogSigmoid(_Activation):
    """`log(sigmoid(x))`."""

    def call(self, inputs: Tensor) -> Tensor:
        return ops.log_sigmoid(inputs)


class Mish(_Activation):
    """`x tanh(softplus(x))`."""

    def call(self, inputs: Tensor) -> Tensor:
        return inputs * ops.tanh(ops.softplus(inputs))


class Hardsigmoid(_Activation):
    """`min(max(x + 3, 0), 6) / 6`."""

    def call(self, inputs: Tensor) -> Tensor:
        return ops.relu6(inputs + 3) / 6


class Hardswish(_Activation):
    """`x hardsigmoid(x)`."""

    def call(self, inputs: Tensor) -> Tensor:
        return inputs * ops.relu6(inputs + 3) / 6


class SELU(_Activation):
    """The self-normalising `scale * elu(x, alpha)`."""

    def call(self, inputs: Tensor) -> Tensor:
        return _SELU_SCALE * _elu(inputs, _SELU_ALPHA)


_SELU_ALPHA = 1.6732632423543772848170429916717
_SELU_SCALE = 1.0507009873554804934193349852946


def _elu(inputs: Tensor, alpha: float, inside: float = 1.0) -> Tensor:
    """`x` where positive, else `alpha (exp(x / inside) - 1)`."""
    negative = alpha * ops.expm1(ops.minimum(inputs, 0) / inside)
    return ops.where(inputs > 0, inputs, negative)


class ELU(_Activation):
    """`x` where positive, else `alpha (exp(x) - 1)`."""

    def __init__(self, alpha: float = 1.0, inplace: bool = False, **kwargs: Any) -> None:
        super().__init__(inplace, **kwargs)
        self.alpha = alpha

    def call(self, inputs: Tensor) -> Tensor:
        return _elu(inputs, self.alpha)


class CELU(ELU):
    """`x` where positive, else `alpha (exp(x / alpha) - 1)`."""

    def call(self, inputs: Tensor) -> Tensor:
        return _elu(inputs, self.alpha, self.alpha)


class LeakyReLU(_Activation):
    """`x` where positive, else `negative_slope * x`."""

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False, **kwargs: Any) -> None:
        super().__init__(inplace, **kwargs)
        self.negative_slope = negative_slope

    def call(self, inputs: Tensor) -> Tensor:
        return ops.where(inputs > 0, inputs, inputs * self.negative_slope)


class GELU(Layer):
    """`x Phi(x)`, exact, or its tanh form with `approximate="tanh"`."""

    def __init__(self, approximate: str = "none", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.approximate = approximate

    def call(self, inputs: Tensor) -> Tensor:
        from keraform.runtime import ops as kf

        return kf.gelu(inputs, approximate=self.approximate)


class Softplus(Layer):
    """`log(1 + exp(beta x)) / beta`, and `x` where `beta x > threshold`."""

    def __init__(self, beta: float = 1.0, threshold: float = 20.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.beta, self.threshold = beta, threshold

    def call(self, inputs: Tensor) -> Tensor:
        scaled = inputs * self.beta
        soft = ops.softplus(scaled) / self.beta
        return ops.where(scaled > self.threshold, inputs, soft)


class Hardtanh(_Activation):
    """`x` clipped to `[min_val, max_val]`."""

    def __init__(
        self, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(inplace, **kwargs)
        self.min_val, self.max_val = min_val, max_val

    def call(self, inputs: Tensor) -> Tensor:
        return ops.clip(inputs, self.min_val, self.max_val)


class Softmax(Layer):
    """`exp(x) / sum(exp(x))` along `axis`; torch's default axis depends on the rank."""

    def __init__(self, axis: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.axis = self.dim = axis

    def _axis(self, inputs: Tensor) -> int:
        if self.axis is not None:
            return self.axis
        return 0 if len(inputs.shape) in (0, 1, 3) else 1

    def call(self, inputs: Tensor) -> Tensor:
        return ops.softmax(inputs, axis=self._axis(inputs))


class LogSoftmax(Softmax):
    """`log(softmax(x))` along `axis`."""

    def call(self, inputs: Tensor) -> Tensor:
        return ops.log_softmax(inputs, axis=self._axis(inputs))


class GLU(Layer):
    """The first half along `axis`, gated by the sigmoid of the second."""

    def __init__(self, axis: int = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.axis = self.dim = axis

    def call(self, inputs: Tensor) -> Tensor:
        value, gate = ops.split(inputs, 2, axis=self.axis)
        return value * ops.sigmoid(gate)


class PReLU(Layer):
    """`x` where positive, else a learnt slope times `x`: one slope, or one a channel (axis 1)."""

    torch_weights: ClassVar = {"alpha": WeightSpec("weight")}

    def __init__(self, num_parameters: int = 1, init: float = 0.25, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_parameters = num_parameters
        self.init = init
        self.alpha = self.add_weight(
            name="alpha", shape=(num_parameters,), initializer=keras.initializers.Constant(init)
        )

    def call(self, inputs: Tensor) -> Tensor:
        slope = self.alpha
        if self.num_parameters > 1:
            slope = ops.reshape(slope, (1, -1) + (1,) * (len(inputs.shape) - 2))
        return ops.where(inputs > 0, inputs, slope * inputs)
