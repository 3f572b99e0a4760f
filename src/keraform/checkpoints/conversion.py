"""Which old names a model's checkpoints may have, and what they are today."""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from keraform.checkpoints.operations import Context, InexpressibleError, Tensors
from keraform.checkpoints.renames import Converter, PrefixChange, Rename, UnknownRename
from keraform.checkpoints.tensors import StoredTensor, of_array
from keraform.checkpoints.upstream import conversions
from keraform.errors import KeraformError
from keraform.runtime.tree import named_layers

logger = logging.getLogger(__name__)

# enough for most checkpoints, should another release of transformers keep its table elsewhere
_LEGACY = (
    ("LayerNorm.gamma", "LayerNorm.weight"),
    ("LayerNorm.beta", "LayerNorm.bias"),
    (".weight_g", ".parametrizations.weight.original0"),
    (".weight_v", ".parametrizations.weight.original1"),
)


def upstream_name(cls: type) -> str:
    """`TFBertMainLayer` -> `BertModel`, `TFBertForMaskedLM` -> `BertForMaskedLM`.

    Args:
        cls: A ported class.
    """
    name = cls.__name__.removeprefix("TF")
    return name.removesuffix("MainLayer") + "Model" if name.endswith("MainLayer") else name


def _table() -> dict[str, list[Rename]]:
    try:
        return conversions()
    except Exception as error:  # a table of another form must not stop every load
        logger.warning("Transformers' table of old key names was not understood: %r", error)
        return {"legacy": [Rename(source, target) for source, target in _LEGACY]}


def rules_for(model: Any, legacy: bool = True) -> list[Rename]:
    """The renamings and conversions that count for a model and the models inside it.

    A class's own entry wins over its model type's. Rules of an inner model see keys below its
    path only, and an ancestor's rules stand for those of the same name inside.

    Args:
        model: A pretrained model.
        legacy: Also the rules for very old checkpoints.
    """
    table = _table()
    rules: list[Rename] = []
    seen: defaultdict[str, list[str]] = defaultdict(list)

    def is_claimed(name: str, path: str) -> bool:
        return any(at == "" or path.startswith(f"{at}.") for at in seen[name])

    for path, layer in named_layers(model):
        if not getattr(layer, "_is_pretrained_model", False):
            continue
        name, model_type = upstream_name(type(layer)), layer.config.model_type
        if is_claimed(name, path):
            continue
        by_name = name in table
        if not by_name and (model_type not in table or is_claimed(model_type, path)):
            continue
        own = [rule.fresh() for rule in table[name if by_name else model_type]]
        if path:
            base = model.base_model_prefix
            inner = path.removeprefix(base).removeprefix(".")
            own = [rule.scoped(base, inner) for rule in own]
        rules += own
        seen[name].append(path)
        if not by_name and model_type:
            seen[model_type].append(path)
    if legacy:
        rules += [rule.fresh() for rule in table["legacy"]]
    return rules


@dataclass
class _Group:
    """The tensors that one converter collects for one target."""

    converter: Converter
    tensors: dict[str, list[StoredTensor]] = field(default_factory=dict)


@dataclass
class Converted:
    """A checkpoint with today's keys.

    Args:
        tensors: By today's key.
        errors: Old keys that could not be converted, with the reason.
    """

    tensors: dict[str, StoredTensor] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)


def convert(
    stored: Mapping[str, StoredTensor],
    rules: list[Rename],
    shapes: Mapping[str, tuple[int, ...]],
    base_model_prefix: str,
    config: Any,
) -> Converted:
    """Gives the tensors of a checkpoint the keys (and the form) that the model has today.

    Args:
        stored: The checkpoint, by its own keys.
        rules: As from `rules_for`; those that matched are marked as used.
        shapes: The model's weights, by key.
        base_model_prefix: Added or taken away where that makes a key the model's.
        config: The model's configuration.
    """
    renames = [rule for rule in rules if not isinstance(rule, Converter)]
    converters = [rule for rule in rules if isinstance(rule, Converter)]
    unknown = [rule.reason for rule in rules if isinstance(rule, UnknownRename)]
    result, groups = Converted(), dict[str, _Group]()
    for key in sorted(stored, key=_natural):
        target, converter, source = _renamed(key, renames, converters)
        target = _with_prefix(target, base_model_prefix, shapes)
        if target not in shapes and _with_prefix(key, base_model_prefix, shapes) in shapes:
            target, converter = _with_prefix(key, base_model_prefix, shapes), None
        if target not in shapes and unknown:
            result.errors[key] = "; ".join(unknown)
        if converter is None or target not in shapes:
            _keep(result, target if target in shapes else key, stored[key])
            continue
        group = groups.setdefault(target, _Group(converter))
        group.tensors.setdefault(source, []).append(stored[key])
    for target, group in groups.items():
        _convert_group(target, group, shapes, config, result)
    return result


