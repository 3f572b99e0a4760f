"""Measurements in processes of their own, which print one JSON object as their last line."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from typing import Any

ENVIRONMENT = {
    "KERAS_BACKEND": "tensorflow",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "CUDA_VISIBLE_DEVICES": "",
    "HF_HUB_OFFLINE": "1",
    "PYTHONDONTWRITEBYTECODE": "",  # as on a user's machine: compiled once
    "TRANSFORMERS_VERBOSITY": "error",
}


def child(code: str, *args: str, **environment: str) -> dict[str, Any]:
    """Run `code` in a fresh Python.

    Args:
        code: the program; it prints a JSON object last.
        *args: its `sys.argv[1:]`.
        **environment: variables beside the usual ones.

    Raises:
        SystemExit: the program failed.
    """
    result = subprocess.run(
        [sys.executable, "-c", code, *args],
        env={**os.environ, **ENVIRONMENT, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode != 0:
        raise SystemExit(f"expected a measurement; got {result.stderr[-2000:]}")
    return json.loads(result.stdout.strip().splitlines()[-1])


class Worker:
    """A fresh Python that runs `code`, and answers each line with one line of JSON.

    Args:
        code: the program, which reads its standard input.
        *args: its `sys.argv[1:]`.
        python: the interpreter.
        **environment: variables beside the usual ones.
    """

    def __init__(
        self, code: str, *args: str, python: str = sys.executable, **environment: str
    ) -> None:
        self._errors = tempfile.TemporaryFile("w+")
        self._process = subprocess.Popen(
            [python, "-c", code, *args],
            env={**os.environ, **ENVIRONMENT, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )

    def ask(self, question: object) -> dict[str, Any]:
        """The answer to one line.

        Raises:
            SystemExit: the program failed.
        """
        assert self._process.stdin is not None and self._process.stdout is not None  # pipes
        with contextlib.suppress(BrokenPipeError):  # then there is no answer either
            self._process.stdin.write(f"{question}\n")
            self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            self._errors.seek(0)
            raise SystemExit(f"expected a measurement; got {self._errors.read()[-2000:]}")
        return json.loads(line)

    def close(self) -> None:
        """End the program."""
        self._process.communicate()
