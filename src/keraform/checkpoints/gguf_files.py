"""Reading GGUF files, the form in which llama.cpp keeps models, without torch.

The `gguf` package reads and dequantises them. What the file says of its model becomes a
configuration, and its tensors get PyTorch's keys, by the tables of `transformers`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from keraform.checkpoints.report import absent_error
from keraform.checkpoints.tensors import StoredTensor
from keraform.errors import KeraformError
from keraform.runtime.tree import named_weights


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
        from gguf import GGUFReader

        reader = GGUFReader(str(path))
        architecture = upstream.read_field(reader, "general.architecture")[0]
        known = upstream.TENSOR_PROCESSORS.get(architecture, upstream.TensorProcessor)
        processor = known(config=model.config.to_dict())
        keys = upstream.get_gguf_hf_weights_map(_names_of(model), processor)
        tensors = [_stored(each, processor, keys, path) for each in reader.tensors]
    return {tensor.key: tensor for tensor in tensors}


def _names_of(model: Any) -> Any:
    """What upstream's table asks of a model: its keys and its configuration."""
    keys = {weight.key: None for weight in named_weights(model)}
    return SimpleNamespace(config=model.config, state_dict=lambda: keys, named_children=lambda: [])


def _stored(
    tensor: Any, processor: Any, keys: dict[str, str], path: str | os.PathLike[str]
) -> StoredTensor:
    shape = tuple(int(size) for size in reversed(tensor.shape))

    def processed(values: np.ndarray) -> Any:
        found = processor.process(
            weights=values, name=tensor.name, tensor_key_mapping=keys, parsed_parameters={}
        )
        if found.name is None:  # several experts, which upstream takes apart with torch
            raise KeraformError(
                expected="a GGUF file of which each tensor is one of the model's",
                got=f"{tensor.name} in {path}, which holds several",
                try_next="the checkpoint of the same model in safetensors",
            )
        return found

    def read() -> np.ndarray:
        from gguf import dequantize

        return np.ascontiguousarray(processed(dequantize(tensor.data, tensor.tensor_type)).weights)

    # what is done to a tensor may change its name and its shape; to find out, no values are needed
    empty = processed(np.broadcast_to(np.float32(0), shape))
    key = keys.get(empty.name, tensor.name)
    return StoredTensor(key, tuple(empty.weights.shape), "float32", str(path), read)


@contextmanager
def _upstream(path: Path) -> Iterator[Any]:
    """Transformers' tables of GGUF. They ask for torch before they know whether they need it; for
    names and configurations they do not.
    """
    if not path.is_file():
        raise absent_error(path, "GGUF file")
    try:
        import gguf  # noqa: F401
    except ImportError as error:
        raise KeraformError(
            expected=f"the package gguf, which reads {path.name}",
            got="no such package",
            try_next="pip install gguf",
        ) from error
    from transformers import modeling_gguf_pytorch_utils as upstream

    asks: Callable[[], bool] = upstream.is_torch_available
    upstream.is_torch_available = lambda: True
    try:
        yield upstream
    except KeraformError:
        raise
    except Exception as error:  # a damaged file may fail anywhere
        raise KeraformError(
            expected="a complete GGUF file of an architecture that transformers knows",
            got=f"{path} ({path.stat().st_size} bytes): {type(error).__name__}: {error}",
            try_next="download it again, or the checkpoint of the same model in safetensors",
        ) from error
    finally:
        upstream.is_torch_available = asks
