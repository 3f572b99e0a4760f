"""Reading GGUF files, the form in which llama.cpp keeps models, without torch.

The `gguf` package reads and dequantises them. What the file says of its model becomes a
configuration, and its tensors get PyTorch's keys, by the tables of `transformers`.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from keraform.checkpoints.report import absent_error, damaged_error
from keraform.checkpoints.tensors import StoredTensor
from keraform.errors import KeraformError
from keraform.runtime.tree import named_weights

_EXPERTS = re.compile(r"(?P<name>.*\.ffn_(?P<part>gate|up|down)_exps)\.weight")
_PARTS = ("gate", "up", "down")  # of experts, in the order of the rows
_MOST_PARTS = 2**22  # values of fields and descriptions of tensors; vocabularies have 2**21


def read_gguf_config(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The fields of the configuration that a file tells of, with its `model_type`.

    Args:
        path: The file.

    Raises:
        KeraformError: The file is damaged, or of an architecture that `transformers` does not know,
            or the `gguf` package is missing.
    """
    with _upstream(Path(path)) as upstream:
        return dict(upstream.load_gguf_checkpoint(str(path))["config"])


def read_gguf(path: str | os.PathLike[str], model: Any) -> dict[str, StoredTensor]:
    """The tensors of a file under a model's PyTorch keys, dequantised to float32 when they are
    asked for; those that have no counterpart there keep their names.

    Args:
        path: The file.
        model: The model to be loaded.

    Raises:
        KeraformError: As for `read_gguf_config`.
    """
    with _upstream(Path(path)) as upstream:
        reader = _reader_class()(str(path))
        _check_places(reader)
        architecture = upstream.read_field(reader, "general.architecture")[0]
        known = upstream.TENSOR_PROCESSORS.get(architecture, upstream.TensorProcessor)
        processor = known(config=model.config.to_dict())
        keys = upstream.get_gguf_hf_weights_map(_names_of(model), processor)
        experts, others = _experts(reader.tensors, keys)
        tensors = [_stored(each, processor, keys, path) for each in others]
        tensors += [_merged(key, parts, path) for key, parts in experts.items()]
    return {tensor.key: tensor for tensor in tensors}


@functools.cache
def _reader_class() -> type:
    """The `gguf` package's reader, which takes counts and lengths as a file states them, with an
    eye on the file's end and on how much it collects.
    """
    import gguf

    class Reader(gguf.GGUFReader):  # type: ignore[misc]
        _parts = 0

        def _get(
            self, offset: int, dtype: Any, count: int = 1, override_order: str | None = None
        ) -> np.ndarray:
            self._parts += 1
            if self._parts > _MOST_PARTS:
                raise ValueError(f"more than {_MOST_PARTS} values that are no tensors")
            number = np.dtype(dtype)
            start, end = int(offset), int(offset) + int(count) * number.itemsize
            if end > self.data.size:
                raise ValueError(f"{int(count)} values at {start}, where the file has no more")
            ordered = number.newbyteorder(override_order or self.byte_order)
            return np.asarray(self.data)[start:end].view(ordered)  # slices of memmaps are slow

        def _get_field_parts(self, offset: int, kind: int) -> Any:
            if kind == gguf.GGUFValueType.ARRAY:
                length = int(self._get(offset + 4, np.uint64)[0])
                if length > min(_MOST_PARTS, self.data.size):
                    raise ValueError(f"an array of {length} values at {int(offset)}")
            return super()._get_field_parts(offset, kind)

    return Reader


def _check_places(reader: Any) -> None:
    """Two tensors in one place, or one in the file's head, would be read as they lie."""
    end = int(reader.data_offset)
    for tensor in sorted(reader.tensors, key=lambda each: (each.data_offset, each.n_bytes)):
        if tensor.data_offset < end:
            raise ValueError(f"{tensor.name} begins at {tensor.data_offset}, before {end}")
        end = tensor.data_offset + tensor.n_bytes


