"""Reading torch's own files (`pytorch_model.bin`), in both of their formats, without torch.

A file of torch's is a pickle that says how its tensors lie in the bytes beside it: in a zip
archive, or, before torch 1.6, behind the pickle. A pickle is a program. So its operations are
looked at before any of them runs, and only those are allowed that build containers and numbers;
what it may call are the few functions below, which describe tensors. Nothing in it is imported, and
the values are mapped from the file when they are asked for.
"""

from __future__ import annotations

import io
import logging
import math
import mmap
import operator
import os
import pickle
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from reprlib import repr  # of what a pickle gives, the whole may have no end
from typing import Any, BinaryIO

import ml_dtypes  # noqa: F401  (makes bfloat16 and float8 known to NumPy)
import numpy as np

from keraform.checkpoints.pickles import check_operations, damage, refuse
from keraform.checkpoints.report import absent_error
from keraform.checkpoints.tensors import StoredTensor, read_files
from keraform.errors import KeraformError

logger = logging.getLogger(__name__)

_MAGIC = 0x1950A86A20F9469CFC6C  # of the older format
_PROTOCOL = 1001
_LARGEST_PICKLE = 2**28  # bytes
_MOST_AXES = 64  # as NumPy has it
_LOCAL_HEADER = struct.Struct("<4s22xHH")  # of a zip archive's entry: signature, lengths of names

_STORAGES = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
    "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128",
    "UntypedStorage": "uint8",
}
_DTYPES = frozenset(
    "float64 float32 float16 bfloat16 int64 int32 int16 int8 uint64 uint32 uint16 uint8 bool "
    "complex64 complex128 float8_e4m3fn float8_e5m2".split()
)


def read_torch_files(paths: Iterable[str | os.PathLike[str]]) -> dict[str, StoredTensor]:
    """The tensors of one or more files of torch's, by key; values are read from the mapped file on
    demand.

    Args:
        paths: The files; a key may stand in one of them only.

    Raises:
        KeraformError: A file that is absent, damaged, or holds something other than tensors by
            name, or a key that stands twice.
    """
    return read_files(paths, _read_file)


def _read_file(path: Path) -> dict[str, StoredTensor]:
    if not path.is_file():
        raise absent_error(path, "file of torch's")
    try:
        state = _Archive(path).load() if zipfile.is_zipfile(path) else _load_older(path)
        return _tensors(path, state)
    except KeraformError:
        raise
    except Exception as error:  # a damaged pickle may fail in any of its operations
        damage(path, f"{type(error).__name__}: {error}"[:500], error)


def _tensors(path: Path, state: Any) -> dict[str, StoredTensor]:
    if not isinstance(state, Mapping):
        refuse(path, f"a {type(state).__name__}")
    found: dict[str, StoredTensor] = {}
    others = []
    for key, value in state.items():
        if isinstance(value, _Tensor):
            found[str(key)] = value.stored(str(key), path)
        elif isinstance(value, Mapping) and any(isinstance(e, _Tensor) for e in value.values()):
            refuse(path, f"tensors below {repr(key)}, as a training's checkpoint has them,")
        else:
            others.append(str(key))
    if others:
        logger.warning("%s: no tensors, so not used: %s", path, ", ".join(others))
    return found


@dataclass(frozen=True)
class _Storage:
    """Bytes of a file, read as numbers of one dtype; `read` gives them."""

    dtype: str
    count: int
    read: Callable[[], np.ndarray]


@dataclass(frozen=True)
class _Tensor:
    """How a tensor lies in a storage."""

    storage: _Storage
    dtype: str
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]

    def __post_init__(self) -> None:
        numbers = (self.offset, *self.size, *self.stride)
        valid = len(self.size) == len(self.stride) <= _MOST_AXES
        if not valid or any(type(n) is not int or not 0 <= n < 2**48 for n in numbers):
            raise ValueError(f"a tensor of size {repr(self.size)} and stride {repr(self.stride)}")
        if 0 in self.size:
            return
        last = self.offset + sum((n - 1) * s for n, s in zip(self.size, self.stride, strict=True))
        if last >= self._count or math.prod(self.size) > self._count:
            raise ValueError(
                f"a tensor of size {self.size} and stride {self.stride} at {self.offset} in "
                f"{self._count} numbers"
            )

    @property
    def _count(self) -> int:
        """How many numbers the storage has of the tensor's dtype."""
        width = np.dtype(self.storage.dtype).itemsize
        return self.storage.count * width // np.dtype(self.dtype).itemsize

    def stored(self, key: str, path: Path) -> StoredTensor:
        """The tensor under its key."""
        return StoredTensor(key, self.size, self.dtype, str(path), self._read)

    def _read(self) -> np.ndarray:
        numbers = self.storage.read().view(self.dtype)
        if 0 in self.size:
            return np.empty(self.size, self.dtype)
        strides = [step * numbers.itemsize for step in self.stride]
        view = np.lib.stride_tricks.as_strided(
            numbers[self.offset :], self.size, strides, writeable=False
        )
        return np.ascontiguousarray(view).reshape(self.size)


