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
        paths, index = _files(source, form)
        if paths:
            _say_what_wins(source, form)
            found = form.read(paths)
            _check_index(index, form, found)
            return found
    raise _no_weights(source, forms)


def _files(source: Repository, form: Format) -> tuple[list[Path], dict[str, str]]:
    """The files of a form, and where its index says that the keys are; none where there is none."""
    whole = source.find(form.whole)
    if whole is not None:
        return [whole], {}
    path = source.find(form.index)
    if path is None:
        return [], {}
    index = read_index(path)
    return [_shard(source, path, name) for name in sorted(set(index.values()))], index


def _shard(source: Repository, index: Path, name: str) -> Path:
    if PurePosixPath(name).name != name or name in ("", "..") or not _is_plain(name):
        raise KeraformError(
            expected=f"names of files beside it in {index}",
            got=repr(name)[:200],
            try_next="another source of this checkpoint: no tool writes such an index",
        )
    path = source.find(name)
    if path is None:
        raise KeraformError(
            expected=f"{name[:200]} beside {index}, which names it",
            got=f"{source.name} without that file",
            try_next="download the checkpoint again, with all of its files",
        )
    return path


def _is_plain(name: str) -> bool:
    return name.isprintable() and not set(name) & set("\\:")


def _check_index(index: dict[str, str], form: Format, found: dict[str, StoredTensor]) -> None:
    """Each key must be where the index says; shards of another checkpoint have other keys. Where
    the names are TensorFlow's, and several may be one tensor, what is not there is missing.
    """
    if any(tensor.keras2 for tensor in found.values()):
        return
    for key, name in index.items():
        there = Path(found[key].source).name if key in found else "no file"
        if there != name:
            raise KeraformError(
                expected=f"{key[:200]} in {name}, as {form.index} says",
                got=f"{key[:200]} in {there}",
                try_next="download the checkpoint again, with all of its files",
            )
    others = [key for key in found if index and key not in index]
    if others:
        where = found[others[0]].source
        logger.warning("%s names not %s of %s", form.index, ", ".join(others[:4]), where)


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