def _names_of(model: Any) -> Any:
    """What upstream's table asks of a model: its keys and its configuration."""
    keys = {weight.key: None for weight in named_weights(model)}
    return SimpleNamespace(config=model.config, state_dict=lambda: keys, named_children=lambda: [])


def _experts(
    tensors: list[Any], keys: dict[str, str]
) -> tuple[dict[str, dict[str, Any]], list[Any]]:
    """The stacked weights of experts, by the model's key and by part; and the other tensors."""
    experts: dict[str, dict[str, Any]] = {}
    others = []
    for tensor in tensors:
        match = _EXPERTS.fullmatch(tensor.name)
        if match is not None and match["name"] in keys:
            experts.setdefault(keys[match["name"]], {})[match["part"]] = tensor
        else:
            others.append(tensor)
    return experts, others


def _merged(key: str, parts: dict[str, Any], path: str | os.PathLike[str]) -> StoredTensor:
    """The experts' weight: of the way down alone, or those of gate and way up, one below the
    other, as the model keeps them.
    """
    found = [parts[part] for part in _PARTS if part in parts]
    shapes = [_shape(tensor) for tensor in found]
    if len({shape[:1] + shape[2:] for shape in shapes}) > 1:
        raise ValueError(f"{' and '.join(tensor.name for tensor in found)}: {shapes}")
    count, _, *rest = shapes[0]
    shape = (count, sum(shape[1] for shape in shapes), *rest)

    def read() -> np.ndarray:
        return np.concatenate([_values(tensor) for tensor in found], axis=1)

    return StoredTensor(key, shape, "float32", str(path), read)


def _stored(
    tensor: Any, processor: Any, keys: dict[str, str], path: str | os.PathLike[str]
) -> StoredTensor:
    def processed(values: np.ndarray) -> Any:
        return processor.process(
            weights=values, name=tensor.name, tensor_key_mapping=keys, parsed_parameters={}
        )

    def read() -> np.ndarray:
        return np.ascontiguousarray(processed(_values(tensor)).weights)

    # what is done to a tensor may change its name and its shape; to find out, no values are needed
    empty = processed(np.broadcast_to(np.float32(0), _shape(tensor)))
    key = keys.get(empty.name, tensor.name)
    return StoredTensor(key, tuple(empty.weights.shape), "float32", str(path), read)


def _shape(tensor: Any) -> tuple[int, ...]:
    """As PyTorch has it; the file counts axes from the other end."""
    return tuple(int(size) for size in reversed(tensor.shape))


def _values(tensor: Any) -> np.ndarray:
    from gguf import dequantize

    return dequantize(tensor.data, tensor.tensor_type)


@contextmanager
def _upstream(path: Path) -> Iterator[Any]:
    """Transformers' tables of GGUF. They ask for torch before they know whether they need it; for
    names and configurations they do not.
    """
    if not path.is_file():
        raise absent_error(path, "GGUF file")
    try:
        import gguf
    except ImportError as error:
        raise KeraformError(
            expected=f"the package gguf, which reads {path.name}",
            got="no such package",
            try_next="pip install gguf",
        ) from error
    from transformers import modeling_gguf_pytorch_utils as upstream

    careful = _replaced(gguf, GGUFReader=_reader_class())
    try:
        with careful, _replaced(upstream, is_torch_available=lambda: True):
            yield upstream
    except KeraformError:
        raise
    except Exception as error:  # a damaged file may fail anywhere
        what = f"{type(error).__name__}: {error}"
        form = "complete GGUF file of an architecture that transformers knows"
        raise damaged_error(path, form, what) from error


@contextmanager
def _replaced(module: ModuleType, **names: Any) -> Iterator[None]:
    """Lets a module have something else under its names."""
    before = {name: vars(module)[name] for name in names}
    vars(module).update(names)
    try:
        yield
    finally:
        vars(module).update(before)
