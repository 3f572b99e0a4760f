"""Lines of users' files: their text, and the one that is being run."""

from __future__ import annotations

import linecache
import sys
from pathlib import Path
from types import FrameType

from keraform.verify.findings import Place


def place_of(file: str, line: int) -> Place:
    """A line of a file, with its text."""
    return Place(file, line, linecache.getline(file, line).strip())


def calling_place(file: str) -> Place | None:
    """The line of `file` that is being run, the innermost one."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename != file:
        frame = frame.f_back
    return None if frame is None else place_of(file, frame.f_lineno)


def files_beside(file: str) -> list[str]:
    """A file, and the imported modules of its folder."""
    folder = Path(file).parent
    found = [file]
    for module in list(sys.modules.values()):
        other = getattr(module, "__file__", None)
        if other and other != file and Path(other).parent == folder and other.endswith(".py"):
            found.append(other)
    return found
