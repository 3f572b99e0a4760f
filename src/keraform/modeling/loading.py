"""`from_pretrained` and `save_pretrained`: a directory or repository in, a directory out."""

from __future__ import annotations

import copy
import os
import tempfile
from pathlib import Path
from typing import Any

import keras
from transformers import AutoConfig, PreTrainedConfig

from keraform.checkpoints.conversion import upstream_name
from keraform.checkpoints.gguf_files import read_gguf, read_gguf_config
from keraform.checkpoints.keras2_save import KERAS2_NAME, write_keras2
from keraform.checkpoints.load import load_torch_state, unfilled
from keraform.checkpoints.safetensors_files import byte_count, write_safetensors
from keraform.checkpoints.save import torch_state
from keraform.errors import KeraformError
from keraform.hub import FIRST_READ, HUB_ARGUMENTS, Repository, read_weights
from keraform.modeling import initialization
from keraform.modeling.building import deferred_values, dtype_scope, initialize
from keraform.modeling.precision import keep_in_float32, resolve_dtype
from keraform.modeling.proved import warn_when_unproved

_CONFIG = "config.json"
_GENERATION = "generation_config.json"


class Loading:
    """Gives pretrained models `from_pretrained` and `save_pretrained`."""

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | os.PathLike[str],
        *args: Any,
        config: PreTrainedConfig | str | os.PathLike[str] | None = None,
        ignore_mismatched_sizes: bool = False,
        output_loading_info: bool = False,
        strict: bool = False,
        dtype: Any = None,
        use_safetensors: bool | None = None,
        from_pt: bool = True,
        from_tf: bool = False,
        gguf_file: str | None = None,
        **kwargs: Any,
    ) -> Any:
        """A model with the weights of a PyTorch checkpoint, or of one that Transformers v4's
        TensorFlow classes wrote.

        Args:
            pretrained_model_name_or_path: A directory, or an id on the Hub.
            *args: Positional arguments of the class, after the configuration.
            config: A configuration, or where one lies, in place of the checkpoint's.
            ignore_mismatched_sizes: Leave weights of another shape new instead of raising.
            output_loading_info: Also return the complete report, as a dict.
            strict: Raise when anything is missing or left over.
            dtype: None for Keras's dtype policy, "auto" for the checkpoint's, or a name.
            use_safetensors: True or False: only safetensors, or only torch's own files
                (pytorch_model.bin, of which nothing is executed); None: the first there are.
            from_pt: Accepted; what a checkpoint is, its files say.
            from_tf: Only `tf_model.h5`, the old TensorFlow classes' own file, whatever lies beside.
            gguf_file: The name of a GGUF file there, which is read in place of the checkpoint's
                other files.
            **kwargs: `cache_dir`, `force_download`, `local_files_only`, `token`, `revision`,
                `subfolder`; `attn_implementation`; fields of the configuration; arguments of the
                class.

        Returns:
            The model, and with `output_loading_info` the report.

        Raises:
            KeraformError: No configuration, no weights, a damaged file, or a wrong shape.
        """
        warn_when_unproved(cls)
        hub = {name: kwargs.pop(name) for name in HUB_ARGUMENTS if name in kwargs}
        old_dtype = kwargs.pop("torch_dtype", None)
        dtype = old_dtype if dtype is None else dtype
        source = Repository.of(pretrained_model_name_or_path, **hub)
        keras_name = {"name": kwargs.pop("name")} if "name" in kwargs else {}
        gguf = None if gguf_file is None else source.require(gguf_file)
        if gguf is not None and config is None:
            config, kwargs = config_of_gguf(gguf, kwargs, cls.config_class)  # type: ignore[attr-defined]
        config, kwargs = load_config(cls, source, config, kwargs)
        stored = read_weights(source, use_safetensors, from_tf) if gguf is None else {}
        policy = resolve_dtype(dtype, config, stored)
        with dtype_scope(policy), deferred_values():
            model: Any = cls(config, *args, **kwargs, **keras_name)  # type: ignore[call-arg]
        keep_in_float32(model)
        stored = stored if gguf is None else read_gguf(gguf, model)
        report = load_torch_state(model, stored, ignore_mismatched_sizes=ignore_mismatched_sizes)
        if strict:
            report.require_clean(cls.__name__, source.name)
        initialization.init_missing(model, unfilled(model, report))
        initialize(keras.layers.Layer.variables.fget(model))
        model.name_or_path = config.name_or_path = source.name
        _load_generation_config(model, source)
        if output_loading_info:
            return model, report.to_dict()
        report.log(cls.__name__, source.name)
        return model

    def save_pretrained(
        self,
        save_directory: str | os.PathLike[str],
        max_shard_size: int | str = "50GB",
        save_original_format: bool = True,
        safe_serialization: bool = True,
        push_to_hub: bool = False,
    ) -> None:
        """Writes configuration and weights so that `transformers` and Keraform load them.

        Args:
            save_directory: A directory; made if need be.
            max_shard_size: The size that no file shall pass.
            save_original_format: Under the names the model's checkpoints are kept in.
            safe_serialization: False for `tf_model.h5`, the file of Transformers v4's TensorFlow
                classes, which load it; for the classes that v4 had, and in one file only.
            push_to_hub: Only False, for now.
        """
        _check_save(self, save_directory, push_to_hub)
        if not safe_serialization:
            _check_keras2(self, Path(save_directory), max_shard_size)
        folder = Path(save_directory)
        folder.mkdir(parents=True, exist_ok=True)
        config = copy.deepcopy(self.config)
        config.architectures = [upstream_name(type(self))]
        config.dtype = self.dtype_policy.variable_dtype
        with tempfile.TemporaryDirectory(dir=folder, prefix=".saving-") as unfinished:
            config.save_pretrained(unfinished)
            if self.can_generate():
                self.generation_config.save_pretrained(unfinished)
            if safe_serialization:
                write_safetensors(folder, torch_state(self, save_original_format), max_shard_size)
            else:
                write_keras2(folder / KERAS2_NAME, self)
            for path in Path(unfinished).iterdir():
                os.replace(path, folder / path.name)


