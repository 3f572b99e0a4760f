"""Reading and writing safetensors files, whole or in shards, without torch."""

from __future__ import annotations

import functools
import json
import math
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import ml_dtypes  # noqa: F401  (makes bfloat16 and float8 known to NumPy)
import numpy as np

from keraform.checkpoints.atomic import as_open_makes, replaced_together
from keraform.checkpoints.json_files import read_object
from keraform.checkpoints.keras2_names import by_torch_keys, full_name
from keraform.checkpoints.report import absent_error, damaged_error
from keraform.checkpoints.safetensors_header import check_header
from keraform.checkpoints.tensors import StoredTensor, mapped, read_files
from keraform.errors import KeraformError

WEIGHTS_NAME = "model.safetensors"
INDEX_NAME = "model.safetensors.index.json"

_DTYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U64": "uint64",
    "U32": "uint32",
    "U16": "uint16",
    "U8": "uint8",
    "BOOL": "bool",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
}
_UNITS = {
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KIB": 2**10,
    "MIB": 2**20,
    "GIB": 2**30,
}
_SHARD = re.compile(r"model-\d{5}-of-\d{5}\.safetensors")


def read_safetensors(paths: Iterable[str | os.PathLike[str]]) -> dict[str, StoredTensor]:
    """The tensors of one or more files, by key; values are read from the mapped file on demand.
    Files of Transformers v4's TensorFlow classes have other names and layouts; their tensors come
    under PyTorch's keys and in its layout, too.

    Args:
        paths: The files; a key may stand in one of them only.

    Raises:
        KeraformError: A file that is cut off, damaged or absent, or a key that stands twice.
    """
    found = read_files(paths, _read_file)
    return by_torch_keys(found) if any(each.keras2 for each in found.values()) else found


def _read_file(path: Path) -> dict[str, StoredTensor]:
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise absent_error(path, "safetensors file")
    try:
        offsets = check_header(path)
        handle = safe_open(path, framework="numpy")
        keys = list(handle.keys())
    except (SafetensorError, OSError, MemoryError, ValueError, RecursionError) as error:
        raise damaged_error(path, "complete safetensors file", error) from error

    keras2 = (handle.metadata() or {}).get("format") == "tf"

    def tensor(key: str) -> StoredTensor:
        view = handle.get_slice(key)
        dtype = _DTYPES.get(view.get_dtype())
        if dtype is None:
            raise KeraformError(
                expected=f"one of the dtypes {', '.join(_DTYPES)}",
                got=f"{key} of dtype {view.get_dtype()} in {path}",
                try_next="save the checkpoint in float32, float16 or bfloat16",
            )
        name, shape = full_name(key) if keras2 else key, tuple(view.get_shape())

        def values(offset: int, shape: tuple[int, ...]) -> np.ndarray:
            try:
                return mapped(path, np.dtype(dtype), offset, shape)
            except (OSError, ValueError) as error:  # another file by now, or none
                raise damaged_error(path, "complete safetensors file", error) from error

        def rows(start: int, stop: int) -> np.ndarray:
            size = math.prod(shape[1:]) * np.dtype(dtype).itemsize
            return values(offsets[key] + start * size, (stop - start, *shape[1:]))

        read = functools.partial(values, offsets[key], shape)
        return StoredTensor(name, shape, dtype, str(path), read, keras2, rows)

    return {key: tensor(key) for key in keys}


def read_index(path: str | os.PathLike[str]) -> dict[str, str]:
    """The file of each key, from the index of a checkpoint in shards.

    Args:
        path: The file, such as `model.safetensors.index.json`.

    Raises:
        KeraformError: It is not JSON, or has no such map.
    """
    found = read_object(Path(path)).get("weight_map")
    valid = isinstance(found, dict) and all(isinstance(name, str) for name in found.values())
    if not found or not valid:
        raise KeraformError(
            expected='an index with a "weight_map" from key to file name',
            got=f"{path}, whose weight_map is {str(found)[:200]}",
            try_next="download the checkpoint again, or save it again with save_pretrained",
        )
    return found


