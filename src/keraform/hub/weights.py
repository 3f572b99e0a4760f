"""Which files of a repository hold its weights."""

from __future__ import annotations

from pathlib import Path

from keraform.checkpoints.safetensors_files import (
    INDEX_NAME,
    PICKLE_NAMES,
    WEIGHTS_NAME,
    read_index,
)
from keraform.errors import KeraformError
from keraform.hub.resolve import Repository

_KERAS2_NAMES = ("tf_model.h5", "tf_model.h5.index.json")


def find_weights(source: Repository, use_safetensors: bool | None = None) -> list[Path]:
    """The safetensors files of a checkpoint, one or several.

    Args:
        source: The directory or repository.
        use_safetensors: None or True.

    Raises:
        KeraformError: There are no weights, or only in a form that is not read.
    """
    if use_safetensors is False:
        raise KeraformError(
            expected="weights in safetensors files",
            got="use_safetensors=False",
            try_next="from_pretrained(...) without use_safetensors",
        )
    whole = source.find(WEIGHTS_NAME)
    if whole is not None:
        return [whole]
    index = source.find(INDEX_NAME)
    if index is not None:
        return [_shard(source, name) for name in sorted(set(read_index(index).values()))]
    raise _no_weights(source)


def _shard(source: Repository, name: str) -> Path:
    path = source.find(name)
    if path is None:
        raise KeraformError(
            expected=f"{name} beside {INDEX_NAME}, which names it",
            got=f"{source.name} without that file",
            try_next="download the checkpoint again, with all of its files",
        )
    return path


def _no_weights(source: Repository) -> KeraformError:
    pickled = next((name for name in PICKLE_NAMES if source.find(name) is not None), None)
    if pickled is not None:
        return KeraformError(
            expected=f"{WEIGHTS_NAME} in {source.name}",
            got=f"{pickled}: pickled weights, which are read by torch only",
            try_next="AutoModel.from_pretrained(...).save_pretrained(...) of transformers, once "
            "and with torch; it writes safetensors",
        )
    old = next((name for name in _KERAS2_NAMES if source.find(name) is not None), None)
    return KeraformError(
        expected=f"{WEIGHTS_NAME} (or {INDEX_NAME}) in {source.name}",
        got=f"{old}: weights of the old TensorFlow classes" if old else "no weights file",
        try_next="a checkpoint that transformers saved, or from_config for random weights",
    )