# What a pickle may call


def _rebuild(storage: Any, offset: Any, size: Any, stride: Any, *rest: Any) -> _Tensor:
    """`torch._utils._rebuild_tensor` and `_rebuild_tensor_v2`; of what follows, whether there are
    gradients, nothing is needed.
    """
    return _rebuild_as(storage, offset, size, stride, None, None, getattr(storage, "dtype", None))


def _rebuild_as(
    storage: Any, offset: Any, size: Any, stride: Any, gradient: Any, hooks: Any, dtype: Any,
    *rest: Any,
) -> _Tensor:  # fmt: skip
    """`torch._utils._rebuild_tensor_v3`, for dtypes that have no storages of their own."""
    if not isinstance(storage, _Storage) or dtype not in _DTYPES:
        raise ValueError(f"a tensor in {repr(storage)} of dtype {repr(dtype)}")
    return _Tensor(storage, dtype, offset, tuple(size), tuple(stride))


def _size(numbers: Any) -> tuple[int, ...]:
    """`torch.Size`: numbers alone, since the hash of nested tuples may take for ever."""
    return tuple(map(operator.index, numbers))


def _rebuild_parameter(data: Any, *rest: Any) -> Any:
    """`torch._utils._rebuild_parameter`: a parameter is its tensor."""
    if not isinstance(data, _Tensor):
        raise ValueError(f"a parameter of {repr(data)}")
    return data


class _Function:
    """Something that a pickle may call; it cannot change it."""

    __slots__ = ("_call",)

    def __init__(self, call: Callable[..., Any]) -> None:
        object.__setattr__(self, "_call", call)

    def __call__(self, *args: Any) -> Any:
        return self._call(*args)

    def __setattr__(self, name: str, value: Any) -> None:
        raise ValueError(f"a pickle that sets {name}")


_CALLS: dict[tuple[str, str], Callable[..., Any]] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch", "Size"): _size,
    ("torch._utils", "_rebuild_tensor"): _rebuild,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild,
    ("torch._utils", "_rebuild_tensor_v3"): _rebuild_as,
    ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
    ("torch._utils", "_rebuild_parameter_with_state"): _rebuild_parameter,
}


class _Unpickler(pickle.Unpickler):
    """Runs what is allowed.

    Args:
        path: The file, for messages.
        file: At the pickle's first byte.
        storages: Gives the storage of a persistent id.
    """

    def __init__(self, path: Path, file: BinaryIO, storages: Callable[[Any], _Storage]) -> None:
        super().__init__(file, encoding="utf-8")
        self._path = path
        self._storages = storages

    def find_class(self, module: str, name: str) -> Any:
        """What stands for a global name.

        Raises:
            KeraformError: It is not one that tensors need.
        """
        if (module, name) in _CALLS:
            return _Function(_CALLS[module, name])
        if module in ("torch", "torch.storage") and name in _STORAGES:
            return _STORAGES[name]
        if module == "torch" and name in _DTYPES:
            return name
        refuse(self._path, f"{module}.{name}")

    def persistent_load(self, pid: Any) -> _Storage:
        """The storage that a pickle names."""
        return self._storages(pid)


def _unpickle(path: Path, file: BinaryIO, storages: Callable[[Any], _Storage]) -> Any:
    """What the pickle at a file's position gives; the file stands behind it afterwards."""
    start = file.tell()
    check_operations(path, file)
    end = file.tell()
    file.seek(start)
    found = _Unpickler(path, file, storages).load()
    file.seek(end)
    return found


def _no_storages(pid: Any) -> _Storage:
    raise ValueError(f"a storage {repr(pid)} before the tensors")


def _described(pid: Any) -> tuple[str, str, int, Any]:
    """The dtype, key, count and view of a storage's persistent id."""
    kind, dtype, key, _, count, *view = pid
    valid = kind == "storage" and dtype in _DTYPES and isinstance(key, str)
    if not valid or type(count) is not int or count < 0:
        raise ValueError(f"a storage {repr(pid)}")
    return dtype, key, count, view[0] if view else None