def write_safetensors(
    folder: str | os.PathLike[str],
    tensors: Mapping[str, StoredTensor],
    max_shard_size: int | str = "50GB",
) -> list[Path]:
    """Writes a checkpoint as `transformers` does, in one file or in shards with an index.

    Args:
        folder: An existing directory.
        tensors: The tensors in the order in which they are to be written, in PyTorch's layout.
        max_shard_size: The size in bytes, or with a unit ("5GB"), that no file shall pass.

    Returns:
        The files written.
    """
    folder = Path(folder)
    with replaced_together(folder, is_weights) as new:
        names = write_shards(new, tensors, max_shard_size)
    return [folder / name for name in names]


def write_shards(
    folder: Path, tensors: Mapping[str, StoredTensor], max_shard_size: int | str = "50GB"
) -> list[str]:
    """Writes a checkpoint into an empty directory; the names of its files.

    Args:
        folder: The directory.
        tensors: See `write_safetensors`.
        max_shard_size: See `write_safetensors`.
    """
    shards = _shards(tensors, byte_count(max_shard_size))
    names = [WEIGHTS_NAME]
    if len(shards) > 1:
        names = [f"model-{n + 1:05d}-of-{len(shards):05d}.safetensors" for n in range(len(shards))]
    for name, keys in zip(names, shards, strict=True):
        write_file(folder / name, {key: tensors[key] for key in keys})
    if len(shards) == 1:
        return names
    index = {
        "metadata": {"total_size": sum(tensor.nbytes for tensor in tensors.values())},
        "weight_map": {k: n for n, keys in zip(names, shards, strict=True) for k in keys},
    }
    text = json.dumps(index, indent=2, sort_keys=True) + "\n"
    (folder / INDEX_NAME).write_text(text, encoding="utf-8")
    return [*names, INDEX_NAME]


def is_weights(name: str) -> bool:
    """Whether a file of this name would be read together with a new checkpoint, or instead of it.

    Args:
        name: Without a directory.
    """
    return name in (WEIGHTS_NAME, INDEX_NAME) or _SHARD.fullmatch(name) is not None


def write_file(file: Path, tensors: Mapping[str, StoredTensor]) -> None:
    """Writes one file.

    Args:
        file: Where.
        tensors: The tensors, in PyTorch's layout.

    Raises:
        OSError: There is no room, or no right to write.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    arrays = {key: np.ascontiguousarray(tensor.read()) for key, tensor in tensors.items()}
    # ascontiguousarray makes a vector of a scalar
    arrays = {key: value.reshape(tensors[key].shape) for key, value in arrays.items()}
    try:
        save_file(arrays, file, metadata={"format": "pt"})
    except SafetensorError as error:
        raise OSError(f"{file.name}: {error}") from error
    as_open_makes(file)


def byte_count(size: int | str) -> int:
    """`5GB` -> 5000000000; a number stays what it is.

    Args:
        size: A number of bytes, or a number with one of the units KB, MB, GB, TB, KiB, MiB, GiB.
    """
    if isinstance(size, int):
        return size
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]+)\s*", size)
    if match is None or match[2].upper() not in _UNITS:
        raise KeraformError(
            expected='a size such as 5000000000 or "5GB"',
            got=f"max_shard_size={size!r}",
            try_next='save_pretrained(..., max_shard_size="5GB")',
        )
    return int(float(match[1]) * _UNITS[match[2].upper()])


def _shards(tensors: Mapping[str, StoredTensor], limit: int) -> list[list[str]]:
    shards: list[list[str]] = [[]]
    filled = 0
    for key, tensor in tensors.items():
        if shards[-1] and filled + tensor.nbytes > limit:
            shards.append([])
            filled = 0
        shards[-1].append(key)
        filled += tensor.nbytes
    return shards
