"""Recording: the value of each statement and operation of live functions, by file and line, on
either side.
"""

from __future__ import annotations

import linecache
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FunctionType
from typing import Any

import numpy as np

from keraform.errors import KeraformError
from keraform.verify.leaves import Leaf, Leaves, ReadLeaf
from keraform.verify.live_code import live_functions, swapped
from keraform.verify.localising.statements import (
    HOOK,
    PARAMETERS,
    RESULT,
    Instrumented,
    Site,
    Statement,
    instrument,
)

NUMBERS = (bool, int, float, np.bool_, np.integer, np.floating)


@dataclass
class Execution:
    """One execution of one statement: what its operations gave, in order, and its own result.

    Of a function's header, the result is what the function was given, and `caller` the statement
    that called it.
    """

    statement: Statement
    stage: str
    caller: Statement | None = None
    operations: list[tuple[Site, Leaves]] = field(default_factory=list)
    result: Leaves | None = None

    @property
    def reads(self) -> dict[str, np.ndarray]:
        """What the statement took and computed on the way to its result, by source text."""
        found = {}
        for site, given in self.operations:
            for name, leaf in given.items():
                found[site.text if name == "output" else f"{site.text}.{name}"] = leaf.array
        return found


class Recorder:
    """Collects executions while stages that are wanted run.

    Args:
        read: gives the leaf of a tensor of the framework, None for anything else.
        wanted: whether a stage's own code is recorded, by the stage's name; all when None.
        operations: also keep what each operation inside a statement gave.
        reads: also keep what it read.
    """

    def __init__(
        self,
        read: ReadLeaf,
        wanted: Callable[[str], bool] | None = None,
        operations: bool = True,
        reads: bool = False,
    ) -> None:
        self.executions: list[Execution] = []
        self.read = read
        self._wanted = wanted or (lambda stage: True)
        self._keeps_operations = operations
        self._keeps_reads = reads
        self._stages: list[tuple[str, bool]] = [("", self._wanted(""))]
        self._open: list[Execution] = []
        self._by_stage: dict[str, list[Execution]] = {}
        self._counted = 0
        self._files: dict[str, Instrumented] = {}

    def forget(self) -> None:
        """Drops what was collected."""
        self.executions.clear()
        self._open.clear()
        self._by_stage.clear()
        self._counted = 0

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """What runs inside is a stage's own code, until another stage begins."""
        self.enter(name)
        try:
            yield
        finally:
            self.leave()

    def enter(self, name: str) -> None:
        """A stage begins."""
        self._stages.append((name, self._wanted(name)))

    def leave(self) -> None:
        """The innermost stage ends."""
        self._stages.pop()

    def of_stage(self, name: str) -> list[Execution]:
        """The executions of a stage's own code, in the order in which they ended."""
        if self._counted != len(self.executions):  # whoever asks for one stage asks for all
            self._by_stage.clear()
            for each in self.executions:
                self._by_stage.setdefault(each.stage, []).append(each)
            self._counted = len(self.executions)
        return self._by_stage.get(name, [])

    @contextmanager
    def watching(
        self, files: Iterable[str], functions: Sequence[FunctionType] | None = None
    ) -> Iterator[None]:
        """While active, the functions of these files report to this recorder.

        Args:
            files: the files.
            functions: the functions that exist, where they are known.
        """
        for path in files:
            self._files[path] = instrument(source_text(path), path)
        codes = {path: made.codes for path, made in self._files.items()}
        alive = live_functions(codes) if functions is None else functions
        with swapped(alive, codes, HOOK, self._observe):
            yield

    def _observe(self, file: str, number: int, site: int, value: Any) -> Any:
        stage, wanted = self._stages[-1]
        if not wanted:
            return value
        made = self._files[file]
        statement = made.statements[number]
        if site == PARAMETERS:
            given = flatten(value, self.read)
            self.executions.append(Execution(statement, stage, self._caller(), result=given))
        elif site == RESULT:
            execution = self._pending(statement, stage, remove=True)
            execution.result = flatten(value, self.read)
            self.executions.append(execution)
        elif self._keeps(made.sites[site]):
            found = flatten(value, self.read, numbers=self._keeps_reads)
            if found:
                self._pending(statement, stage).operations.append((made.sites[site], found))
        return value

    def _keeps(self, site: Site) -> bool:
        read = site.reads and not site.added
        return self._keeps_reads if read else self._keeps_operations

    def _caller(self) -> Statement | None:
        """The statement of a watched file that called the function that has just begun."""
        frame = sys._getframe(2).f_back
        while frame is not None:
            made = self._files.get(frame.f_code.co_filename)
            if made is not None:
                return made.statement_at(frame.f_lineno)
            frame = frame.f_back
        return None

    def _pending(self, statement: Statement, stage: str, remove: bool = False) -> Execution:
        """The execution that is under way: the innermost one of this statement and stage."""
        for index in range(len(self._open) - 1, -1, -1):
            each = self._open[index]
            if each.statement is statement and each.stage == stage:
                del self._open[index + 1 :]  # ended without a result, by an exception
                return self._open.pop() if remove else each
        made = Execution(statement, stage)
        if not remove:
            self._open.append(made)
        return made


def flatten(value: Any, read: ReadLeaf, numbers: bool = True) -> Leaves:
    """Tensors and plain numbers in nested values, by names such as `0.last_hidden_state`; `output`
    for a bare one.
    """
    found: Leaves = {}
    _flatten(value, "", read, numbers, found, 0)
    return found


def _flatten(
    value: Any, name: str, read: ReadLeaf, numbers: bool, found: Leaves, depth: int
) -> None:
    if value is None or isinstance(value, str) or depth > 4:
        return
    if isinstance(value, NUMBERS):
        if numbers:
            array = np.asarray(value)
            found[name or "output"] = Leaf(f"python {array.dtype.kind}", array)
        return
    try:
        leaf = read(value)
    except Exception:  # a symbolic tensor inside a traced loop has no value
        return
    if leaf is not None:
        found[name or "output"] = leaf
    elif isinstance(value, dict):
        for key, entry in value.items():
            inner = f"{name}.{key}" if name else str(key)
            _flatten(entry, inner, read, numbers, found, depth + 1)
    elif isinstance(value, tuple | list):
        for index, entry in enumerate(value):
            inner = f"{name}.{index}" if name else str(index)
            _flatten(entry, inner, read, numbers, found, depth + 1)


def source_text(path: str) -> str:
    """The source of a file, also of a port that is in memory alone.

    Raises:
        KeraformError: there is none.
    """
    lines = linecache.cache.get(path)
    if Path(path).is_file():
        return Path(path).read_text(encoding="utf-8")
    if lines is None or len(lines) < 3:
        raise KeraformError(
            expected="a Python file whose source can be read", got=path, try_next=f"ls {path}"
        )
    return "".join(lines[2])
