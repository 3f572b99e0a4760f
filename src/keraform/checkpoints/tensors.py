"""A tensor of a checkpoint: its key, shape and dtype at once, its values on demand."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from keraform.errors import KeraformError

_BLOCK = 2**23  # bytes of a tensor that are read at a time


@dataclass(frozen=True)
class StoredTensor:
    """One tensor of a checkpoint, in PyTorch's layout.

    Args:
        key: The name in the file.
        shape: The shape in the file.
        dtype: The dtype's name, as NumPy (with ml_dtypes) spells it.
        source: The file it lies in, for messages.
        read: Gives the values.
        keras2: Whether a TensorFlow class of Transformers v4 wrote it. Axes of size 1 may then be
            taken out or put in, which moves no value, and what layers share lies there for each.
        rows: Gives the values from one row to another, where a part can be read alone.
    """

    key: str
    shape: tuple[int, ...]
    dtype: str
    source: str
    read: Callable[[], np.ndarray]
    keras2: bool = False
    rows: Callable[[int, int], np.ndarray] | None = None

    @property
    def nbytes(self) -> int:
        """The size of the values."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize

    def blocks(self) -> Iterator[np.ndarray]:
        """The values, some rows at a time where the file allows it."""
        if self.rows is None or self.nbytes <= _BLOCK:
            yield self.read()
            return
        count = max(1, _BLOCK * self.shape[0] // self.nbytes)
        for row in range(0, self.shape[0], count):
            yield self.rows(row, min(row + count, self.shape[0]))

    def fitted(self, shape: tuple[int, ...]) -> StoredTensor:
        """The tensor with the axes of size 1 that `shape` has, where that is allowed and all that
        they differ in; else itself.

        Args:
            shape: The shape that is wanted.
        """
        if self.shape == shape or not self.keras2 or _units_out(self.shape) != _units_out(shape):
            return self
        return replace(self, shape=shape, read=lambda: self.read().reshape(shape), rows=None)


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


def mapped(path: Path, dtype: np.dtype, offset: int, shape: tuple[int, ...]) -> np.ndarray:
    """Values of a file, in a mapping of their own: when they are let go, the memory is free again.

    Args:
        path: The file.
        dtype: Of the values.
        offset: Where they begin, in bytes.
        shape: Of the tensor.

    Raises:
        OSError, ValueError: The file is another by now, or gone.
    """
    size = math.prod(shape)
    if not size:
        return np.zeros(shape, dtype)
    return np.asarray(np.memmap(path, dtype, "c", offset, (size,))).reshape(shape)


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
        for tensor in read_file(path).values():
            keep(found, tensor)
    return found


def keep(found: dict[str, StoredTensor], tensor: StoredTensor) -> None:
    """Puts a tensor among others, by its key.

    Args:
        found: The others.
        tensor: The tensor.

    Raises:
        KeraformError: There is another of that key. Of Transformers v4's TensorFlow classes only
            one that differs is another.
    """
    known = found.setdefault(tensor.key, tensor)
    if known is tensor or (tensor.keras2 and _equal(known, tensor)):
        return
    raise KeraformError(
        expected="each key in one file of the checkpoint only",
        got=f"{tensor.key} in {known.source} and in {tensor.source}",
        try_next="remove the files that do not belong to this checkpoint",
    )


def _equal(one: StoredTensor, other: StoredTensor) -> bool:
    return one.shape == other.shape and np.array_equal(one.read(), other.read())
