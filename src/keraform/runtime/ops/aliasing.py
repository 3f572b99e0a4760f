"""In-place changes of a tensor that belongs to a caller, such as a state that a cache holds."""

from __future__ import annotations

from typing import Any


def assign(target: Any, value: Any) -> Any:
    """Returns `value`, and stores it where `target` lives when that is a cache or a variable.

    torch code changes a caller's tensor in place. A tensor of Keras cannot change, so what only
    holds a tensor for somebody else (`runtime.caches.HeldState`, a `keras.Variable`) says so by
    its `assign`; a plain tensor is the callee's own from here on.
    """
    if hasattr(target, "assign"):
        target.assign(value)
    return value
