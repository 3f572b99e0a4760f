"""The ladder: every asked rung of every class of a target, each on its own, none able to stop the
others.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable

import keras
import transformers

from keraform.errors import KeraformError
from keraform.verify.cases import Case
from keraform.verify.originals import out_of_reach
from keraform.verify.outcome import NOT_RUN, RUNGS, UNFIT, ClassReport, Report, failed
from keraform.verify.quiet import quiet
from keraform.verify.rungs.compiled import compiled
from keraform.verify.rungs.kept import kept
from keraform.verify.rungs.learns import learns
from keraform.verify.rungs.portable import Portable
from keraform.verify.rungs.speaks import speaks
from keraform.verify.rungs.values import (
    built,
    crash,
    exact,
    loaded,
    reason,
    release,
    translated,
)
from keraform.verify.targets import Target, cases_of

Climb = Callable[[Case, ClassReport], str]

# Rung 9 runs in a process of its own (portable.py).
CLIMBS: dict[int, Climb] = {
    1: translated,
    2: built,
    3: loaded,
    4: exact,
    5: release,
    6: learns,
    7: compiled,
    8: kept,
    10: speaks,
}
TRANSLATED, PORTABLE = 1, 9

# Called before each step with (class, rung, steps done, steps in all).
Progress = Callable[[str, int, int, int], None]

# Garbage is collected once in so many classes: each time would cost more than many a class does;
# never would let the models of heavy ones fill the memory. A worker climbs one class at a time, so
# they are counted for the process.
CLASSES_KEPT = 6
_BEGUN = itertools.count(1)


def climb(target: Target, rungs: Iterable[int] = RUNGS, progress: Progress | None = None) -> Report:
    """Prove a target.

    Args:
        target: what to prove.
        rungs: the rungs to run; the others stand at "not run".
        progress: told before each step.
    """
    asked = set(rungs)
    report = Report(target.name, transformers.__version__, keras.backend.backend(), asked=asked)
    with quiet():
        cases = cases_of(target)
        report.trained = any(case.reads_itself for case in cases)
        report.remarks = list(dict.fromkeys(case.remark for case in cases if case.remark))
        elsewhere = Portable(target, [case.name for case in cases]) if PORTABLE in asked else None
        steps = [(case, rung) for case in cases for rung in RUNGS if rung in asked & set(CLIMBS)]
        total = len(steps) + (len(cases) if elsewhere else 0)
        try:
            _run(steps, report, total, progress)
            for case in cases:
                if not any(found.name == case.name for found in report.classes):
                    report.classes.append(ClassReport(case.name))
            if elsewhere is not None:
                _collect(elsewhere, report, len(steps), total, progress)
        finally:
            if elsewhere is not None:
                elsewhere.stop()
    return report


def _run(
    steps: list[tuple[Case, int]], report: Report, total: int, progress: Progress | None
) -> None:
    for done, (case, rung) in enumerate(steps):
        if progress is not None:
            progress(case.name, rung, done, total)
        if not report.classes or report.classes[-1].name != case.name:
            report.classes.append(ClassReport(case.name))
            _forget(next(_BEGUN))
        entry = report.classes[-1]
        if rung > TRANSLATED and not _comparable(case, entry, rung):
            continue
        start = time.perf_counter()
        entry.rungs[rung] = attempt(CLIMBS[rung], case, entry)
        entry.seconds += time.perf_counter() - start


def _comparable(case: Case, entry: ClassReport, rung: int) -> bool:
    """Whether there is something to compare with; if not, the entry says why: either torch's own
    model cannot run here, or no config and no inputs were found for it, and the rung fails.
    """
    if entry.torch is not None:
        return False
    try:
        _ = case.twin
    except KeraformError:
        return True  # the user's own mistake, which each rung names
    except Exception as error:
        entry.torch = out_of_reach(case.name, error)
        if entry.torch is None:
            entry.rungs[rung] = failed(f"{UNFIT}: {reason(error)}")
        return False
    return True


def attempt(step: Climb, case: Case, entry: ClassReport) -> str:
    """One rung's outcome; whatever it raises is its reason."""
    try:
        return step(case, entry)
    except Exception as error:
        return crash(error)


def _collect(
    elsewhere: Portable, report: Report, done: int, total: int, progress: Progress | None
) -> None:
    for index, entry in enumerate(report.classes):
        if progress is not None:
            progress(entry.name, PORTABLE, done + index, total)
        if entry.torch is None:
            entry.rungs[PORTABLE] = elsewhere.outcome(entry.name) or NOT_RUN


def _forget(classes: int) -> None:
    """Lets go of the models before, and on JAX of all that was compiled for them."""
    now = classes % CLASSES_KEPT == 0
    if now and keras.backend.backend() == "jax":
        import jax

        jax.clear_caches()
    keras.backend.clear_session(free_memory=now)
