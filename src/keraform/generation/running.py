"""Runs a way of decoding to its end: token by token in Python, in the graph that is being built, or
compiled.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras
from keras import ops

from keraform.generation.loops import looped
from keraform.generation.programs import Programs
from keraform.generation.sampling import Record, State
from keraform.runtime.layers import Tensor
from keraform.runtime.tracing import is_known

Seen = Callable[[State, Record], None]
Widen = Callable[[State], State | None]


@contextmanager
def one_key_is_meant() -> Iterator[None]:
    """Without Keras's warning of a softmax over one value: decoders begin with one token."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="You are using a softmax over axis")
        yield


@one_key_is_meant()
def step_by_step(
    method: Any, start: tuple[Any, ...], seen: Seen, widen: Widen = lambda state: None
) -> State:
    """Runs in Python; `seen` is told of each step, `widen` makes room where there is none."""
    state, record = method.start(*start)
    seen(state, record)
    while bool(method.goes_on(state)):
        state, record = method.go_on(widen(state) or state)
        seen(state, record)
    return state


@one_key_is_meant()
def in_graph(method: Any, start: tuple[Any, ...]) -> State:
    """Adds the start and a loop to the graph that is being built."""
    return _looped(method, method.start(*start)[0])


def tokens_of(state: State) -> Tensor:
    """The tokens [b, n] of the last state; with all of the room where shapes are static (JAX)."""
    tokens, length = state["input_ids"], state["length"]
    if keras.backend.backend() == "jax" and not is_known(length):
        return tokens
    return tokens[:, :length]


def _looped(method: Any, state: State) -> State:
    """Goes on as long as there is room, of a way of decoding whose room may grow."""

    def goes_on(state: State) -> Any:
        return ops.logical_and(method.goes_on(state), ops.logical_not(method.is_full(state)))

    def go_on(state: State) -> State:
        return method.go_on(state)[0]

    return looped(goes_on if hasattr(method, "is_full") else method.goes_on, go_on, state)


@one_key_is_meant()
def compiled(
    method: Any,
    start: tuple[Any, ...],
    programs: Programs,
    key: tuple[Any, ...],
    widen: Widen = lambda state: None,
) -> State:
    """Runs compiled programs: the start, and the loop, again whenever `widen` made more room."""
    state = programs.run(("start", *key), lambda *start: method.start(*start)[0], start)
    following = state if bool(method.goes_on(state)) else None
    while following is not None:
        state = programs.run(("loop", key[0]), lambda state: _looped(method, state), (following,))
        following = widen(state) if bool(method.goes_on(state)) else None
    return state


class Compiled:
    """A way of decoding whose steps are compiled programs, with Python between them.

    Args:
        method: the way.
        programs: the model's programs.
        key: what each step depends on, and what the first depends on besides.
    """

    def __init__(self, method: Any, programs: Programs, key: tuple[Any, ...]) -> None:
        self.method = method
        self.programs = programs
        self.key = key
        self.goes_on = method.goes_on

    def start(self, *start: Any) -> tuple[State, Record]:
        """The first step."""
        return self.programs.run(("first", *self.key), self.method.start, start)

    def go_on(self, state: State) -> tuple[State, Record]:
        """The next step."""
        return self.programs.run(("next", self.key[0]), self.method.go_on, (state,))
