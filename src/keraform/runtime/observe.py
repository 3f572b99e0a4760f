"""Reports each finished layer call to whoever watches: recording, verifying, capturing outputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

Callback = Callable[[Any, tuple[Any, ...], dict[str, Any], Any], None]

_CALLBACKS: ContextVar[tuple[Callback, ...]] = ContextVar("keraform_observers", default=())


@contextmanager
def observe(callback: Callback) -> Iterator[None]:
    """Call `callback(layer, args, kwargs, output)` after each layer call that ends inside.

    Observers nest: the outer ones hear the same calls, before the inner ones. A call is reported
    when it ends, so a layer comes after the layers inside it.

    Example:
        with observe(lambda layer, args, kwargs, output: seen.append(layer.name)):
            model(inputs)
    """
    token = _CALLBACKS.set((*_CALLBACKS.get(), callback))
    try:
        yield
    finally:
        _CALLBACKS.reset(token)


@contextmanager
def unobserved() -> Iterator[None]:
    """Silence all observers inside, for layer calls that are not the model's own."""
    token = _CALLBACKS.set(())
    try:
        yield
    finally:
        _CALLBACKS.reset(token)


def report(layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
    """Tell the observers of one finished call (whoever has a `__call__` of its own calls this)."""
    for callback in _CALLBACKS.get():
        callback(layer, args, kwargs, output)
