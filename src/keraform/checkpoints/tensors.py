"""A tensor of a checkpoint: its key, shape and dtype at once, its values on demand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class StoredTensor:
    """One tensor of a checkpoint, in PyTorch's layout.

    Args:
        key: The name in the file.
        shape: The shape in the file.
        dtype: The dtype's name, as NumPy (with ml_dtypes) spells it.
        source: The file it lies in, for messages.
        read: Gives the values.
    """

    key: str
    shape: tuple[int, ...]
    dtype: str
    source: str
    read: Callable[[], np.ndarray]


def in_memory(state: Mapping[str, np.ndarray | StoredTensor]) -> dict[str, StoredTensor]:
    """Arrays (or stored tensors, which stay) as stored tensors.

    Args:
        state: PyTorch's keys and the arrays that belong to them.
    """
    return {
        key: value if isinstance(value, StoredTensor) else of_array(key, np.asarray(value))
        for key, value in state.items()
    }


def of_array(key: str, value: np.ndarray, source: str = "memory") -> StoredTensor:
    """An array as the stored tensor `key`."""
    return StoredTensor(key, tuple(value.shape), value.dtype.name, source, lambda: value)
