"""Runs a way of decoding to its end: token by token in Python, in the graph that is being built, or
compiled.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from keras import ops

from keraform.generation.programs import Programs
from keraform.generation.sampling import Record, State
from keraform.runtime.caches.state import put_together, take_apart

Seen = Callable[[State, Record], None]


@contextmanager
def one_key_is_meant() -> Iterator[None]:
    """Without Keras's warning of a softmax over one value: decoders begin with one token."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="You are using a softmax over axis")
        yield


@one_key_is_meant()
def step_by_step(method: Any, start: tuple[Any, ...], seen: Seen) -> State:
    """Runs in Python; `seen` is told of each step."""
    state, record = method.start(*start)
    seen(state, record)
    while bool(method.goes_on(state)):
        state, record = method.go_on(state)
        seen(state, record)
    return state


@one_key_is_meant()
def in_graph(method: Any, start: tuple[Any, ...]) -> State:
    """Adds the start and a loop to the graph that is being built."""
    return _looped(method, method.start(*start)[0])


def _looped(method: Any, state: State) -> State:
    leaves, recipe = take_apart(state)

    def goes_on(*leaves: Any) -> Any:
        return method.goes_on(put_together(recipe, iter(leaves)))

    def go_on(*leaves: Any) -> list[Any]:
        following, _ = method.go_on(put_together(recipe, iter(leaves)))
        found, changed = take_apart(following)
        _check(recipe, changed)
        return found

    return put_together(recipe, iter(ops.while_loop(goes_on, go_on, leaves)))


@one_key_is_meant()
def compiled(method: Any, start: tuple[Any, ...], programs: Programs, key: Any) -> State:
    """Runs two compiled programs: the start, and the loop."""
    state = programs.run(("start", key), lambda *start: method.start(*start)[0], start)
    return programs.run(("loop", key), lambda state: _looped(method, state), (state,))


@one_key_is_meant()
def compiled_step_by_step(
    method: Any, start: tuple[Any, ...], programs: Programs, key: Any, seen: Seen
) -> State:
    """Runs each step as a compiled program, and Python between them; `seen` is told of each."""
    state, record = programs.run(("first", key), method.start, start)
    seen(state, record)
    while bool(method.goes_on(state)):
        state, record = programs.run(("next", key), method.go_on, (state,))
        seen(state, record)
    return state


def _check(recipe: Any, changed: Any) -> None:
    if recipe != changed:
        raise NotImplementedError(
            "Expected a model whose calls change tensors alone; this one changes "
            f"{_difference(recipe, changed)}. Call generate(..., disable_compile=True)."
        )


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
