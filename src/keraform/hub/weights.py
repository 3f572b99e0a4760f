"""Which files of a repository hold its weights, and what is in them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from keraform.checkpoints.keras2_files import read_keras2
from keraform.checkpoints.safetensors_files import (
    INDEX_NAME,
    WEIGHTS_NAME,
    read_index,
    read_safetensors,
)
from keraform.checkpoints.tensors import StoredTensor
from keraform.checkpoints.torch_files import read_torch_files
from keraform.errors import KeraformError
from keraform.hub.resolve import Repository

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Format:
    """A form that weights come in.

    Args:
        whole: The file's name.
        index: The name of the file that names the shards.
        read: Gives the tensors of files by key.
    """

    whole: str
    index: str
    read: Callable[[Iterable[Path]], dict[str, StoredTensor]]


# The first that a repository has is read, as `transformers` does; what v4's TensorFlow classes
# wrote comes last, unless it is in safetensors.
SAFETENSORS = Format(WEIGHTS_NAME, INDEX_NAME, read_safetensors)
TORCH = Format("pytorch_model.bin", "pytorch_model.bin.index.json", read_torch_files)
KERAS2 = Format("tf_model.h5", "tf_model.h5.index.json", read_keras2)
_ALL = (SAFETENSORS, TORCH, KERAS2)
# What is read where it lies beside `tf_model.h5`.
FIRST_READ = tuple(name for each in (SAFETENSORS, TORCH) for name in (each.whole, each.index))


def read_weights(
    source: Repository, use_safetensors: bool | None = None, from_tf: bool = False
) -> dict[str, StoredTensor]:
    """The tensors of a checkpoint, by key; values are read on demand.

    Args:
        source: The directory or repository.
        use_safetensors: True or False: only that form, or only torch's own files; None: safetensors
            where there are any, else torch's own files, else those of the old TensorFlow classes.
        from_tf: Only the files of the old TensorFlow classes (`tf_model.h5`).

    Raises:
        KeraformError: There are no weights, or only in a form that is not read; a damaged file.
    """
    forms = {None: _ALL, True: (SAFETENSORS,), False: (TORCH,)}[use_safetensors]
    if from_tf:
        forms = (KERAS2,)
    for form in forms:
        paths = _files(source, form)
        if paths:
            _say_what_wins(source, form)
            return form.read(paths)
    raise _no_weights(source, forms)


def _files(source: Repository, form: Format) -> list[Path]:
    whole = source.find(form.whole)
    if whole is not None:
        return [whole]
    index = source.find(form.index)
    if index is None:
        return []
    return [_shard(source, form, name) for name in sorted(set(read_index(index).values()))]


def _shard(source: Repository, form: Format, name: str) -> Path:
    if PurePosixPath(name).name != name or name == ".." or "\\" in name:
        raise KeraformError(
            expected=f"names of files beside {form.index} in it",
            got=f"{name!r}",
            try_next="another source of this checkpoint: no tool writes such an index",
        )
    path = source.find(name)
    if path is None:
        raise KeraformError(
            expected=f"{name} beside {form.index}, which names it",
            got=f"{source.name} without that file",
            try_next="download the checkpoint again, with all of its files",
        )
    return path


def _say_what_wins(source: Repository, form: Format) -> None:
    """Of a directory with several forms, which counts: they may hold different weights."""
    if not source.is_local:
        return
    names = [name for each in _ALL if each is not form for name in (each.whole, each.index)]
    others = [each for each in names if source.find(each) is not None]
    if others:
        logger.warning(
            "%s: %s is read, not %s beside it", source.name, form.whole, " and ".join(others)
        )


def _no_weights(source: Repository, forms: tuple[Format, ...]) -> KeraformError:
    others = [each.whole for each in _ALL if each not in forms]
    found = next((name for name in others if source.find(name) is not None), None)
    return KeraformError(
        expected=" or ".join(each.whole for each in forms) + f" in {source.name}",
        got=f"{found}: another form" if found else "no weights file",
        try_next="from_pretrained(...) without use_safetensors and from_tf"
        if found
        else "a checkpoint that transformers saved, or from_config for random weights",
    )