def _keep(result: Converted, key: str, tensor: StoredTensor) -> None:
    known = result.tensors.get(key)
    if known is not None:
        raise KeraformError(
            expected=f"one tensor for {key}",
            got=f"{known.key} and {tensor.key} in {tensor.source}",
            try_next="take one of the two out of the checkpoint",
        )
    result.tensors[key] = tensor


def _renamed(
    key: str, renames: list[Rename], converters: list[Converter]
) -> tuple[str, Converter | None, str]:
    for rename in renames:
        key, _ = rename.apply(key)
    for converter in converters:
        key, source = converter.apply(key)
        if source is not None:
            return key, converter, source
    return key, None, ""


def _with_prefix(key: str, prefix: str, shapes: Mapping[str, Any]) -> str:
    if prefix and key.startswith(f"{prefix}.") and key[len(prefix) + 1 :] in shapes:
        return key[len(prefix) + 1 :]
    if prefix and f"{prefix}.{key}" in shapes:
        return f"{prefix}.{key}"
    return key


def _convert_group(
    target: str, group: _Group, shapes: Mapping[str, Any], config: Any, result: Converted
) -> None:
    converter = group.converter
    context = Context(converter.source_patterns, converter.target_patterns, target, config, shapes)
    stored = [tensor for tensors in group.tensors.values() for tensor in tensors]
    try:
        tensors = _run(converter, group.tensors, context)
    except (InexpressibleError, ValueError) as error:
        for tensor in stored:
            result.errors[tensor.key] = str(error)
            result.tensors[tensor.key] = tensor
        return
    for key, array in _full_keys(target, tensors).items():
        result.tensors[key] = of_array(key, array, stored[0].source)


def _run(
    converter: Converter, stored: Mapping[str, list[StoredTensor]], context: Context
) -> Tensors:
    tensors: Tensors = {
        source: [tensor.read() for tensor in parts] for source, parts in stored.items()
    }
    for operation in converter.operations:
        tensors = operation.convert(tensors, context)
    return tensors


def _full_keys(target: str, tensors: Tensors) -> dict[str, np.ndarray]:
    """Operations speak of parts of keys; what stands around them is the first target's."""
    full = target.replace("*.", "0.")
    part = next((name for name in tensors if name in full), None)
    if part is None:
        return {name: parts[0] for name, parts in tensors.items()}
    before, _, after = full.partition(part)
    return {before + name + after: parts[0] for name, parts in tensors.items()}


def revert(
    state: Mapping[str, StoredTensor], rules: list[Rename], config: Any
) -> dict[str, StoredTensor]:
    """The tensors of a model under the keys (and in the form) that its checkpoints are kept in.

    Args:
        state: The model's weights, by today's key.
        rules: The rules that were used in loading, or the model type's own.
        config: The model's configuration.
    """
    backwards = [rule.reversed() for rule in reversed(rules)]
    renames = [rule for rule in backwards if not isinstance(rule, Converter)]
    converters = [rule for rule in backwards if isinstance(rule, Converter)]
    if not backwards:
        return dict(state)
    found: dict[str, StoredTensor] = {}
    groups: dict[str, _Group] = {}
    for key, tensor in state.items():
        target, converter, source = _renamed(key, [], converters)
        if converter is None:
            found[_rename_all(target, renames)] = tensor
        else:
            group = groups.setdefault(target, _Group(converter))
            group.tensors.setdefault(source, []).append(tensor)
    for target, group in groups.items():
        for key, tensor in _reverted(target, group, config):
            found[_rename_all(key, renames)] = tensor
    return found


def _rename_all(key: str, renames: list[Rename]) -> str:
    return _renamed(key, renames, [])[0]


def _reverted(target: str, group: _Group, config: Any) -> Iterator[tuple[str, StoredTensor]]:
    converter = group.converter
    context = Context(converter.source_patterns, converter.target_patterns, target, config, {})
    tensors = _full_keys(target, _run(converter, group.tensors, context))
    for key, array in tensors.items():
        yield key, of_array(key, array, "")


def savable_rules(model: Any) -> list[Rename]:
    """The rules to revert when a model is saved: those its checkpoint needed, or its type's.

    Args:
        model: A pretrained model.
    """
    used = model.__dict__.get("_weight_conversions")
    if used is not None:
        return used
    return [rule for rule in rules_for(model, legacy=False) if not isinstance(rule, PrefixChange)]


def _natural(key: str) -> list[tuple[int, Any]]:
    return [(0, int(part)) if part.isdigit() else (1, part) for part in re.split(r"\.", key)]
