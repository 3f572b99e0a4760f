"""Which weights somebody has frozen, so that a model that is made again trains the same ones."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from keraform.runtime.tree import named_weights


def frozen(model: Any) -> list[str]:
    """The torch keys of weights that were made to be trained and are not.

    Args:
        model: A model; one that is frozen as a whole says so itself.
    """
    if not model.trainable:
        return []
    return [
        weight.key
        for weight in named_weights(model, aliases=False)
        if not weight.variable.trainable
        and any(weight.variable is each for each in weight.layer._trainable_variables)
    ]


def freeze(model: Any, keys: Iterable[str]) -> None:
    """Freezes the weights of these keys.

    Args:
        model: A model that has them.
        keys: What `frozen` gave.
    """
    known = {weight.key: weight.variable for weight in named_weights(model)}
    for key in keys:
        known[key].trainable = False
