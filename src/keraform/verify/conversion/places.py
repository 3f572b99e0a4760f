"""Where conversions are written: out of sight until they are proved, then in place at once."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from keraform.errors import KeraformError


@contextmanager
def written_whole(out: Path, name: str) -> Iterator[Path]:
    """A path to write to, in a folder beside the target that is gone in the end.

    Raises:
        KeraformError: There is no place to write, or not enough.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out, prefix=".converting-") as folder:
            path = Path(folder) / name
            path.parent.mkdir(exist_ok=True)
            yield path
    except OSError as error:
        raise KeraformError(
            expected=f"a place for {name} in {out}",
            got=f"{error.strerror or error}",
            try_next=f"df -h {out}, or another directory",
        ) from error


def put(unfinished: Path, target: Path) -> Path:
    """Move what was written to its place; a folder that is there makes room first."""
    target.parent.mkdir(exist_ok=True)
    if target.is_dir():
        old = unfinished.with_name("old")
        os.replace(target, old)
        os.replace(unfinished, target)
        shutil.rmtree(old)
    else:
        os.replace(unfinished, target)
    return target
