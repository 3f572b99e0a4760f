"""The Auto classes: the right class for a checkpoint or a configuration."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from transformers import PreTrainedConfig

from keraform.auto.registry import ported_class
from keraform.auto.repositories import configuration, is_allowed, ported, reference_in
from keraform.auto.tables import AutoTable, auto_tables
from keraform.errors import KeraformError
from keraform.hub import HUB_ARGUMENTS, Repository
from keraform.modeling.limits import blaming
from keraform.modeling.loading import config_of_gguf, read_config
from keraform.modeling.wrapping import main_layer_class

# Arguments of loading whose names configurations have too, or that they would read.
LOADING_ARGUMENTS = ("dtype", "torch_dtype", "name", "gguf_file")


class AutoClass:
    """Base of all `TFAutoModel...` classes, which are never instantiated."""

    table: ClassVar[Mapping[str, str | tuple[str, ...]]] = {}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        name = type(self).__name__
        raise OSError(
            f"expected: {name}.from_pretrained(...) or {name}.from_config(...)\n"
            f"got: {name}(...)\n"
            f"try: {name}.from_pretrained('directory-or-id')"
        )

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | os.PathLike[str], *args: Any, **kwargs: Any
    ) -> Any:
        """A model with the weights of a PyTorch checkpoint, of the class that its type asks for.

        Args:
            pretrained_model_name_or_path: A directory, or an id on the Hub.
            *args: Of the class's `from_pretrained`.
            **kwargs: Of the class's `from_pretrained`; `trust_remote_code` (True: code that lies in
                the repository is translated and used) and `code_revision` (of that code).

        Raises:
            KeraformError: No configuration, an unknown type, or a type without this task; or code
                in the repository that was not allowed by `trust_remote_code=True`.
        """
        trust = Trust(kwargs.pop("trust_remote_code", None), kwargs.pop("code_revision", None))
        config = kwargs.pop("config", None)
        hub = {name: kwargs[name] for name in HUB_ARGUMENTS if name in kwargs}
        if not isinstance(config, PreTrainedConfig):
            source = Repository.of(config or pretrained_model_name_or_path, **hub)
            config, kwargs = _read_config(source, kwargs, hub, trust)
        name = os.fspath(pretrained_model_name_or_path)
        model_class, config = cls._class_for(config, name, hub, trust)
        return model_class.from_pretrained(
            pretrained_model_name_or_path, *args, config=config, **kwargs
        )

    @classmethod
    def from_config(cls, config: PreTrainedConfig, **kwargs: Any) -> Any:
        """A model with random weights, of the class that the configuration's type asks for.

        Args:
            config: The configuration.
            **kwargs: Of the class; `trust_remote_code` and `code_revision` as in `from_pretrained`.
        """
        trust = Trust(kwargs.pop("trust_remote_code", None), kwargs.pop("code_revision", None))
        model_class, config = cls._class_for(config, config.name_or_path, {}, trust)
        return model_class.from_config(config, **kwargs)

    @classmethod
    def _class_for(
        cls, config: PreTrainedConfig, name: str, hub: dict[str, Any], trust: Trust
    ) -> tuple[type, PreTrainedConfig]:
        """As `class_for`, with regard to code in the repository."""
        auto_map, auto_class = getattr(config, "auto_map", None), cls.__name__.removeprefix("TF")
        reference = reference_in(auto_map, auto_class, name, hub, trust.code_revision)
        has_own = _by_type(cls.table, config) is not None
        if reference is not None and is_allowed(reference, trust.allowed, has_own, name):
            return ported(reference), config
        return cls.class_for(config)

    @classmethod
    def class_for(cls, config: PreTrainedConfig) -> tuple[type, PreTrainedConfig]:
        """The class for a configuration, and the part of the configuration that is for it.

        Args:
            config: The configuration.
        """
        model_class = ported_class(_upstream_class(cls.__name__, cls.table, config))
        text_class = config.sub_configs.get("text_config")
        if text_class is not None and model_class.config_class == text_class:
            config = config.get_text_config()
        return model_class, config


@dataclass(frozen=True)
class Trust:
    """What a user said of code in the repository."""

    allowed: bool | None
    code_revision: str | None


def _read_config(
    source: Repository, kwargs: dict[str, Any], hub: dict[str, Any], trust: Trust
) -> tuple[PreTrainedConfig, dict[str, Any]]:
    """The configuration with fields overridden by keywords, and the keywords that are left."""
    from transformers import CONFIG_MAPPING

    rest = {name: value for name, value in kwargs.items() if name not in hub}
    loading = {name: rest.pop(name) for name in LOADING_ARGUMENTS if name in rest}
    if loading.get("gguf_file") is not None:
        config, unused = config_of_gguf(source.require(loading["gguf_file"]), rest)
        return config, {**hub, **loading, **unused}
    path, fields = read_config(source)
    model_type = fields.get("model_type")
    is_known = isinstance(model_type, str) and model_type in CONFIG_MAPPING
    auto_map = fields.get("auto_map")
    reference = reference_in(auto_map, "AutoConfig", source.name, hub, trust.code_revision)
    if reference is not None and is_allowed(reference, trust.allowed, is_known, source.name):
        options = {**source.options, **rest}
        config, unused = configuration(reference, source.name, trust.code_revision, **options)
        return config, {**hub, **loading, **unused}
    if not is_known:
        raise KeraformError(
            expected=f"a model_type that the installed transformers knows, in {path}",
            got=f"model_type {model_type!r}"[:200],
            try_next="keraform status, or a newer transformers (pip install -U transformers)",
        )
    with blaming(path, "a configuration"):
        config, unused = CONFIG_MAPPING[model_type].from_pretrained(
            source.name, return_unused_kwargs=True, **source.options, **rest
        )
    return config, {**hub, **loading, **unused}


def _upstream_class(owner: str, table: Mapping[str, Any], config: PreTrainedConfig) -> str:
    name = _by_type(table, config)
    if name is None:
        known = sorted(table)
        raise KeraformError(
            expected=f"a configuration of one of the {len(known)} model types of {owner}",
            got=f"{type(config).__name__} (model_type {config.model_type!r})",
            try_next=_advice(config.model_type, owner),
        )
    if isinstance(name, str):
        return name
    architectures = config.architectures or []
    return next((arch for arch in architectures if arch in name), name[0])


def _by_type(table: Mapping[str, Any], config: PreTrainedConfig) -> str | tuple[str, ...] | None:
    """The type is the class's, since an object may have been given that of a whole which it is a
    part of (Mimi's halves). Several model types may share a class, so its name counts as well.
    """
    for model_type in (type(config).model_type, config.model_type):
        if model_type in table:
            return table[model_type]
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    wanted = type(config).__name__
    types = [key for key, name in CONFIG_MAPPING_NAMES.items() if name == wanted and key in table]
    return table[types[0]] if types else None


def _advice(model_type: str, owner: str) -> str:
    others = [f"TF{name}" for name, table in auto_tables().items() if model_type in table]
    others = [name for name in others if name != owner]
    return f"one of {', '.join(others[:6])}" if others else "keraform status for what there is"


@functools.cache
def auto_class(name: str) -> type[AutoClass]:
    """The Auto class of a name.

    Args:
        name: With or without the TF prefix.
    """
    upstream = name.removeprefix("TF")
    table: AutoTable = auto_tables()[upstream]
    doc = f"The class of `{upstream}` for a checkpoint's model type ({len(table)} types)."
    return type(
        f"TF{upstream}", (AutoClass,), {"table": table, "__doc__": doc, "__module__": "keraform"}
    )


class AutoMainLayer:
    """The layer for a model inside another model: the main layer where the class has one."""

    @staticmethod
    def from_config(config: PreTrainedConfig, auto_class: str = "AutoModel", **kwargs: Any) -> Any:
        """A layer with random weights.

        Args:
            config: The inner model's configuration.
            auto_class: Which upstream Auto class stands there.
            **kwargs: Of the class.
        """
        owner = _auto_class(auto_class)
        model_class, config = owner.class_for(config)
        return main_layer_class(model_class).from_config(config, **kwargs)


_auto_class = auto_class
