"""Localising: from a pair that differs to the statement, the rule that wrote it and the likely
cause.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from keraform.runtime.tree import named_layers
from keraform.verify import port as ports
from keraform.verify import twin
from keraform.verify.alignment import Pair, difference, pairs
from keraform.verify.cases import Case, Variant
from keraform.verify.causes import likely_cause
from keraform.verify.compare import Difference, compare
from keraform.verify.construction import construction_of, layer_cause
from keraform.verify.dtypes import dtype_findings
from keraform.verify.findings import CONSTRUCTION, STAGE, STATEMENT, Finding, Localisation, Place
from keraform.verify.isolated import ROOT, Handed, Isolated, run_isolated
from keraform.verify.leaves import Leaf, Recording
from keraform.verify.origins import Origin, files_of, place_at, place_of
from keraform.verify.outcome import StageError
from keraform.verify.recorder import Recorder
from keraform.verify.statistics import statistics_of
from keraform.verify.weights import weight_findings

DTYPE, LIFT = "float64", True
Progress = Callable[[str, int, int], None]
STEPS = ("weights", "stages", "statements", "half precision")


def localise(case: Case, progress: Progress | None = None) -> Localisation:
    """Find every difference of a case, the most basic first; empty findings where there is none.

    Weights come first, then each stage whose own code is wrong, down to the statement; when all of
    that agrees in float64, the dtypes of statements in half precision.

    Args:
        case: the pair.
        progress: told before each step, with its number and the number of all.
    """
    steps = _Steps(progress)
    found = Localisation(case.name)
    steps("weights")
    try:
        model, found.weights = case.port.build_anyway(DTYPE, LIFT)
    except Exception as error:
        found.findings.append(_crash(case, ROOT, error, {}))
        return found
    files = files_of((layer for _, layer in named_layers(model)), case.origin)
    found.findings += weight_findings(case, model, found.weights, files)
    steps("stages")
    original = case.twin.build(DTYPE, LIFT)
    for variant in case.variants:
        scene = _Scene(case, variant, original, model, files)
        guilty = scene.stages(found)
        if guilty:
            steps("statements")
            found.findings += scene.findings(guilty, found.findings)
        if found.findings:
            return found
    steps("half precision")
    found.findings += dtype_findings(case)
    return found


class _Steps:
    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress

    def __call__(self, what: str) -> None:
        if self._progress is not None:
            self._progress(what, STEPS.index(what), len(STEPS))


@dataclass
class _Scene:
    """One variant of a case under examination."""

    case: Case
    variant: Variant
    original: Any
    model: Any
    files: dict[str, Origin]

    def limit(self, stage: str) -> float:
        return self.case.limit(stage, DTYPE, {})

    def torch_run(self, recorder: Recorder | None = None) -> Recording:
        """The twin's run."""
        variant = self.variant
        return twin.run_model(self.original, variant.inputs, DTYPE, LIFT, recorder, **variant.flags)

    def isolated_run(self, torch: Recording, recorder: Recorder | None = None) -> Isolated:
        """The port's run on torch's values."""
        variant, limit = self.variant, self.limit(ROOT)
        return run_isolated(
            self.model, torch, variant.inputs, DTYPE, LIFT, limit, recorder, **variant.flags
        )

    def stages(self, found: Localisation) -> list[str]:
        """Fill the table of stages; the stages whose own code is wrong, in the order of the run."""
        torch = self.torch_run()
        isolated = self.isolated_run(torch)
        accumulated: dict[str, Difference] = {}
        try:
            variant = self.variant
            mine = ports.run_model(self.model, variant.inputs, DTYPE, LIFT, **variant.flags)
            accumulated = {each.stage: each for each in compare(torch, mine)}
        except Exception:
            if isolated.crash is None:
                raise
        for name in dict.fromkeys([*accumulated, *isolated.own]):
            stage = found.stages.setdefault(name, StageError(name))
            layer = isolated.layers.get(name)
            stage.layer = type(layer).__name__ if layer is not None else stage.layer
            stage.float64 = _larger(stage.float64, accumulated.get(name))
            stage.isolated = _larger(stage.isolated, isolated.own.get(name))
        guilty = [n for n, d in isolated.own.items() if not d.within(self.limit(n))]
        if isolated.crash is not None:
            guilty.append(isolated.crash[0])
        return list(dict.fromkeys(guilty))

    def findings(self, guilty: list[str], known: list[Finding]) -> list[Finding]:
        """What is wrong in each guilty stage; one finding for each statement."""
        wanted = set(guilty)
        sides = (twin.read_leaf, ports.read_leaf)
        its, mine = (
            Recorder(read, wanted=lambda stage: stage in wanted, reads=True) for read in sides
        )
        with its.watching(origin.torch_file for origin in self.files.values()):
            torch = self.torch_run(its)
        with mine.watching(self.files):
            isolated = self.isolated_run(torch, mine)
        found: list[Finding] = []
        for stage in guilty:
            if any(each.stage == stage for each in known):
                continue  # its weights are wrong
            finding = self._finding(stage, torch, isolated, its, mine)
            if all(finding.keras is None or finding.keras != each.keras for each in found):
                found.append(finding)
        return found

    def _finding(
        self, stage: str, torch: Recording, isolated: Isolated, its: Recorder, mine: Recorder
    ) -> Finding:
        if isolated.crash is not None and isolated.crash[0] == stage:
            return _crash(self.case, stage, isolated.crash[1], self.files)
        layer = isolated.layers.get(stage)
        if stage != ROOT and not files_of([layer], self.case.origin):
            return self._construction(stage, torch, isolated)
        first = self._first_pair(stage, its, mine)
        handed = min(isolated.handed.get(stage, ()), key=lambda each: each.at, default=None)
        if first is not None and handed is not None:
            if _position(mine, first[0]) < handed.at:
                handed = None
        if handed is not None:
            return self._handed(stage, handed)
        if first is not None:
            return self._statement(stage, *first)
        own = isolated.own[stage]
        return Finding(STAGE, stage, DTYPE, own.error, problem=own.problem)

    def _first_pair(
        self, stage: str, its: Recorder, mine: Recorder
    ) -> tuple[Pair, Difference, Leaf, Leaf] | None:
        for pair in pairs(its.of_stage(stage), mine.of_stage(stage), self.files):
            found = difference(pair, self.limit(stage))
            if found is not None:
                return pair, *found
        return None

    def _statement(
        self, stage: str, pair: Pair, found: Difference, torch: Leaf, keras: Leaf
    ) -> Finding:
        statement = pair.keras.statement
        return Finding(
            STATEMENT,
            stage,
            DTYPE,
            found.error,
            torch=place_of(pair.torch.statement),
            keras=place_of(statement),
            rules=self.files[statement.file].lines.rules(statement.line),
            cause=likely_cause(torch.array, keras.array, pair.torch.reads),
            torch_values=statistics_of(torch),
            keras_values=statistics_of(keras),
            problem=found.problem,
        )

    def _handed(self, stage: str, handed: Handed) -> Finding:
        """The statement that gave a child something else."""
        origin = self.files.get(handed.file)
        keras = place_at(handed.file, handed.line) if origin is not None else None
        line = keras.line if keras is not None else None
        lines = origin.lines if origin is not None and line is not None else None
        torch = place_at(origin.torch_file, lines.torch_line(line)) if lines else None
        its, mine = handed.torch, handed.keras
        return Finding(
            STATEMENT,
            stage,
            DTYPE,
            handed.difference.error,
            torch=torch,
            keras=keras,
            rules=lines.rules(line) if lines else (),
            cause=likely_cause(its.array, mine.array) if its and mine else None,
            torch_values=statistics_of(its) if its else None,
            keras_values=statistics_of(mine) if mine else None,
            problem=handed.difference.problem,
        )

    def _construction(self, stage: str, torch: Recording, isolated: Isolated) -> Finding:
        """A layer of the runtime that is wrong on its own: the statement that made it."""
        path = stage.partition("#")[0]
        keras = construction_of(path, self.model, list(self.files))
        origin = self.files[keras.file] if keras is not None else None
        own, outputs = isolated.own[stage], isolated.outputs[stage]
        its = next(iter(torch.stages[stage].outputs.values()))
        mine = next(iter(outputs.values()), None)
        module = dict(self.original.named_modules()).get(path)
        cause = None
        if mine is not None and mine.array.shape == its.array.shape:
            inputs = torch.stages[stage].inputs
            cause = layer_cause(module, inputs, its.array, mine.array)
        return Finding(
            CONSTRUCTION,
            stage,
            DTYPE,
            own.error,
            torch=_torch_place(origin, keras),
            keras=keras,
            rules=origin.lines.rules(keras.line) if origin and keras else (),
            cause=cause,
            torch_values=statistics_of(its),
            keras_values=statistics_of(mine) if mine is not None else None,
            problem=own.problem,
        )


