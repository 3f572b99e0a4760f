"""Values of a file as a backend's tensors: one copy, transposed on the way, several at a time."""

from __future__ import annotations

import math
import mmap
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np

from keraform.checkpoints.tensors import StoredTensor
from keraform.runtime.tree import TorchWeight, inverse_axes

_ALIGNMENT = 64  # bytes; what TensorFlow and JAX take over as it lies
_LARGE = 2**20  # bytes, from which on memory comes from the system and goes back to it
_ROWS = 64  # transposed at a time, so that what is read and what is written stay in the cache


def placed(
    pairs: Iterable[tuple[TorchWeight, StoredTensor]],
) -> Iterator[tuple[TorchWeight, object]]:
    """Each weight with its value, a tensor in the variable's layout and dtype and in memory of its
    own.

    Args:
        pairs: The weights and what belongs to them, in PyTorch's layout.
    """
    pairs = list(pairs)
    with ThreadPoolExecutor() as pool:  # NumPy copies without Python's lock
        arrays = pool.map(lambda pair: _copied(*pair), pairs)
        for (weight, _), array in zip(pairs, arrays, strict=True):
            yield weight, keras.ops.cast(_taken_over(array), weight.variable._dtype)


def _copied(weight: TorchWeight, tensor: StoredTensor) -> np.ndarray:
    """The values in Keras's layout, contiguous in memory of their own."""
    axes = tuple(range(len(tensor.shape))) if weight.axes is None else weight.axes
    dtype = _dtype_on_the_way(np.dtype(tensor.dtype), weight.variable._dtype)
    memory = _memory(math.prod(tensor.shape) * dtype.itemsize).view(dtype)
    copy = memory.reshape([tensor.shape[axis] for axis in axes])
    torchs = copy.transpose(inverse_axes(axes))
    if not axes:
        torchs[...] = tensor.read()
        return copy
    row = 0
    for block in tensor.blocks():
        step = len(block) if weight.axes is None else _ROWS
        for part in (block[at : at + step] for at in range(0, len(block), step)):
            torchs[row : row + len(part)] = part
            row += len(part)
    return copy


def _dtype_on_the_way(stored: np.dtype, wanted: str) -> np.dtype:
    """What values are copied as; the backend makes the rest of the way, which is faster."""
    is_float = keras.backend.is_float_dtype(stored.name)
    if stored.itemsize == 8 or is_float != keras.backend.is_float_dtype(wanted):
        return np.dtype(wanted)  # JAX would cut 64 bits with a warning
    return stored


def _memory(size: int) -> np.ndarray:
    """So many bytes, aligned."""
    if size >= _LARGE and hasattr(mmap, "MAP_PRIVATE"):
        # past NumPy, for which the kernel would put huge pages together first
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
        return np.frombuffer(mmap.mmap(-1, size, flags=flags), np.uint8)
    memory = np.empty(size + _ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    return memory[start : start + size]


def _taken_over(array: np.ndarray) -> object:
    """A tensor over the memory of an aligned array that nobody else holds."""
    if keras.backend.backend() != "tensorflow" or array.dtype == bool:
        return keras.ops.convert_to_tensor(array)  # without a copy on JAX
    import tensorflow as tf

    # TensorFlow's own conversion copies twice; DLPack does not know of bfloat16
    numbers = array.view(f"u{array.dtype.itemsize}")
    return tf.bitcast(tf.experimental.dlpack.from_dlpack(numbers.__dlpack__()), array.dtype.name)
