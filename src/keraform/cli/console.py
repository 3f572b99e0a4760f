"""Where a command's lines go: results to standard output, everything else to standard error."""

from __future__ import annotations

import functools
import json
import os
import shlex
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from keraform.errors import KeraformError

# Exit codes: everything as wished, differences or refusals found, wrong usage.
CLEAN, FOUND, USAGE = 0, 1, 2

# Progress in a file is a line this often.
SECONDS_A_LINE = 10

out = Console(soft_wrap=True)
err = Console(stderr=True, soft_wrap=True)


def print_json(record: object) -> None:
    """Prints a record as JSON, and nothing else, to standard output."""
    out.print(json.dumps(record, indent=2, default=str), highlight=False, markup=False)


def command_line() -> str:
    """The command as it was typed."""
    return shlex.join(["keraform", *sys.argv[1:]])


def end(code: int) -> None:
    """Ends the command with an exit code."""
    raise typer.Exit(code)


def ends_with_a_message(command: Callable[..., None]) -> Callable[..., None]:
    """Shows a user's mistake as its message, without a traceback, and ends with code 2."""

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except KeraformError as error:
            err.print(str(error), style="red", highlight=False, markup=False)
            end(USAGE)
        except KeyboardInterrupt:
            err.print("interrupted", style="red")
            end(130)

    return run


def read_source(path: Path) -> str:
    """Reads a Python file that a user named, or says what is wrong with it."""
    try:
        return path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise KeraformError(
            expected="a Python file in UTF-8",
            got=f"{path}: {error.reason} at byte {error.start}",
            try_next=f"file {path}",
        ) from error
    except OSError as error:
        raise KeraformError(
            expected="a Python file", got=f"{path}: {error.strerror}", try_next=f"ls {path.parent}"
        ) from error


def write_whole(path: Path, text: str, force: bool = False) -> None:
    """Writes a file in one piece; what somebody has edited stays unless it is forced."""
    if path.exists() and not force and path.read_text("utf-8") != text:
        raise KeraformError(
            expected=f"no file {path}, or the same text in it",
            got="a file with other contents, which may be somebody's work",
            try_next="the same command with --force, or another --out",
        )
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(text, "utf-8")
        part.replace(path)
    except OSError as error:
        raise KeraformError(
            expected="a place to write", got=f"{path}: {error.strerror}", try_next=f"touch {path}"
        ) from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


@contextmanager
def progress(total: int, unit: str, quiet: bool = False) -> Iterator[Callable[[str], None]]:
    """A progress bar on standard error, lines where that is a file; the function it gives marks one
    piece as begun.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=err, transient=True, disable=quiet) as bar:
        task = bar.add_task("", total=total)
        started = -1

        def begin(what: str) -> None:
            nonlocal started
            started += 1
            bar.update(task, completed=started, description=what)
            if not (err.is_terminal or quiet):
                err.print(f"{started} of {total} {unit}; {what}")

        yield begin
        bar.update(task, completed=total)


@contextmanager
def steps(quiet: bool = False) -> Iterator[Callable[[str, int, int], None]]:
    """A progress bar for work that counts for itself: the function takes (what, done, total). Where
    standard error is a file, a line every 10 seconds.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True, disable=quiet) as bar:
        task = bar.add_task("preparing", total=None)
        told = time.monotonic()

        def step(what: str, done: int, total: int) -> None:
            nonlocal told
            bar.update(task, completed=done, total=total, description=what)
            if not (err.is_terminal or quiet) and time.monotonic() - told > SECONDS_A_LINE:
                told = time.monotonic()
                err.print(f"{done} of {total}; {what}", highlight=False, markup=False)

        yield step


@contextmanager
def waiting(what: str, quiet: bool = False) -> Iterator[None]:
    """Shows that something is under way that cannot be counted."""
    if quiet:
        yield
        return
    with err.status(what):
        yield


@contextmanager
def loading_backend(quiet: bool = False) -> Iterator[None]:
    """Hides what a backend's native code writes to standard error while it is imported.

    TensorFlow greets before it reads TF_CPP_MIN_LOG_LEVEL, so its lines are held back here; they
    are shown after all when the import fails.
    """
    with tempfile.TemporaryFile() as hidden, os.fdopen(os.dup(2), "w") as terminal:
        os.dup2(hidden.fileno(), 2)
        try:
            with (
                Console(file=terminal).status("loading the backend") if not quiet else nullcontext()
            ):
                yield
        except BaseException:
            hidden.seek(0)
            terminal.write(hidden.read().decode(errors="replace"))
            raise
        finally:
            terminal.flush()
            os.dup2(terminal.fileno(), 2)
