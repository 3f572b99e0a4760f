"""What a mutator is: one row that knows which expressions it can spoil, and how."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tests.mutations.source import Place

Spoil = Callable[[Place], Iterable[ast.expr]]


@dataclass(frozen=True)
class Mutator:
    """A way to go wrong.

    Args:
        kind: the sort of fault, one of the published rows.
        name: the row's own name, unique.
        spoil: gives what may stand in place of an expression; nothing where it does not apply.
    """

    kind: str
    name: str
    spoil: Spoil
