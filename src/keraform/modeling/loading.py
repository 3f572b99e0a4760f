"""`from_pretrained`: a model out of a directory or repository."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

import keras
from transformers import AutoConfig, PreTrainedConfig

from keraform.checkpoints.gguf_files import read_gguf, read_gguf_config
from keraform.checkpoints.json_files import read_object
from keraform.checkpoints.load import load_torch_state, unfilled
from keraform.errors import KeraformError
from keraform.hub import HUB_ARGUMENTS, Repository, read_weights
from keraform.modeling import initialization
from keraform.modeling.building import deferred_values, dtype_scope, initialize
from keraform.modeling.limits import Bounded, blaming, check_sizes
from keraform.modeling.precision import keep_in_float32, resolve_dtype
from keraform.modeling.proved import warn_when_unproved

_CONFIG = "config.json"
_GENERATION = "generation_config.json"


class Loading:
    """Gives pretrained models `from_pretrained`."""

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
        made = Bounded(stored, 0 if gguf is None else gguf.stat().st_size)
        file = gguf or source.folder / _CONFIG
        with dtype_scope(policy), deferred_values(made), blaming(file, f"a {cls.__name__}"):
            model: Any = cls(config, *args, **kwargs, **keras_name)  # type: ignore[call-arg]
        keep_in_float32(model)
        stored = stored if gguf is None else read_gguf(gguf, model)
        report = load_torch_state(model, stored, ignore_mismatched_sizes=ignore_mismatched_sizes)
        if strict:
            report.require_clean(cls.__name__, source.name)
        initialization.init_missing(model, unfilled(model, report))
        initialize(keras.layers.Layer.variables.fget(model))
        model.name_or_path = config.name_or_path = source.name
        model.__dict__["_loaded_from"] = source.pinned()
        _load_generation_config(model, source)
        if output_loading_info:
            return model, report.to_dict()
        report.log(cls.__name__, source.name)
        return model


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
    path, _ = read_config(source)
    with blaming(path, "a configuration"):
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
    check_sizes(fields, path)
    with blaming(path, "a configuration"):
        config_class = config_class or CONFIG_MAPPING[fields["model_type"]]
        return config_class.from_dict(fields, return_unused_kwargs=True, **kwargs)


def read_config(source: Repository) -> tuple[Path, dict[str, Any]]:
    """The path of config.json, and what it says.

    Args:
        source: A checkpoint.

    Raises:
        KeraformError: There is none; or it is no JSON object, or has sizes that no model has.
    """
    path = _require_config(source)
    fields = read_object(path)
    check_sizes(fields, path)
    return path, fields


def _require_config(source: Repository) -> Path:
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
    """Of its own file, or of config.json, where checkpoints used to keep it."""
    if not model.can_generate():
        return
    options = {**source.options}
    path = source.find(_GENERATION)
    if path is None:
        path = source.find(_CONFIG)
        options |= {"config_file_name": _CONFIG, "_from_model_config": True}
    if path is None:
        return
    read_object(path)
    # configurations that tell nothing of generation are not implemented
    with blaming(path, "a configuration of generation"), contextlib.suppress(NotImplementedError):
        model.generation_config = model.generation_config_class.from_pretrained(
            source.name, **options
        )
