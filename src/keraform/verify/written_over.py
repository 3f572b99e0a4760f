"""Tensors that torch's model writes over after one of its modules has given them: `hidden_states +=
...` of a hidden state on record, positions added to the encoder's output, which the caller holds.
"""

from __future__ import annotations

import weakref
from typing import Any

import torch

from keraform.verify.leaves import Leaf, Leaves, ReadLeaf


class GivenTensors:
    """The tensors that stages gave, and what was in them then.

    Args:
        read: gives the leaf of a tensor, None for anything else.
    """

    def __init__(self, read: ReadLeaf):
        self.read = read
        self.known: dict[int, tuple[weakref.ref[torch.Tensor], int, Leaf]] = {}
        self.passed_on: set[int] = set()  # what a stage takes, and may give as it is
        self.old: list[Leaf] = []

    def note(self, value: Any) -> Leaf | None:
        """The leaf of a tensor that a stage gives."""
        leaf = self.read(value)
        if leaf is not None and id(value) not in self.passed_on:
            self.known[id(value)] = weakref.ref(value), value._version, leaf
        return leaf

    def first(self, value: Any) -> Leaf | None:
        """The leaf of a tensor as it was before the model wrote over it."""
        reference, version, leaf = self.known.get(id(value), (None, 0, None))
        if leaf is None or reference is None or reference() is not value:
            return self.read(value)
        if value._version == version:
            return leaf
        self.old.append(leaf)
        return leaf

    def replaced(self, outputs: Leaves) -> frozenset[str]:
        """The names of those that the model has written over."""
        old = {id(leaf) for leaf in self.old}
        return frozenset(name for name, leaf in outputs.items() if id(leaf) in old)
