"""Giving a hand-written network the weights of a PyTorch state dict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

State = Mapping[str, np.ndarray]

# Torch's layout to Keras's, by the kind of layer.
KERNEL_AXES: dict[type, tuple[int, ...]] = {
    keras.layers.Dense: (1, 0),
    keras.layers.Conv2D: (2, 3, 1, 0),
    keras.layers.DepthwiseConv2D: (2, 3, 0, 1),
}


def load(
    layers: Mapping[str, keras.layers.Layer], variables: Mapping[str, keras.Variable], state: State
) -> set[str]:
    """Assign `state` to built layers and to single variables; gives the keys that were used.

    Args:
        layers: by torch's path, which ends in `.t` where torch keeps the kernel as Keras does.
        variables: by torch's key.
        state: torch's weights.
    """
    used: set[str] = set()

    def take(key: str) -> np.ndarray:
        used.add(key)
        return state[key]

    for key, variable in variables.items():
        variable.assign(take(key))
    for path, layer in layers.items():
        _fill(layer, path.removesuffix(".t"), path.endswith(".t"), take)
    return used


def _fill(layer: Any, path: str, as_it_is: bool, take: Any) -> None:
    if isinstance(layer, keras.layers.Embedding):
        layer.embeddings.assign(take(f"{path}.weight"))
    elif isinstance(layer, keras.layers.LayerNormalization):
        layer.gamma.assign(take(f"{path}.weight"))
        layer.beta.assign(take(f"{path}.bias"))
    elif isinstance(layer, keras.layers.RMSNormalization):
        layer.scale.assign(take(f"{path}.weight"))
    else:
        kernel = take(f"{path}.weight")
        axes = range(kernel.ndim) if as_it_is else KERNEL_AXES[type(layer)]
        layer.kernel.assign(np.transpose(kernel, tuple(axes)))
        if layer.use_bias:
            layer.bias.assign(take(f"{path}.bias"))
