"""Layers: what follows from other fields of a config, one layer of each kind, rotary sections that
fill a head, and groups of as many experts.
"""

from __future__ import annotations

from typing import Any

from transformers import PreTrainedConfig

from keraform.verify.tiny.exceptions import EXCEPTIONS
from keraform.verify.tiny.parts import defaults_of

EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")
LAYER_KINDS = ("layer_types", "mlp_layer_types", "layers_block_type")


def consistent(config_class: type[PreTrainedConfig], values: dict[str, Any]) -> PreTrainedConfig:
    """The config of some values, with what follows from them: one layer of each kind, rotary
    sections that fill a head, and groups of as many experts.
    """
    values = values | _grouped_experts(values)
    config = config_class(**values)
    found = layer_kinds(config_class, config, values) | _rotary_sections(config, values)
    return config_class(**{**values, **found}) if found else config


def _grouped_experts(values: dict[str, Any]) -> dict[str, Any]:
    """As many experts as fill their groups."""
    groups = values.get("n_group") or 1
    counts = {name: values.get(name) for name in EXPERTS}
    return {
        name: -(-count // groups) * groups
        for name, count in counts.items()
        if isinstance(count, int) and count % groups
    }


def _rotary_sections(config: PreTrainedConfig, values: dict[str, Any]) -> dict[str, Any]:
    """Three sections of half a head, for time, height and width, where the class has such."""
    ignored = getattr(config, "ignore_keys_at_rope_validation", None) or ()
    rope = getattr(config, "rope_parameters", None)
    if "mrope_section" not in ignored or not isinstance(rope, dict) or "rope_parameters" in values:
        return {}
    return {"rope_parameters": _with_sections(config, rope)}


def _with_sections(config: PreTrainedConfig, rope: dict[str, Any]) -> dict[str, Any]:
    if "rope_theta" not in rope:  # one for each kind of layer
        return {
            kind: _with_sections(config, each) if isinstance(each, dict) else each
            for kind, each in rope.items()
        }
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    half = int(size * rope.get("partial_rotary_factor", 1.0)) // 2
    third = half // 3
    return {**rope, "mrope_section": [half - 2 * third, third, third]}


def layer_kinds(
    config_class: type[PreTrainedConfig], config: PreTrainedConfig, values: dict[str, Any]
) -> dict[str, Any]:
    """One layer of each kind that the class's own config has, where the tiny one lacks a kind.

    Args:
        config_class: the class.
        config: the tiny config.
        values: what it was made with.

    Returns:
        The lists of kinds and their length; empty where nothing is lacking.
    """
    own = defaults_of(config_class)
    lists = [
        name
        for name in LAYER_KINDS
        if name in own and _is_list(config, name) and not values.get(name)
    ]
    said = {name for name, _, _ in EXCEPTIONS.get(config_class.model_type, ())}
    if not lists or not isinstance(getattr(config, "num_hidden_layers", None), int):
        return {}
    if "num_hidden_layers" in said:
        return {}
    whole = config_class()
    lists = [name for name in lists if _is_list(whole, name)]
    if all(set(getattr(whole, name)) <= set(getattr(config, name)) for name in lists):
        return {}
    layers = list(dict.fromkeys(zip(*(getattr(whole, name) for name in lists), strict=False)))
    layers = _covering(layers)
    layers += layers[-1:] * (2 - len(layers))
    columns = zip(*layers, strict=True)
    return {
        "num_hidden_layers": len(layers),
        **{name: list(column) for name, column in zip(lists, columns, strict=True)},
    }


def _is_list(config: PreTrainedConfig, name: str) -> bool:
    return isinstance(getattr(config, name, None), list | tuple)


def _covering(layers: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """The layers that bring a kind which none before them has, or a new pair, up to four."""
    seen: set[tuple[int, str]] = set()
    needed = []
    for layer in layers:
        kinds = set(enumerate(layer))
        if not kinds <= seen:
            needed.append(layer)
        seen |= kinds
    extra = [layer for layer in layers if layer not in needed][: max(0, 4 - len(needed))]
    return [layer for layer in layers if layer in needed or layer in extra]
