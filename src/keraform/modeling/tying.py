"""Weights that stand under several keys and are one: upstream's table, expanded and carried out."""

from __future__ import annotations

import itertools
import re
from typing import Any

from keraform.errors import explain
from keraform.runtime.layers.tying import tie
from keraform.runtime.tree import TorchWeight, children, named_weights, own_weights

_PLAIN = re.compile(r"[A-Za-z0-9_.]+(weight|bias)")


def expanded_ties(model: Any) -> dict[str, str]:
    """The ties of one model as {key: key of the weight that it shares}, without patterns.

    `_tied_weights_keys` may name weights, whole modules, or regular expressions.

    Args:
        model: A pretrained model; its inner models have tables of their own.
    """
    table = model._tied_weights_keys
    if not table or not getattr(model.config, "tie_word_embeddings", False):
        return {}
    if all(_PLAIN.fullmatch(key) for pair in table.items() for key in pair):
        return dict(table)
    keys = sorted({weight.key for weight in named_weights(model)})
    found: dict[str, str] = {}
    for target, source in table.items():
        sources = [key for key in keys if re.search(f"^{source}", key)]
        targets = [key for key in keys if re.search(f"^{target}", key)]
        if not sources or not targets or len(targets) % len(sources):
            raise ValueError(
                explain(
                    f"as many weights that match {target} as match {source}, or a multiple",
                    f"{targets} and {sources} in {type(model).__name__}",
                    "correct _tied_weights_keys of the class",
                )
            )
        for key, shared in zip(targets, itertools.cycle(sources), strict=False):
            found[key] = found.get(shared, shared)
    return {key: shared for key, shared in found.items() if key != shared}


def inherited_ties(model: Any) -> dict[str, str]:
    """The ties of the models directly inside, with this model's keys.

    Args:
        model: A pretrained model.
    """
    found: dict[str, str] = {}
    for name, child in children(model):
        start = "" if name == model.main_layer else f"{name}."
        for key, shared in (getattr(child, "all_tied_weights_keys", None) or {}).items():
            found[start + key] = start + shared
    return found


def tie_weights(model: Any, ties: dict[str, str]) -> None:
    """Lets each key of `ties` share the variable of the key it stands for.

    Args:
        model: A pretrained model.
        ties: {key: key of the weight that it shares}, as from `expanded_ties`.
    """
    if not ties:
        return
    weights = {weight.key: weight for weight in named_weights(model)}
    for key, shared in ties.items():
        target, source = _found(model, weights, key), _found(model, weights, shared)
        if target.variable is not source.variable:
            tie(target.layer, _name(target), source.layer, _name(source))


def _name(weight: TorchWeight) -> str:
    """The weight's key within its layer."""
    names = (own.key for own in own_weights(weight.layer))
    return next(name for name in names if f".{weight.key}".endswith(f".{name}"))


def _found(model: Any, weights: dict[str, TorchWeight], key: str) -> TorchWeight:
    if key in weights:
        return weights[key]
    raise ValueError(
        explain(
            f"a weight {key} in {type(model).__name__}",
            f"{len(weights)} weights without it",
            "correct _tied_weights_keys of the class",
        )
    )
