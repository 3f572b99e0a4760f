"""Origins: which torch file a generated file comes from, and which of its lines is which."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from keraform.verify.findings import Place
from keraform.verify.live_code import live_functions
from keraform.verify.localising.alignment import Lines
from keraform.verify.localising.recorder import Recorder, source_text
from keraform.verify.localising.statements import Statement, instrument


@dataclass(frozen=True)
class Origin:
    """The torch file of a port, and its line map."""

    torch_file: str
    lines: Lines


OriginOf = Callable[[str], "Origin | None"]


@lru_cache(maxsize=64)
def origin_of(file: str) -> Origin | None:
    """The origin of a file that is a port of an upstream module; None for any other file."""
    from keraform.translate.importer import PACKAGE, upstream_name
    from keraform.translate.linemap import map_module
    from keraform.translate.source import module_path

    for name, module in list(sys.modules.items()):
        if name.startswith(PACKAGE + ".") and getattr(module, "__file__", None) == file:
            upstream = upstream_name(name)
            if upstream is not None:
                return Origin(str(module_path(upstream)), map_module(upstream))
    return None


def files_of(objects: Iterable[Any], origin: OriginOf) -> dict[str, Origin]:
    """The generated files that the classes of layers come from, with their origins."""
    found: dict[str, Origin] = {}
    for owner in {each for layer in objects for each in type(layer).__mro__}:
        try:
            file = inspect.getfile(owner)
        except (TypeError, OSError):
            continue
        known = None if file in found else origin(file)
        if known is not None:
            found[file] = known
    return dict(sorted(found.items()))


@contextmanager
def watching(its: Recorder, mine: Recorder, files: dict[str, Origin]) -> Iterator[None]:
    """While active, the functions of the torch files report to `its` and those of the generated
    files to `mine`; they are searched for once, since that walks over all objects that exist.
    """
    torch_files = {origin.torch_file for origin in files.values()}
    alive = live_functions({*torch_files, *files})
    with its.watching(torch_files, alive), mine.watching(files, alive):
        yield


def place_of(statement: Statement | None) -> Place | None:
    """A statement as findings show it."""
    if statement is None:
        return None
    return Place(statement.file, statement.line, statement.text)


def place_at(file: str, line: int | None) -> Place | None:
    """The statement at a line of a file; outside of functions the line alone."""
    if line is None:
        return None
    text = source_text(file)
    found = place_of(instrument(text, file).statement_at(line))
    return found or Place(file, line, text.splitlines()[line - 1])
