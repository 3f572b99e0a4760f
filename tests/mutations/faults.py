"""Faults: one spoiled expression or weight of a good port, and the case that has it."""

from __future__ import annotations

import importlib.util
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import keras
from tests.mutations.subjects import Subject

from keraform.verify.cases import Case
from keraform.verify.localising.origins import origin_of
from keraform.verify.port import LoadReport, load_state
from keraform.verify.targets import eager
from keraform.verify.twin import State

# A port's classes find one another through their module, which therefore has a name of its own.
MODULE = "keraform_fault"


@dataclass(frozen=True)
class Fault:
    """What was changed.

    Args:
        model_type: the model.
        class_name: the class that executes it.
        kind: the sort of fault.
        mutator: the row that made it.
        owner: the class and function that hold the statement.
        line: the statement's first line in the port.
        last: its last one.
        before: the expression, or the weight's key, as it is.
        after: as it was changed.
        text: the spoiled port; "" where a weight is spoiled.
        also: lines of other statements that may rightly be named: those that construct what is no
            longer tied.
    """

    model_type: str
    class_name: str
    kind: str
    mutator: str
    owner: str
    line: int
    last: int
    before: str
    after: str
    text: str = ""
    also: tuple[int, ...] = ()

    def is_at(self, line: int) -> bool:
        """Whether a finding at a line names the fault."""
        return self.line <= line <= self.last or line in self.also

    @property
    def name(self) -> str:
        """What identifies the fault: the same port has the same faults."""
        return f"{self.model_type}/{self.mutator}/{self.line}/{self.before} -> {self.after}"


@contextmanager
def seeded(subject: Subject, fault: Fault) -> Iterator[Case]:
    """The subject's case with the fault in it, the line map being the good port's."""
    if not fault.text:
        yield replace(subject.case, load=_spoiled_load(fault.before))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / subject.source.path.name
        path.write_text(fault.text, encoding="utf-8")
        try:
            model_class = getattr(_imported(path), subject.port_class.__name__)
            yield replace(
                subject.case,
                make_port=lambda: model_class(eager(subject.config)),
                origin=lambda file: origin_of(
                    str(subject.source.path) if file == str(path) else file
                ),
            )
        finally:
            sys.modules.pop(MODULE, None)
            keras.backend.clear_session(free_memory=False)


def _imported(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(MODULE, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[MODULE] = module
    spec.loader.exec_module(module)
    return module


def _spoiled_load(key: str) -> Any:
    """Loads one weight transposed: what a wrong row of a weight map does."""

    def load(model: Any, state: State) -> LoadReport:
        return load_state(model, {**state, key: state[key].swapaxes(-1, -2).copy()})

    return load
