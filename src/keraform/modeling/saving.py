"""`save_pretrained`: a directory that `transformers` and Keraform load."""

from __future__ import annotations

import copy
import os
import shutil
from pathlib import Path
from typing import Any

from transformers import PreTrainedConfig

from keraform.checkpoints.atomic import replaced_together
from keraform.checkpoints.conversion import upstream_name
from keraform.checkpoints.keras2_save import KERAS2_NAME, write_keras2
from keraform.checkpoints.safetensors_files import byte_count, is_weights, write_shards
from keraform.checkpoints.save import torch_state
from keraform.errors import KeraformError, explain
from keraform.hub import FIRST_READ, copy_companions


class Saving:
    """Gives pretrained models `save_pretrained`."""

    def save_pretrained(
        self,
        save_directory: str | os.PathLike[str],
        max_shard_size: int | str = "50GB",
        save_original_format: bool = True,
        safe_serialization: bool = True,
        push_to_hub: bool = False,
        carry_along: bool = True,
        **kwargs: Any,
    ) -> None:
        """Writes configuration and weights so that `transformers` and Keraform load them.

        All files are replaced at one moment (`keraform.checkpoints.atomic`): killed at any time,
        the directory holds the checkpoint that was there, or this one.

        Args:
            save_directory: A directory; made if need be.
            max_shard_size: The size that no file shall pass.
            save_original_format: Under the names the model's checkpoints are kept in.
            safe_serialization: False for `tf_model.h5`, the file of Transformers v4's TensorFlow
                classes, which load it; for the classes that v4 had, and in one file only.
            push_to_hub: Also put the model into a repository on the Hub.
            carry_along: Copy the tokenizer's, processor's and generation's files from where the
                model was loaded, where the directory has none; nothing there is overwritten.
            **kwargs: Of `push_to_hub`; its `repo_id` is the directory's name, if not given.

        Raises:
            KeraformError: The directory is a file, or cannot be written to; the Hub says no.
        """
        folder = Path(save_directory)
        _check(self, folder, {} if push_to_hub else kwargs)
        if not safe_serialization:
            _check_keras2(self, folder, max_shard_size)
        config = copy.deepcopy(self.config)
        config.architectures = [upstream_name(type(self))]
        config.dtype = self.dtype_policy.variable_dtype
        with replaced_together(folder, is_weights) as new:
            _carry_code(self, config, new)
            config.save_pretrained(new)
            if self.can_generate():
                self.generation_config.save_pretrained(new)
            if safe_serialization:
                write_shards(new, torch_state(self, save_original_format), max_shard_size)
            else:
                write_keras2(new / KERAS2_NAME, self)
            source = self.__dict__.get("_loaded_from")
            if carry_along and source is not None:
                copy_companions(source, config, lambda name: (folder / name).exists(), new)
        if push_to_hub:
            options = {"repo_id": folder.resolve().name, "carry_along": carry_along, **kwargs}
            options |= {
                "save_original_format": save_original_format,
                "safe_serialization": safe_serialization,
            }
            self.push_to_hub(max_shard_size=max_shard_size, **options)


def _carry_code(model: Any, config: PreTrainedConfig, folder: Path) -> None:
    """Of a model whose code lay in its repository: the files, and their names in the `auto_map`,
    so that Transformers loads it again.
    """
    for path in model._code_files:
        shutil.copyfile(path, folder / path.name)
    if model._auto_class is not None:
        name = f"{model._code_files[0].stem}.{upstream_name(type(model))}"
        config.auto_map = {**(getattr(config, "auto_map", None) or {}), model._auto_class: name}


def _check(model: Any, folder: Path, unknown: dict[str, Any]) -> None:
    if unknown:
        raise TypeError(
            explain(
                "arguments of save_pretrained, or push_to_hub=True with those of push_to_hub",
                ", ".join(unknown),
                "help(save_pretrained)",
            )
        )
    if folder.is_file():
        raise KeraformError(
            expected=f"a directory for {type(model).__name__}",
            got=f"{folder}, which is a file",
            try_next="save_pretrained(another_directory)",
        )


def _check_keras2(model: Any, folder: Path, max_shard_size: int | str) -> None:
    """Whether `tf_model.h5` may be all that is saved."""
    size = sum(tensor.nbytes for tensor in torch_state(model).values())
    others = [name for name in FIRST_READ if (folder / name).exists()]
    if size > byte_count(max_shard_size):
        raise KeraformError(
            expected=f"at most max_shard_size={max_shard_size!r}, since {KERAS2_NAME} is one file",
            got=f"{size} bytes of {type(model).__name__}",
            try_next="save_pretrained(directory, safe_serialization=False, max_shard_size=...)",
        )
    if others:
        raise KeraformError(
            expected=f"a directory in which {KERAS2_NAME} is what from_pretrained reads",
            got=f"{folder} with {' and '.join(others)}, which would be read instead",
            try_next="save_pretrained(another_directory, safe_serialization=False)",
        )
