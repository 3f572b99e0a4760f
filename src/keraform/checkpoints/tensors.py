"""A tensor of a checkpoint: its key, shape and dtype at once, its values on demand."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
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
