"""Reading `tf_model.h5`, the HDF5 files that Transformers v4's TensorFlow classes wrote.

A whole file has a group for each layer of the model, which lists its variables; a shard has the
variables themselves. Only what v4 wrote is read: values that lie in this very file, unpacked.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from keraform.checkpoints.keras2_names import by_torch_keys, full_name
from keraform.checkpoints.report import absent_error, damaged_error
from keraform.checkpoints.tensors import StoredTensor, keep, mapped, read_files
from keraform.errors import KeraformError

TOP_LEVEL = "top_level_model_weights"
_DTYPES = frozenset({"float64", "float32", "float16", "int64", "int32", "int16", "int8", "bool"})


def read_keras2(paths: Iterable[str | os.PathLike[str]]) -> dict[str, StoredTensor]:
    """The tensors of one or more files by PyTorch's keys and in its layout; values are read on
    demand.

    Args:
        paths: The files; a key may stand in one of them only.

    Raises:
        KeraformError: A file that is absent, damaged, not v4's or reads from other files, or a key
            that stands twice.
    """
    return by_torch_keys(read_files(paths, _read_file))


def _read_file(path: Path) -> dict[str, StoredTensor]:
    import h5py

    if not path.is_file():
        raise absent_error(path, "file of Transformers v4's TensorFlow classes")
    try:
        found: dict[str, StoredTensor] = {}
        with h5py.File(path, "r") as file:
            for name, dataset in _variables(path, file):
                keep(found, _stored(path, name, dataset))
        return found
    except KeraformError:
        raise
    except Exception as error:  # HDF5 finds out about damage anywhere
        _damaged(path, f"{type(error).__name__}: {error}", error)


def _variables(path: Path, file: Any) -> Iterator[tuple[str, Any]]:
    """The full names of the variables, and their datasets."""
    import h5py

    layers = _names(file, "layer_names")
    if layers is None:
        _foreign(path, f"{sorted(file)[:4]} and no layer_names")
    if TOP_LEVEL in file:  # the model's own, outside of its layers
        layers.append(TOP_LEVEL)
    for layer in layers:
        inside = _inside(path, file, layer)
        if isinstance(inside, h5py.Dataset):
            yield full_name(layer), inside
            continue
        weights = _names(inside, "weight_names")
        if weights is None:
            _foreign(path, f"a layer {layer} without weight_names")
        for name in weights:
            yield name, _inside(path, inside, name)


def _names(group: Any, attribute: str) -> list[str] | None:
    """A list of names; Keras spread long ones over `layer_names0`, `layer_names1` and so on."""
    parts = [attribute] if attribute in group.attrs else []
    while not parts[:1] == [attribute] and f"{attribute}{len(parts)}" in group.attrs:
        parts.append(f"{attribute}{len(parts)}")
    if not parts:
        return None
    names = [name for part in parts for name in group.attrs[part]]
    return [name.decode() if isinstance(name, bytes) else str(name) for name in names]


def _inside(path: Path, group: Any, name: str) -> Any:
    """What lies at a name, by links that stay in the file."""
    import h5py

    for part in name.split("/"):
        link = group.get(part, getlink=True) if isinstance(group, h5py.Group) else None
        if link is None:
            _damaged(path, f"{name} is listed and not there")
        if not isinstance(link, h5py.HardLink):
            _refused(path, name, f"a {type(link).__name__}")
        group = group[part]
    return group


def _stored(path: Path, name: str, dataset: Any) -> StoredTensor:
    import h5py

    if not isinstance(dataset, h5py.Dataset):
        _damaged(path, f"{name} is not a tensor")
    if dataset.external or dataset.is_virtual:
        _refused(path, name, "values in another file")
    if dataset.chunks is not None:
        _refused(path, name, "values in chunks or packed")
    dtype, shape, offset = dataset.dtype, tuple(dataset.shape), dataset.id.get_offset()
    if dtype.name not in _DTYPES:
        _damaged(path, f"{name} of dtype {dtype}")
    if dataset.id.get_storage_size() != dataset.nbytes or offset is None:
        _damaged(path, f"{name} of shape {shape} without its values")

    def read() -> np.ndarray:
        try:
            values = mapped(path, dtype, offset, shape)
        except Exception as error:
            _damaged(path, f"{name}: {error}", error)
        return np.asarray(values, dtype.newbyteorder("="))

    return StoredTensor(name, shape, dtype.name, str(path), read, True)


def _damaged(path: Path, what: str, cause: Exception | None = None) -> NoReturn:
    form = "complete HDF5 file that a TensorFlow class of Transformers v4 has saved"
    raise damaged_error(path, form, what) from cause


def _foreign(path: Path, what: str) -> NoReturn:
    raise KeraformError(
        expected="the layout of Transformers v4: layer_names, and weight_names for each layer",
        got=f"{path} with {what}, as Keras 3 or another tool writes it",
        try_next="keras.models.load_model for a file of Keras's, or the checkpoint in safetensors",
    )


def _refused(path: Path, name: str, what: str) -> NoReturn:
    raise KeraformError(
        expected="tensors whose values lie in the file, unpacked, as v4 wrote them",
        got=f"{name} in {path}: {what}",
        try_next="another source of this checkpoint; nothing outside of the file is read",
    )
