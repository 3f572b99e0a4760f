"""Rung 9: rungs 4 and 5 on JAX, in a process of its own, since a process has one backend for life.

`python -m keraform.verify.rungs.portable` reads a target as JSON on standard input and writes one
JSON line for each class.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from keraform.verify.backends import JAX
from keraform.verify.outcome import PASS, failed, holds
from keraform.verify.targets import Target, cases_of

INNER_RUNGS = (4, 5)


class Portable:
    """The process that climbs rungs 4 and 5 on JAX while this one climbs the others."""

    def __init__(self, target: Target, classes: list[str]) -> None:
        self._errors = tempfile.TemporaryFile("w+")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "keraform.verify.rungs.portable"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env={**os.environ, **JAX, "PYTHONPATH": _import_path()},
        )
        self._process.stdin.write(json.dumps({"target": target.to_json(), "classes": classes}))
        self._process.stdin.close()
        self._found: dict[str, str] = {}

    def outcome(self, class_name: str) -> str:
        """The outcome of one class; waits for it."""
        while class_name not in self._found:
            line = self._process.stdout.readline()
            if not line:
                return failed(f"the process on JAX ended: {self._last_words()}")
            if line.startswith("{"):
                record = json.loads(line)
                self._found[record["class"]] = record["outcome"]
        return self._found[class_name]

    def stop(self) -> None:
        """End the process if it is still running."""
        if self._process.poll() is None:
            self._process.terminate()
        self._process.wait()
        self._process.stdout.close()
        self._errors.close()

    def _last_words(self) -> str:
        self._process.wait()
        self._errors.seek(0)
        lines = self._errors.read().strip().splitlines()
        return lines[-1] if lines else f"exit code {self._process.returncode}"


def _import_path() -> str:
    """This very package first, wherever it was imported from."""
    here = str(Path(__file__).parents[3])
    return os.pathsep.join(filter(None, (here, os.environ.get("PYTHONPATH"))))


def verdict(outcomes: Iterable[str]) -> str:
    """The rung's outcome: the first of the inner ones that does not hold, else a pass."""
    return next((outcome for outcome in outcomes if not holds(outcome)), PASS)


def main() -> None:
    """The other process."""
    from keraform.verify.ladder import CLIMBS, attempt
    from keraform.verify.outcome import ClassReport
    from keraform.verify.quiet import quiet

    job = json.load(sys.stdin)
    with quiet():
        wanted = set(job["classes"])
        for case in cases_of(Target.from_json(job["target"])):
            if case.name not in wanted:
                continue
            entry = ClassReport(case.name)
            outcomes = [attempt(CLIMBS[rung], case, entry) for rung in INNER_RUNGS]
            print(json.dumps({"class": case.name, "outcome": verdict(outcomes)}), flush=True)


if __name__ == "__main__":
    main()
