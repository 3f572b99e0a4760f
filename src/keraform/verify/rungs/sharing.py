"""Shared weights: what is one parameter in torch is one variable in the port, and vice versa.

Loading cannot see it, nor a forward pass: two variables with the same value give the same outputs
until the first training step.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable
from typing import Any

from torch import nn

from keraform.runtime.tree import named_weights

# Each key with all keys of its weight, itself included.
Shares = dict[str, frozenset[str]]


def torch_shares(model: nn.Module) -> Shares:
    """By where tensors lie in memory: the same numbers, not equal ones."""
    state = model.state_dict()
    return _grouped(
        (key, (value.data_ptr(), value.shape, value.stride()) if value.numel() else key)
        for key, value in state.items()
    )


def keras_shares(model: Any) -> Shares:
    """By the variable."""
    return _grouped((weight.key, id(weight.variable)) for weight in named_weights(model))


def differently_shared(torch: Shares, keras: Shares) -> list[str]:
    """One line for each weight that is tied on one side only."""
    lines = []
    for key in sorted(torch.keys() & keras.keys()):
        for other in sorted(torch[key] - keras[key]):
            if key < other:
                lines.append(f"{key} and {other} are two variables, one parameter in torch")
        for other in sorted(keras[key] - torch[key]):
            if key < other:
                lines.append(f"{key} and {other} are one variable, two parameters in torch")
    return lines


def _grouped(pairs: Iterable[tuple[str, Hashable]]) -> Shares:
    groups: dict[Hashable, set[str]] = defaultdict(set)
    for key, identity in pairs:
        groups[identity].add(key)
    return {key: frozenset(group) for group in groups.values() for key in group}
