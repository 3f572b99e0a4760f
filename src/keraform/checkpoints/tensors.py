"""A tensor of a checkpoint: its key, shape and dtype at once, its values on demand."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from keraform.errors import KeraformError


@dataclass(frozen=True)
class StoredTensor:
    """One tensor of a checkpoint, in PyTorch's layout.

    Args:
        key: The name in the file.
        shape: The shape in the file.
        dtype: The dtype's name, as NumPy (with ml_dtypes) spells it.
        source: The file it lies in, for messages.
        read: Gives the values.
        loose_units: Whether axes of size 1 may be taken out or put in, which moves no value.
    """

    key: str
    shape: tuple[int, ...]
    dtype: str
    source: str
    read: Callable[[], np.ndarray]
    loose_units: bool = False

    def fitted(self, shape: tuple[int, ...]) -> StoredTensor:
        """The tensor with the axes of size 1 that `shape` has, where that is allowed and all that
        they differ in; else itself.

        Args:
            shape: The shape that is wanted.
        """
        if not self.loose_units or self.shape == shape or _units_out(self.shape) != _units_out(shape):
            return self
        return replace(self, shape=shape, read=lambda: self.read().reshape(shape))


def _units_out(shape: tuple[int, ...]) -> list[int]:
    return [size for size in shape if size != 1]


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


def read_files(
    paths: Iterable[str | os.PathLike[str]],
    read_file: Callable[[Path], Mapping[str, StoredTensor]],
) -> dict[str, StoredTensor]:
    """The tensors of one or more files of a checkpoint, by key.

    Args:
        paths: The files.
        read_file: Gives the tensors of one.

    Raises:
        KeraformError: A key that stands in two of them.
    """
    found: dict[str, StoredTensor] = {}
    for path in map(Path, paths):
        for key, tensor in read_file(path).items():
            if key in found:
                raise KeraformError(
                    expected="each key in one file of the checkpoint only",
                    got=f"{key} in {found[key].source} and in {path}",
                    try_next="remove the files that do not belong to this checkpoint",
                )
            found[key] = tensor
    return found
