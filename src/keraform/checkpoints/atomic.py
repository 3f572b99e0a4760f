"""Files that nobody ever sees half-written: one, or several of a directory as if at one moment."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

from filelock import FileLock

from keraform.errors import KeraformError

_LOCK = ".saving.lock"
_CURRENT = ".saving.current"
_STAGING = ".saving-"
_OVERHEAD = 1 << 20  # bytes of a file that are not weights: names, a graph


def write_atomically(path: Path, write: Callable[[str], object]) -> None:
    """Writes beside `path` and renames, so that nobody ever sees half a file.

    Args:
        path: Where the file shall be.
        write: Gets the name of the file to write.
    """
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    os.close(handle)
    try:
        write(temporary)
        as_open_makes(temporary)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def as_open_makes(path: str | os.PathLike[str]) -> None:
    """Gives a file the permissions that `open` gives; those of temporary files are private.

    Args:
        path: The file.
    """
    mask = os.umask(0)
    os.umask(mask)
    os.chmod(path, 0o666 & ~mask)


def require_room(folder: Path, size: int) -> None:
    """Says that a disk is full before HDF5 finds out, which ends the process then.

    Args:
        folder: Where files will be written.
        size: The bytes of their tensors.

    Raises:
        OSError: There is less room than that.
    """
    free, needed = shutil.disk_usage(folder).free, size + _OVERHEAD
    if free < needed:
        raise OSError(errno.ENOSPC, f"{free:,} bytes free, where {needed:,} are needed")


@contextlib.contextmanager
def replaced_together(folder: Path, replaces: Callable[[str], bool]) -> Iterator[Path]:
    """An empty directory; what the block writes into it takes the place of files of `folder`.

    All of it at one moment: killed at any time, by a signal or a power cut, `folder` holds either
    what it held or what is new, for whoever opens files by their names. New files are first written
    completely. Then each name becomes a symbolic link that leads through one more link,
    `.saving.current`, to the old file; that one link is renamed to lead to the new files instead;
    and the links become the files they lead to. The next save finishes what a killed one left.
    One save at a time: another process or thread waits. Where a file system has no symbolic
    links, files are renamed one after the other, and only each by itself is whole.

    Args:
        folder: The directory; made if need be.
        replaces: Whether a file of this name goes when the new ones have none of that name.

    Raises:
        KeraformError: Something cannot be written; what `folder` holds is whole.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _alone(folder):
            _settle(folder)
            staging = folder / f"{_STAGING}{uuid.uuid4().hex}"
            try:
                new = staging / "new"
                new.mkdir(parents=True)
                yield new
                _switch(folder, staging, replaces)
            finally:
                _settle(folder)
    except OSError as error:
        raise KeraformError(
            expected=f"room for the new files in {folder}, and the right to write there",
            got=str(error),
            try_next=f"df -h {folder}, or another directory; the checkpoint that is there is whole",
        ) from error


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Waits until nobody else saves into a directory; leaves no file behind."""
    path = folder / _LOCK
    held: list[os.stat_result] = []
    lock = FileLock(path, on_acquired=lambda handle: held.append(os.fstat(handle)))
    while True:
        with lock:
            if not _is_at(path, held[-1]):
                continue  # whoever had it before has removed the file that others waited for
            try:
                yield
            finally:
                with contextlib.suppress(PermissionError):  # Windows: it is open
                    path.unlink()
            return


def _is_at(path: Path, file: os.stat_result) -> bool:
    try:
        return os.path.samestat(path.stat(), file)
    except FileNotFoundError:
        return False


def _switch(folder: Path, staging: Path, replaces: Callable[[str], bool]) -> None:
    """Makes what stands in `staging/new` the files of the directory."""
    new, old = staging / "new", staging / "old"
    added = {path.name for path in new.iterdir()}
    removed = {each.name for each in folder.iterdir() if each.is_file() and replaces(each.name)}
    old.mkdir()
    for name in removed | added:
        if (folder / name).is_file():
            _same_file(folder / name, old / name)
    _sync(*new.rglob("*"), new, old, staging)
    if not _has_links(staging):
        for name in added:
            os.replace(new / name, folder / name)
        for name in removed - added:
            (folder / name).unlink()
        return
    _lead(folder, old)
    for name in removed | added:
        link = staging / "link"
        link.symlink_to(f"{_CURRENT}/{name}")
        os.replace(link, folder / name)
    _sync(folder)
    _lead(folder, new)


def _has_links(staging: Path) -> bool:
    try:
        (staging / "probe").symlink_to("new", target_is_directory=True)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise
        return False
    return True


def _lead(folder: Path, target: Path) -> None:
    """Lets the one link of the directory lead to `target`."""
    link = target.parent / "lead"
    link.symlink_to(target.relative_to(folder), target_is_directory=True)
    os.replace(link, folder / _CURRENT)
    _sync(folder)


def _same_file(source: Path, target: Path) -> None:
    """Another name for a file; a copy where file systems have one name for each file."""
    source = source.resolve()
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def is_promised(path: Path) -> bool:
    """Whether a name is a link of a save that has not ended; where it leads to nothing, the
    checkpoint that counts has no such file.

    Args:
        path: A file of a checkpoint.
    """
    return path.is_symlink() and os.readlink(path) == f"{_CURRENT}/{path.name}"


def _settle(folder: Path) -> None:
    """Puts files where links to them are, and removes what a save, finished or not, has left."""
    current = folder / _CURRENT
    if current.is_symlink():
        for path in filter(is_promised, folder.iterdir()):
            target = current / path.name
            if target.is_dir() or not target.exists():
                path.unlink()
            if target.exists():
                os.replace(target, path)
        _sync(folder)
        current.unlink()
    for left in folder.glob(f"{_STAGING}*"):
        shutil.rmtree(left)


def _sync(*paths: Path) -> None:
    """Has the disk hold what was written, so that a power cut does not undo it."""
    if os.name != "posix":
        return
    for path in paths:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
