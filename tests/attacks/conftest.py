"""What every attack runs under: nothing is run, nothing is written, and time and memory end."""

from __future__ import annotations

import faulthandler
import os
import resource
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from keraform.errors import KeraformError

SECONDS = 10
MEMORY = 600 * 2**20  # bytes above what the process has

_FORBIDDEN = (
    "os.exec", "os.fork", "os.link", "os.mkdir", "os.posix_spawn", "os.remove", "os.rename",
    "os.spawn", "os.symlink", "os.system", "os.truncate", "pty.spawn", "shutil.", "socket.connect",
    "subprocess.Popen",
)  # fmt: skip
_seen: list[str] | None = None


def _watch(event: str, arguments: tuple[object, ...]) -> None:
    """Python tells of everything that a process does to the world around it."""
    if _seen is None or not event.startswith(("open", "os.", "pty.", "shutil.", "s")):
        return
    writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITING
    # Python keeps what it compiles when a module is first imported
    own = "__pycache__" in str(arguments[0]) if arguments else False
    if (writes or event.startswith(_FORBIDDEN)) and not own:
        _seen.append(f"{event}{arguments}")


_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
sys.addaudithook(_watch)


class TooLate(BaseException):
    """No `Exception`, since what is attacked may catch those."""


def _stop(*_: object) -> None:
    raise TooLate(f"after {SECONDS} s it was still at it")


@contextmanager
def guarded() -> Iterator[None]:
    """Ends what takes too long, or too much memory; fails where the world was changed."""
    global _seen
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    handler = signal.signal(signal.SIGALRM, _stop)
    _seen = seen = []
    try:
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY, hard))
        signal.setitimer(signal.ITIMER_REAL, SECONDS)
        faulthandler.dump_traceback_later(3 * SECONDS, exit=True)  # C code lets no signal in
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
        signal.setitimer(signal.ITIMER_REAL, 0)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        signal.signal(signal.SIGALRM, handler)
        _seen = None
    assert not seen, seen


Refuses = Callable[..., str]


@pytest.fixture
def refuses(tmp_path: Path) -> Iterator[Refuses]:
    """Runs a function under guard, which must fail with an error in three parts; gives its text."""

    def check(function: Callable[[], object], *words: str) -> str:
        with pytest.raises(KeraformError) as caught, guarded():
            function()
        text = str(caught.value)
        for word in ("expected: ", "\ngot: ", "\ntry: ", *words):
            assert word in text, text
        assert len(text) < 3000 and "MemoryError" not in text, text
        return text

    yield check
    assert not (tmp_path / "canary").exists()


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    """The file that an attack would make."""
    return tmp_path / "canary"
