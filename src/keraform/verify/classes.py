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