def _torch_place(origin: Origin | None, keras: Place | None) -> Place | None:
    if origin is None or keras is None:
        return None
    return place_at(origin.torch_file, origin.lines.torch_line(keras.line))


def _larger(known: float | None, found: Difference | None) -> float | None:
    if found is None:
        return known
    error = float("inf") if found.problem is not None else found.error
    return error if known is None else float(np.maximum(known, error))


def _position(recorder: Recorder, pair: Pair) -> int:
    return next(i for i, each in enumerate(recorder.executions) if each is pair.keras)


def _crash(case: Case, stage: str, error: Exception, files: dict[str, Origin]) -> Finding:
    """An exception of the port: the innermost statement of a generated file on its way."""
    frames = traceback.extract_tb(error.__traceback__)
    known = [(each, files.get(each.filename) or case.origin(each.filename)) for each in frames]
    frame, origin = next(((f, o) for f, o in reversed(known) if o is not None), (None, None))
    keras = place_at(frame.filename, frame.lineno) if frame is not None else None
    message = " ".join(str(error).split())[:300]
    return Finding(
        STATEMENT,
        stage,
        DTYPE,
        float("inf"),
        torch=_torch_place(origin, keras),
        keras=keras,
        rules=origin.lines.rules(keras.line) if origin and keras else (),
        problem=f"{type(error).__name__}: {message}",
    )
