"""Live code: the functions of a file that exist, running other code for a while."""

from __future__ import annotations

import gc
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from types import CodeType, FunctionType
from typing import Any

# The code of each function of a file, by its qualified name and first line.
Codes = Mapping[tuple[str, int], CodeType]


def codes_of(whole: CodeType) -> Codes:
    """The codes of the functions of a file, from the code of the file."""
    return {_name(code): code for code in _inner(whole)}


# Functions that the collector does not know any more.
_frozen: list[FunctionType] = []


def freeze() -> None:
    """Spares the collector the walk over all that was imported, which takes longer than most calls
    of a tiny model; for processes that compare many models.
    """
    gc.collect()
    _frozen.extend(each for each in gc.get_objects() if type(each) is FunctionType)
    gc.freeze()


def live_functions(paths: Container[str]) -> list[FunctionType]:
    """The functions of files that exist, those inside decorators and closures too."""
    known = (each for each in gc.get_objects() if type(each) is FunctionType)
    return [each for each in chain(_frozen, known) if each.__code__.co_filename in paths]


@contextmanager
def swapped(
    functions: Sequence[FunctionType],
    codes: Mapping[str, Codes],
    name: str,
    hook: Callable[..., Any],
) -> Iterator[None]:
    """While active, functions run their file's other code, which finds `hook` under `name`.

    Args:
        functions: the functions; of one without other code, or whose code does not fit, nothing is
            changed.
        codes: the other code, by file.
        name: of the global that the other code calls.
        hook: what stands there.
    """
    kept = []
    hooked: list[dict[str, Any]] = []
    try:
        for function in functions:
            old = function.__code__
            new = codes.get(old.co_filename, {}).get(_name(old))
            if new is None or new.co_freevars != old.co_freevars:
                continue
            kept.append((function, old))
            if name not in function.__globals__:
                hooked.append(function.__globals__)
                function.__globals__[name] = hook
            function.__code__ = new
        yield
    finally:
        for function, old in kept:
            function.__code__ = old
        for names in hooked:
            names.pop(name, None)


def _name(code: CodeType) -> tuple[str, int]:
    return code.co_qualname, code.co_firstlineno


def _inner(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from _inner(constant)