class _Archive:
    """A file of torch 1.6 and later: a zip archive, in which nothing is compressed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with zipfile.ZipFile(path) as archive:
            self._entries = archive.infolist()
        names = [each.filename for each in self._entries]
        self._by_name = dict(zip(names, self._entries, strict=True))
        if len(self._by_name) < len(names):
            damage(path, "two entries of one name")
        if any(".." in name.split("/") or name.startswith("/") for name in names):
            refuse(path, "entries that lead out of a directory")
        pickles = [name for name in names if name.count("/") == 1 and name.endswith("/data.pkl")]
        if len(pickles) != 1:
            refuse(path, f"an archive of {len(names)} files, none of them torch's data.pkl,")
        self._folder = pickles[0].removesuffix("data.pkl")
        if f"{self._folder}constants.pkl" in self._by_name:
            refuse(path, "a TorchScript program")
        self._bytes = np.memmap(path, np.uint8, "r")
        order = sorted(self._entries, key=lambda entry: entry.header_offset)
        starts = [*(entry.header_offset for entry in order[1:]), self._bytes.size]
        self._ends = {entry.filename: end for entry, end in zip(order, starts, strict=True)}

    def load(self) -> Any:
        """What was saved."""
        order = f"{self._folder}byteorder"
        if order in self._by_name and bytes(self._entry(order)) != b"little":
            refuse(self._path, "numbers with their high byte first")
        program = self._entry(f"{self._folder}data.pkl")
        if program.size > _LARGEST_PICKLE:
            refuse(self._path, f"a pickle of {program.size} bytes")
        text = io.BytesIO(bytes(program))
        return _unpickle(self._path, text, self._storage)

    def _storage(self, pid: Any) -> _Storage:
        dtype, key, count, _ = _described(pid)
        data = self._entry(f"{self._folder}data/{key}")
        if data.size != count * np.dtype(dtype).itemsize:
            raise ValueError(f"{data.size} bytes for {count} numbers of {dtype} in {key}")
        return _Storage(dtype, count, lambda: data.view(dtype))

    def _entry(self, name: str) -> np.ndarray:
        """The bytes of an entry, mapped."""
        entry = self._by_name.get(name)
        if entry is None:
            raise ValueError(f"no entry {name}")
        if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1:
            raise ValueError(f"{name} is compressed or encrypted, as torch never does")
        header = self._bytes[entry.header_offset : entry.header_offset + _LOCAL_HEADER.size]
        signature, name_length, extra_length = _LOCAL_HEADER.unpack(bytes(header))
        start = entry.header_offset + _LOCAL_HEADER.size + name_length + extra_length
        if start + entry.file_size > self._ends[name]:
            raise ValueError(f"{name} overlaps the entry behind it")
        data = self._bytes[start : start + entry.file_size]
        if signature != b"PK\x03\x04" or data.size != entry.file_size:
            raise ValueError(f"{name} does not lie where the archive says")
        return data


def _mapped(path: Path) -> Any:
    """The beginning of a file, in which its pickles are, as an open file."""
    with path.open("rb") as file:
        length = min(path.stat().st_size, _LARGEST_PICKLE)
        return mmap.mmap(file.fileno(), length, access=mmap.ACCESS_READ)


def _load_older(path: Path) -> Any:
    """What was saved by a torch before 1.6: pickles, and behind them the storages."""
    if not path.stat().st_size:
        damage(path, "an empty file")
    mapped = np.memmap(path, np.uint8, "r")
    found: dict[str, _Storage] = {}
    places: dict[str, int] = {}  # where a storage's numbers begin; known after the last pickle

    def storage(pid: Any) -> _Storage:
        dtype, key, count, view = _described(pid)
        if view is not None:
            raise ValueError("a storage that is part of another")
        width = np.dtype(dtype).itemsize

        def read() -> np.ndarray:
            start = places[key]
            return np.frombuffer(mapped[start : start + count * width].tobytes(), dtype)

        known = found.setdefault(key, _Storage(dtype, count, read))
        if (known.dtype, known.count) != (dtype, count):
            raise ValueError(f"two storages {key}")
        return known

    if bytes(mapped[:2]) == b"PK":
        damage(path, "a zip archive without its end")
    # the pickles are in front; what they read is bounded, whatever lengths they state
    with _mapped(path) as file:
        if _unpickle(path, file, _no_storages) != _MAGIC:
            damage(path, "neither a zip archive nor torch's older format")
        if _unpickle(path, file, _no_storages) != _PROTOCOL:
            damage(path, "an unknown version of torch's older format")
        if not _unpickle(path, file, _no_storages).get("little_endian", True):
            refuse(path, "numbers with their high byte first")
        state = _unpickle(path, file, storage)
        keys = _unpickle(path, file, _no_storages)
        position = file.tell()
    if not all(isinstance(key, str) for key in keys) or sorted(keys) != sorted(found):
        raise ValueError("storages that are named and not there, or there and not named")
    for key in keys:
        stated = int.from_bytes(mapped[position : position + 8].tobytes(), "little", signed=True)
        if stated != found[key].count:
            raise ValueError(f"{stated} numbers in storage {key}, not {found[key].count}")
        places[key] = position + 8
        position += 8 + stated * np.dtype(found[key].dtype).itemsize
    if position > mapped.size:
        raise ValueError(f"{position - mapped.size} bytes are missing")
    return state
