"""Which classes of an upstream modeling file are proved, and where the file and its configs are."""

from __future__ import annotations

import importlib
from types import ModuleType

from transformers import PreTrainedConfig
from transformers.models.auto.configuration_auto import model_type_to_module_name

PROVED_TYPES = (
    "bert", "albert", "distilbert", "roberta", "electra", "gpt2", "llama", "mistral", "qwen3",
    "t5", "bart", "whisper", "vit", "clip", "convnext", "wav2vec2", "mamba", "deberta-v2", "swin",
    "detr", "mixtral",
)  # fmt: skip


def upstream_module_name(model_type: str) -> str:
    """`bert` -> `transformers.models.bert.modeling_bert`."""
    folder = model_type_to_module_name(model_type)
    return f"transformers.models.{folder}.modeling_{folder}"


def model_classes(module: ModuleType) -> list[type]:
    """Public model classes with a forward pass of their own kind, in the file's order."""
    from transformers import PreTrainedModel

    names = getattr(module, "__all__", None) or [
        name for name in vars(module) if not name.startswith("_")
    ]
    found = []
    for name in names:
        value = getattr(module, name, None)
        if isinstance(value, type) and issubclass(value, PreTrainedModel) and _has_forward(value):
            found.append(value)
    return list(dict.fromkeys(found))


def classes_of(model_type: str) -> list[type]:
    """The model classes of a type: what the Auto classes know under its name, and the public ones
    of its modeling file; of a file of several types those of its config, but all for the type that
    the file is named after.

    Raises:
        ModuleNotFoundError: there is no modeling file.
    """
    import transformers
    from transformers.models.auto import modeling_auto

    names: list[str] = []
    for mapping in (value for name, value in vars(modeling_auto).items() if name.endswith(MAPPING)):
        named = mapping.get(model_type, ())
        names += [named] if isinstance(named, str) else named
    found = [getattr(transformers, name, None) for name in dict.fromkeys(names)]
    known: list[type] = [each for each in found if isinstance(each, type) and _has_forward(each)]
    if model_type.replace("-", "_") == model_type_to_module_name(model_type):
        try:
            return list(dict.fromkeys([*model_classes(import_upstream(model_type)), *known]))
        except ModuleNotFoundError:
            if not known:
                raise
    modules = {each.__module__ for each in known}
    beside = [
        each
        for module in sorted(modules)
        for each in model_classes(importlib.import_module(module))
        if getattr(config_class_of(each), "model_type", None) == model_type
    ]
    return list(dict.fromkeys([*known, *beside]))


MAPPING = "_MAPPING_NAMES"


def config_class_of(model_class: type) -> type[PreTrainedConfig]:
    """The config class a model class declares (`config_class` or its `config` annotation)."""
    return model_class.config_class


def import_upstream(model_type: str) -> ModuleType:
    """The upstream modeling module of a model type."""
    return importlib.import_module(upstream_module_name(model_type))


def _has_forward(model_class: type) -> bool:
    from torch import nn

    forward = getattr(model_class, "forward", None)
    return forward is not None and forward is not getattr(nn.Module, "forward", None)
