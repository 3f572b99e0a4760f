"""A small torch module and its port, both written by hand, so that the detector is tested without
the translator.
"""

from __future__ import annotations

import keras
import numpy as np
import torch
from keras import ops
from torch import nn

from keraform.runtime import layers
from keraform.runtime.layers import Layer
from keraform.verify.cases import Case, Variant
from keraform.verify.files import load_by_tree
from keraform.verify.twin import twin_of


class Block(nn.Module):
    """Scores, a softmax in float32, values and a norm: each a place for a fault."""

    def __init__(self, width: int = 6) -> None:
        super().__init__()
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width, eps=1e-3)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        bias = (1.0 - mask[:, None].to(x.dtype)) * torch.finfo(x.dtype).min
        scores = self.query(x) @ self.key(x).transpose(1, 2) * x.shape[-1] ** -0.5 + bias
        weights = torch.softmax(scores, -1, dtype=torch.float32).to(x.dtype)
        return self.norm(x + weights @ self.value(x)), weights


class Mini(nn.Module):
    """Two blocks, of which one is used twice, and a head with a 1-D output."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([Block(), Block()])
        self.head = nn.Linear(6, 1)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> dict[str, torch.Tensor]:
        for block in (*self.blocks, self.blocks[0]):
            x, weights = block(x, mask)
        return {"states": x, "weights": weights, "score": self.head(x[:, 0])[:, 0]}


class TFBlock(Layer):
    """The port of Block; `fault` names one deliberate mistake."""

    def __init__(self, width: int = 6, fault: str = "", **kwargs) -> None:
        super().__init__(**kwargs)
        self.fault = fault
        self.query = layers.Dense(width, width, name="query")
        self.key = layers.Dense(width, width, name="key")
        self.value = layers.Dense(width, width, name="value")
        epsilon = 1e-5 if fault == "eps" else 1e-3
        self.norm = layers.LayerNormalization(width, epsilon=epsilon, name="norm")

    def call(self, x, mask):
        keep = ops.cast(mask[:, None], x.dtype)
        low = float(np.finfo("float64" if x.dtype == "float64" else "float32").min)
        if keras.backend.standardize_dtype(x.dtype) in ("float16", "bfloat16"):
            low = {"float16": -65504.0, "bfloat16": -3.3895313892515355e38}[
                keras.backend.standardize_dtype(x.dtype)
            ]
        bias = (1.0 - keep) * low
        scale = 1.0 if self.fault == "scale" else x.shape[-1] ** -0.5
        query, key = (self.key, self.query) if self.fault == "swapped" else (self.query, self.key)
        scores = ops.matmul(query(x), ops.transpose(key(x), (0, 2, 1))) * scale
        scores = scores if self.fault == "mask" else scores + bias
        weights = ops.cast(ops.softmax(ops.cast(scores, "float32"), axis=-1), x.dtype)
        mixed = ops.matmul(weights, self.value(x))
        if self.fault == "float32":
            mixed = ops.cast(mixed, "float32")
        return self.norm(mixed if self.fault == "residual" else x + mixed), weights


class TFMini(Layer):
    """The port of Mini."""

    def __init__(self, fault: str = "", **kwargs) -> None:
        super().__init__(**kwargs)
        self.fault = fault
        self.blocks = [TFBlock(name="0"), TFBlock(fault=fault, name="1")]
        self.head = layers.Dense(6, 1, name="head")

    def call(self, x, mask):
        for block in (*self.blocks, self.blocks[0]):
            x, weights = block(x, mask)
        output = {"states": x, "weights": weights, "score": self.head(x[:, 0])[:, 0]}
        if self.fault == "key":
            del output["weights"]
        if self.fault == "nan":
            output["score"] = output["score"] * float("nan")
        return output


def mini_inputs(batch: int = 3, length: int = 5) -> dict[str, np.ndarray]:
    """A row padded on the right, one on the left, one fully masked."""
    rng = np.random.default_rng(1)
    mask = np.ones((batch, length), "int64")
    mask[0, -2:] = 0
    mask[1, :1] = 0
    mask[2:] = 0
    return {"x": rng.normal(size=(batch, length, 6)), "mask": mask}


def mini_case(fault: str = "") -> Case:
    """The pair as a case."""
    return Case(
        name=f"Mini{fault}",
        make_twin=lambda: twin_of(Mini),
        make_port=lambda: TFMini(fault=fault),
        load=load_by_tree,
        make_variants=lambda: (Variant("masked", mini_inputs()),),
        resized=lambda: mini_inputs(2, 7),
    )
