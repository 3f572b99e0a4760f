"""Dense layers, embeddings and the identity."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import keras
from keras import ops

from keraform.runtime.gradients import summed
from keraform.runtime.layers.base import Layer, Tensor, TorchLayer
from keraform.runtime.layers.lora import LowRank
from keraform.runtime.one_row import is_one_row, times_kernel
from keraform.runtime.tree import WeightSpec, torch_property


def fan_in_uniform(fan_in: int) -> keras.initializers.Initializer:
    """Torch's default for linear and convolution layers: U(-1/sqrt(fan_in), 1/sqrt(fan_in))."""
    bound = 1.0 / math.sqrt(fan_in) if fan_in > 0 else 0.0
    return keras.initializers.RandomUniform(-bound, bound)


class Dense(LowRank, TorchLayer, keras.layers.Dense):
    """torch's `Linear`: `y = x W^T + b` over the last axis.

    Args:
        in_features: size of the input's last axis.
        units: size of the output's last axis.
        use_bias: whether there is a bias.
        **kwargs: of `keras.layers.Dense`.
    """

    torch_weights: ClassVar = {
        "kernel": WeightSpec("weight", axes=(1, 0)),
        "bias": WeightSpec("bias"),
    }
    weight = torch_property("weight")

    def __init__(self, in_features: int, units: int, use_bias: bool = True, **kwargs: Any) -> None:
        kwargs.setdefault("kernel_initializer", fan_in_uniform(in_features))
        kwargs.setdefault("bias_initializer", fan_in_uniform(in_features))
        super().__init__(int(units), use_bias=use_bias, **kwargs)  # which may be NumPy's
        self.in_features = in_features
        self.out_features = units
        self._kernel = self.add_weight(
            name="kernel",
            shape=(in_features, units),
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )
        self.bias = None
        if use_bias:
            self.bias = self.add_weight(
                name="bias",
                shape=(units,),
                initializer=self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )

    def call(self, inputs: Tensor) -> Tensor:
        inputs = self.cast_input(inputs)
        derived = self.__dict__.get("_derived") or {}
        if "kernel" in derived:
            outputs = derived["kernel"].matmul(inputs)
        elif is_one_row(inputs):
            outputs = times_kernel(inputs, self._kernel)
        else:
            outputs = ops.matmul(inputs, self._kernel)
        if self.lora_enabled:
            outputs = self._with_update(outputs, inputs)
        bias = self.bias if "bias" not in derived else self.current_weight("bias")
        if bias is not None:
            outputs = ops.add(outputs, bias)
        return outputs if self.activation is None else self.activation(outputs)

    def _lora_sides(self) -> tuple[int, int]:
        return self.in_features, self.out_features

    def _lora_initializers(self) -> tuple[Any, Any]:
        return fan_in_uniform(self.in_features), "zeros"


class TransposedDense(Dense):
    """`Conv1D(nf, nx)` of transformers.pytorch_utils: a linear layer whose torch weight is
    `[in_features, units]`, as the kernel is here.

    Args:
        units: size of the output's last axis (`nf`).
        in_features: size of the input's last axis (`nx`).
    """

    torch_weights: ClassVar = {"kernel": WeightSpec("weight"), "bias": WeightSpec("bias")}

    def __init__(self, units: int, in_features: int, **kwargs: Any) -> None:
        kwargs.setdefault("kernel_initializer", keras.initializers.RandomNormal(stddev=0.02))
        kwargs.setdefault("bias_initializer", "zeros")
        super().__init__(in_features, units, **kwargs)
        self.nf = units
        self.nx = in_features


class Embedding(LowRank, TorchLayer, keras.layers.Embedding):
    """torch's `Embedding`; the row `padding_idx` starts as zeros and gets no gradient from here.

    Args:
        input_dim: number of rows.
        output_dim: size of each row.
        padding_idx: row of the padding token, counted from the end when negative.
        **kwargs: of `keras.layers.Embedding`.
    """

    torch_weights: ClassVar = {"embeddings": WeightSpec("weight")}
    weight = torch_property("weight")
    lora_attribute = "embeddings"

    def __init__(
        self, input_dim: int, output_dim: int, padding_idx: int | None = None, **kwargs: Any
    ) -> None:
        if padding_idx is not None and not -input_dim <= padding_idx < input_dim:
            raise ValueError(
                f"expected padding_idx within {input_dim} rows; got {padding_idx}; "
                "pass padding_idx=None or a row of the table."
            )
        if padding_idx is not None and padding_idx < 0:
            padding_idx += input_dim
        kwargs.setdefault("embeddings_initializer", _PaddedNormal(padding_idx))
        super().__init__(input_dim, output_dim, **kwargs)
        self.num_embeddings = input_dim
        self.embedding_dim = output_dim
        self.padding_idx = padding_idx
        self._embeddings = self.add_weight(
            name="embeddings",
            shape=(input_dim, output_dim),
            initializer=self.embeddings_initializer,
            regularizer=self.embeddings_regularizer,
            constraint=self.embeddings_constraint,
        )

    def call(self, inputs: Tensor) -> Tensor:
        inputs = ops.convert_to_tensor(inputs)
        if keras.backend.standardize_dtype(inputs.dtype) not in ("int32", "int64"):
            inputs = ops.cast(inputs, "int32")
        outputs = ops.take(summed(self.current_weight("embeddings")), inputs, axis=0)
        if self.padding_idx is not None:
            is_padding = ops.expand_dims(ops.equal(inputs, self.padding_idx), -1)
            outputs = ops.where(is_padding, ops.stop_gradient(outputs), outputs)
        if self.lora_enabled:
            outputs = self._with_update(
                outputs, ops.take(summed(self.lora_embeddings_a), inputs, axis=0)
            )
        dtype = self.compute_dtype
        if keras.backend.standardize_dtype(outputs.dtype) == dtype:
            return outputs
        return ops.cast(outputs, dtype)

    def _lora_sides(self) -> tuple[int, int]:
        return self.num_embeddings, self.embedding_dim

    def _lora_initializers(self) -> tuple[Any, Any]:
        return "zeros", keras.initializers.RandomNormal(stddev=1.0)


class _PaddedNormal(keras.initializers.RandomNormal):
    """N(0, 1) with one row of zeros, torch's default for embeddings."""

    def __init__(self, padding_idx: int | None = None) -> None:
        super().__init__(stddev=1.0)
        self.padding_idx = padding_idx

    def __call__(self, shape: Any, dtype: Any = None, **kwargs: Any) -> Any:
        table = super().__call__(shape, dtype=dtype)
        if self.padding_idx is None:
            return table
        keep = ops.arange(shape[0]) != self.padding_idx
        return table * ops.cast(ops.expand_dims(keep, -1), table.dtype)

    def get_config(self) -> dict[str, Any]:
        return {"padding_idx": self.padding_idx}


class Identity(Layer):
    """Gives back its first argument, whatever it was made with."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        known = {key: kwargs[key] for key in ("name", "dtype", "trainable") if key in kwargs}
        super().__init__(**known)

    def call(self, inputs: Tensor) -> Tensor:
        return inputs
