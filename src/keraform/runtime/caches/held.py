"""A cache's state as something that can be computed with and changed in place."""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

from keraform.runtime.layers import Tensor


class HeldState:
    """The tensor that a cache layer keeps under `key`; converts to a tensor wherever one is used.

    Args:
        states: the layer's states by index.
        key: which of them.
    """

    def __init__(self, states: dict[int, Tensor | None], key: int) -> None:
        self.states = states
        self.key = key

    @property
    def value(self) -> Tensor:
        """The tensor as it is now."""
        return self.states[self.key]

    def assign(self, value: Tensor) -> None:
        """Keeps another tensor instead, in the state's dtype."""
        self.states[self.key] = ops.cast(value, self.value.dtype)

    @property
    def shape(self) -> Any:
        """The tensor's static shape."""
        return self.value.shape

    @property
    def dtype(self) -> Any:
        """The tensor's dtype."""
        return self.value.dtype

    def __getitem__(self, index: Any) -> Tensor:
        return self.value[index]

    def __tf_tensor__(self, dtype: Any = None, name: str | None = None) -> Tensor:
        return self.value if dtype is None else ops.cast(self.value, dtype)

    def __jax_array__(self) -> Tensor:
        return self.value

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return np.asarray(ops.convert_to_numpy(self.value), dtype=dtype)
