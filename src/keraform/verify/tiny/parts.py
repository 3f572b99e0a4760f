"""Parts: the fields of a config class with their defaults, and the configs nested in it."""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import Any

from transformers import PreTrainedConfig
from transformers.models.auto.configuration_auto import CONFIG_MAPPING


def defaults_of(config_class: type[PreTrainedConfig]) -> dict[str, Any]:
    """The fields of a config class that have a default, and these."""
    found = {}
    for field in fields(config_class):
        if field.default is not MISSING:
            found[field.name] = field.default
        elif field.default_factory is not MISSING:
            found[field.name] = field.default_factory()
    return found


def constants_of(config_class: type[PreTrainedConfig], config: PreTrainedConfig) -> dict[str, Any]:
    """The fields that a class fills in itself where they are left out, with what does not follow
    from its other fields: what a config has that differs in these.
    """
    try:
        whole = config_class()
    except Exception:  # a class that is not content with its own defaults
        return {}
    left_out = [name for name, default in defaults_of(config_class).items() if default is None]
    pairs = {name: (getattr(whole, name, None), getattr(config, name, None)) for name in left_out}
    return {
        name: own
        for name, (own, other) in pairs.items()
        if isinstance(own, list | tuple) and own == other
    }


def sub_configs_of(
    config_class: type[PreTrainedConfig],
) -> dict[str, tuple[type[PreTrainedConfig], dict[str, Any]]]:
    """The config classes of a composite model's parts, with what the composite asks of them."""
    if not config_class.sub_configs:
        return {}
    specs = getattr(config_class, "sub_configs_defaults", {})
    try:
        whole = config_class()
    except Exception:  # a class that is not content with its own defaults
        parts = {name: _by_default(specs[name]) for name in config_class.sub_configs}
    else:
        parts = {name: getattr(whole, name, None) for name in config_class.sub_configs}
    parts |= {name: _optional(specs[name]) for name in specs if parts.get(name, 0) is None}
    return {
        name: _here(part, _asked_of(part, specs.get(name)))
        for name, part in parts.items()
        if isinstance(part, PreTrainedConfig)
    }


def _asked_of(part: PreTrainedConfig, spec: Any) -> dict[str, Any]:
    """What the composite asks of a part: by its own words, but of a part of another type than
    these are for only the outputs that it is made with.
    """
    if spec is None:
        return {}
    if spec.model_type in (None, part.model_type):
        return dict(spec.init_kwargs or {})
    taken = getattr(part, "out_features", None) or []
    own = getattr(type(part)(), "out_features", None)
    return {} if taken == own else {"out_features": list(taken)}


def _optional(spec: Any) -> PreTrainedConfig | None:
    """A part that the class leaves out by default, where Transformers has it itself."""
    if not spec.optional or "timm" in (spec.model_type or ""):
        return None
    config_class = CONFIG_MAPPING[spec.model_type] if spec.model_type else spec.config_class
    return config_class()


def _by_default(spec: Any) -> PreTrainedConfig:
    config_class = CONFIG_MAPPING[spec.model_type] if spec.model_type else spec.config_class
    return config_class(**(spec.init_kwargs or {}))


def _here(
    part: PreTrainedConfig, given: dict[str, Any]
) -> tuple[type[PreTrainedConfig], dict[str, Any]]:
    """The class of a part and what is asked of it; Transformers' own residual network, which needs
    no package, in place of a convolutional backbone of timm's.
    """
    if part.model_type != "timm_backbone":
        return type(part), given
    stages = getattr(part, "out_indices", None) or [-1]
    wanted = [f"stage{index if index > 0 else 5 + index}" for index in stages]
    return CONFIG_MAPPING["resnet"], {"out_features": wanted}
