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
from keraform.checkpoints.safetensors_files import is_weights, write_shards
from keraform.checkpoints.save import torch_state
from keraform.errors import KeraformError, explain
from keraform.hub import copy_companions


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
            safe_serialization: Only True.
            push_to_hub: Also put the model into a repository on the Hub.
            carry_along: Copy the tokenizer's, processor's and generation's files from where the
                model was loaded, where the directory has none; nothing there is overwritten.
            **kwargs: Of `push_to_hub`; its `repo_id` is the directory's name, if not given.

        Raises:
            KeraformError: The directory is a file, or cannot be written to; the Hub says no.
        """
        folder = Path(save_directory)
        _check(self, folder, safe_serialization, {} if push_to_hub else kwargs)
        config = copy.deepcopy(self.config)
        config.architectures = [upstream_name(type(self))]
        config.dtype = self.dtype_policy.variable_dtype
        state = torch_state(self, save_original_format)
        with replaced_together(folder, is_weights) as new:
            _carry_code(self, config, new)
            config.save_pretrained(new)
            if self.can_generate():
                self.generation_config.save_pretrained(new)
            write_shards(new, state, max_shard_size)
            source = self.__dict__.get("_loaded_from")
            if carry_along and source is not None:
                copy_companions(source, config, lambda name: (folder / name).exists(), new)
        if push_to_hub:
            options = {"repo_id": folder.resolve().name, "carry_along": carry_along, **kwargs}
            options["save_original_format"] = save_original_format
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


def _check(model: Any, folder: Path, safe_serialization: bool, unknown: dict[str, Any]) -> None:
    if unknown:
        raise TypeError(
            explain(
                "arguments of save_pretrained, or push_to_hub=True with those of push_to_hub",
                ", ".join(unknown),
                "help(save_pretrained)",
            )
        )
    if not safe_serialization:
        raise NotImplementedError(
            "expected: save_pretrained(directory), which writes safetensors\n"
            "got: safe_serialization=False, which Keraform has not yet\n"
            "try: save_pretrained(directory)"
        )
    if folder.is_file():
        raise KeraformError(
            expected=f"a directory for {type(model).__name__}",
            got=f"{folder}, which is a file",
            try_next="save_pretrained(another_directory)",
        )
