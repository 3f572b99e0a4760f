"""Where conversions are written: out of sight until they are proved, then in place at once."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from keraform.checkpoints.atomic import require_room
from keraform.errors import KeraformError


def require_place(out: Path) -> None:
    """Says before the work that its result could not be written.

    Args:
        out: A directory, which need not be there yet.

    Raises:
        KeraformError: It cannot be made, or not be written to.
    """
    there = next(each for each in (out.absolute(), *out.absolute().parents) if each.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise _no_place(out, f"{there}: {'no right to write' if there.is_dir() else 'a file'}")


@contextmanager
def written_whole(out: Path, name: str, size: int = 0) -> Iterator[Path]:
    """A path to write to, in a folder beside the target that is gone in the end.

    Args:
        out: The directory of the target; made if need be.
        name: The target's name there.
        size: The bytes of the weights that will be written.

    Raises:
        KeraformError: There is no place to write, or not enough.
    """
    made = not out.exists()
    try:
        out.mkdir(parents=True, exist_ok=True)
        require_room(out, size)
        with tempfile.TemporaryDirectory(dir=out, prefix=".converting-") as folder:
            path = Path(folder) / name
            path.parent.mkdir(exist_ok=True)
            yield path
    except OSError as error:
        raise _no_place(out, error.strerror or str(error)) from error
    finally:
        if made:
            with suppress(OSError):  # something is in it
                out.rmdir()


def _no_place(out: Path, problem: str) -> KeraformError:
    return KeraformError(
        expected=f"a directory to write to: {out}",
        got=problem,
        try_next=f"df -h {out}, or another directory",
    )


def put(unfinished: Path, target: Path) -> Path:
    """Moves what was written to its place; a folder that is there makes room first.

    Args:
        unfinished: What was written.
        target: Its place, on the same file system.

    Returns:
        The target.
    """
    target.parent.mkdir(exist_ok=True)
    if target.is_dir():
        old = unfinished.with_name("old")
        os.replace(target, old)
        os.replace(unfinished, target)
        shutil.rmtree(old)
    else:
        os.replace(unfinished, target)
    return target
