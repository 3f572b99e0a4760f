"""Loops of a graph that carry caches, arguments and whatever else is made of tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras import ops

from keraform.runtime.caches.state import put_together, take_apart


def looped(goes_on: Callable[[Any], Any], go_on: Callable[[Any], Any], state: Any) -> Any:
    """`state`, changed by `go_on` while `goes_on` holds, as a loop of one graph.

    Args:
        goes_on: of a state a scalar (bool).
        go_on: of a state the next one, with other tensors of the same shapes and nothing else.
        state: tensors, and whatever is made of them.

    Raises:
        NotImplementedError: something else than tensors changes from one state to the next.
    """
    leaves, recipe = take_apart(state)

    def condition(*leaves: Any) -> Any:
        return goes_on(put_together(recipe, iter(leaves)))

    def body(*leaves: Any) -> list[Any]:
        found, changed = take_apart(go_on(put_together(recipe, iter(leaves))))
        if recipe != changed:
            raise NotImplementedError(
                "Expected a model whose calls change tensors alone; this one changes "
                f"{_difference(recipe, changed)}. Call generate(..., disable_compile=True)."
            )
        return found

    return put_together(recipe, iter(ops.while_loop(condition, body, leaves)))


def _difference(before: Any, after: Any, path: str = "state") -> str:
    """The first place where two recipes differ."""
    if before[:1] == after[:1] and len(before) == 3:
        old, new = dict(before[2]), dict(after[2])
        for name in [*old, *new]:
            if name not in old or name not in new:
                return f"{path}.{name}"
            if old[name] != new[name]:
                return _difference(old[name], new[name], f"{path}.{name}")
    return f"{path} from {before} to {after}"[:200]