def load_config(
    cls: type,
    source: Repository,
    config: PreTrainedConfig | str | os.PathLike[str] | None,
    kwargs: dict[str, Any],
) -> tuple[PreTrainedConfig, dict[str, Any]]:
    """The configuration, with fields overridden by keywords, and the keywords that are left.

    Args:
        cls: The model class; its `config_class` counts, or the file's `model_type`.
        source: The checkpoint.
        config: A configuration or where one lies, if not there.
        kwargs: Fields of the configuration, and others.
    """
    if isinstance(config, PreTrainedConfig):
        kwargs = dict(kwargs)
        for name in ("attn_implementation", "experts_implementation"):
            if name in kwargs:
                setattr(config, f"_{name}", kwargs.pop(name))
        return config, kwargs
    if config is not None:
        source = Repository.of(config, **source.options)
    require_config(source)
    return (cls.config_class or AutoConfig).from_pretrained(
        source.name, return_unused_kwargs=True, **source.options, **kwargs
    )


def config_of_gguf(
    path: Path, kwargs: dict[str, Any], config_class: type[PreTrainedConfig] | None = None
) -> tuple[PreTrainedConfig, dict[str, Any]]:
    """The configuration that a GGUF file tells of, with fields overridden by keywords, and the
    keywords that are left.

    Args:
        path: The file.
        kwargs: Fields of the configuration, and others.
        config_class: The model's; by the file's model type when None.
    """
    from transformers import CONFIG_MAPPING

    fields = read_gguf_config(path)
    config_class = config_class or CONFIG_MAPPING[fields["model_type"]]
    return config_class.from_dict(fields, return_unused_kwargs=True, **kwargs)


def require_config(source: Repository) -> Path:
    """The path of config.json.

    Args:
        source: A checkpoint.

    Raises:
        KeraformError: There is none.
    """
    path = source.find(_CONFIG)
    if path is None:
        raise KeraformError(
            expected=f"{_CONFIG} in {source.name}",
            got=_listing(source),
            try_next="the directory that save_pretrained wrote, or subfolder=...",
        )
    return path


def _listing(source: Repository) -> str:
    if not source.is_local:
        return "a repository without it"
    if not source.folder.is_dir():
        return f"no directory {source.folder}"
    names = sorted(path.name for path in source.folder.iterdir())
    return f"{len(names)} files: {', '.join(names[:8])}" if names else "an empty directory"


def _load_generation_config(model: Any, source: Repository) -> None:
    if not model.can_generate() or source.find(_GENERATION) is None:
        return
    model.generation_config = model.generation_config_class.from_pretrained(
        source.name, **source.options
    )


def _check_save(model: Any, folder: str | os.PathLike[str], push_to_hub: bool) -> None:
    if push_to_hub:
        raise NotImplementedError(
            "expected: save_pretrained(directory), which writes files\n"
            "got: push_to_hub=True, which Keraform has not yet\n"
            "try: save_pretrained(directory) and `hf upload <id> <directory>`"
        )
    if Path(folder).is_file():
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
