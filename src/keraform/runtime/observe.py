"""Reports layer calls to whoever watches: recording, verifying, capturing outputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

Callback = Callable[[Any, tuple[Any, ...], dict[str, Any], Any], None]
Run = Callable[..., Any]
Around = Callable[[Run, Any, tuple[Any, ...], dict[str, Any]], Any]

_CALLBACKS: ContextVar[tuple[Callback, ...]] = ContextVar("keraform_observers", default=())
_AROUND: ContextVar[Around | None] = ContextVar("keraform_around", default=None)


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
    """Silence observers and interception inside, for layer calls that torch's model has not."""
    tokens = _CALLBACKS.set(()), _AROUND.set(None)
    try:
        yield
    finally:
        _CALLBACKS.reset(tokens[0])
        _AROUND.reset(tokens[1])


@contextmanager
def intercept(around: Around) -> Iterator[None]:
    """Let `around(run, layer, args, kwargs)` stand for each layer call inside: it gives the output,
    as a rule that of `run(*args, **kwargs)`, and may change arguments and output.

    Observers hear of the output that it gives.
    """
    token = _AROUND.set(around)
    try:
        yield
    finally:
        _AROUND.reset(token)


def report(layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
    """Tell the observers of one finished call (whoever has a `__call__` of its own calls this)."""
    for callback in _CALLBACKS.get():
        callback(layer, args, kwargs, output)
