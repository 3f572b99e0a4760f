"""One set of inputs under examination: which stages are wrong on their own, and where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from keraform.verify import port as ports
from keraform.verify import twin
from keraform.verify.cases import Case, Variant
from keraform.verify.compare import Difference, compare
from keraform.verify.findings import CONSTRUCTION, STAGE, STATEMENT, Finding, Localisation
from keraform.verify.leaves import Recording
from keraform.verify.localising.alignment import pairs
from keraform.verify.localising.blame import both_places, both_values, crash_finding, pair_finding
from keraform.verify.localising.causes import likely_cause
from keraform.verify.localising.construction import construction_of, layer_cause
from keraform.verify.localising.isolated import ROOT, Handed, Isolated, run_isolated
from keraform.verify.localising.origins import Origin, files_of, place_at, watching
from keraform.verify.localising.recorder import Recorder
from keraform.verify.outcome import StageError

DTYPE, LIFT = "float64", True


@dataclass
class Scene:
    """One variant of a case.

    Args:
        case: the pair.
        variant: the inputs.
        original: torch's model in float64.
        model: the port's.
        files: the generated files that the port's layers come from.
    """

    case: Case
    variant: Variant
    original: Any
    model: Any
    files: dict[str, Origin]

    def stages(self, found: Localisation) -> list[str]:
        """Fill the table of stages.

        Returns:
            The stages whose own code is wrong, in the order of the run.
        """
        torch = self._torch_run()
        isolated = self._isolated_run(torch)
        accumulated: dict[str, Difference] = {}
        if isolated.crash is None:
            variant = self.variant
            mine = ports.run_model(self.model, variant.inputs, DTYPE, LIFT, **variant.flags)
            accumulated = {each.stage: each for each in compare(torch, mine)}
        for name, difference in accumulated.items():
            stage = found.stages.setdefault(name, StageError(name))
            stage.note(DTYPE, difference.size)
        isolated.note(found.stages)
        guilty = [n for n, d in isolated.own.items() if not d.within(self._limit(n))]
        if isolated.crash is not None:
            guilty += isolated.crash[0]
        return list(dict.fromkeys(guilty))

    def findings(self, guilty: list[str], known: list[Finding]) -> list[Finding]:
        """What is wrong in each guilty stage; one finding for each statement."""
        wanted = set(guilty)
        its, mine = (
            Recorder(read, wanted=lambda stage: stage in wanted, reads=True)
            for read in (twin.read_leaf, ports.read_leaf)
        )
        with watching(its, mine, self.files):
            torch = self._torch_run(its)
            isolated = self._isolated_run(torch, mine)
        found: list[Finding] = []
        for stage in guilty:
            if any(stage and each.stage == stage for each in known):
                continue  # its weights are wrong
            finding = self._finding(stage, torch, isolated, its, mine)
            places = [each.keras for each in (*known, *found)]
            if finding is not None and (finding.keras is None or finding.keras not in places):
                found.append(finding)
        if not found and isolated.crash is not None:
            stages, error = isolated.crash
            found.append(crash_finding(self.case, stages[-1], error))
        return found

    def _limit(self, stage: str) -> float:
        return self.case.limit(stage, DTYPE, {})

    def _torch_run(self, recorder: Recorder | None = None) -> Recording:
        variant = self.variant
        return twin.run_model(self.original, variant.inputs, DTYPE, LIFT, recorder, **variant.flags)

    def _isolated_run(self, torch: Recording, recorder: Recorder | None = None) -> Isolated:
        variant, limit = self.variant, self._limit(ROOT)
        return run_isolated(
            self.model, torch, variant.inputs, DTYPE, LIFT, limit, recorder, **variant.flags
        )

    def _finding(
        self, stage: str, torch: Recording, isolated: Isolated, its: Recorder, mine: Recorder
    ) -> Finding | None:
        """The first thing that is wrong in a stage's own code."""
        layer = isolated.layers.get(stage)
        if stage in isolated.outputs and not files_of([layer], self.case.origin):
            return self._construction(stage, torch, isolated)
        handed = min(isolated.handed.get(stage, ()), key=lambda each: each.at, default=None)
        executions = mine.of_stage(stage)
        for pair in pairs(its.of_stage(stage), executions, self.files):
            if handed is not None and _position(mine, pair.keras) >= handed.at:
                return self._handed(stage, handed)
            found = pair_finding(pair, stage, DTYPE, self._limit(stage), self.case.origin)
            if found is not None:
                return found
        if handed is not None:
            return self._handed(stage, handed)
        own = isolated.own.get(stage)  # a stage that was under way in a crash has none
        return Finding(STAGE, stage, DTYPE, own.error, problem=own.problem) if own else None

    def _handed(self, stage: str, handed: Handed) -> Finding:
        """The statement that gave a child something else."""
        known = handed.file in self.files
        place = place_at(handed.file, handed.line) if known else None
        torch, keras = handed.torch, handed.keras
        return Finding(
            STATEMENT,
            stage,
            DTYPE,
            handed.difference.error,
            cause=likely_cause(torch.array, keras.array) if torch and keras else None,
            problem=handed.difference.problem,
            **both_places(place, self.case.origin),
            **both_values(torch, keras),
        )

    def _construction(self, stage: str, torch: Recording, isolated: Isolated) -> Finding:
        """A layer of the runtime that is wrong on its own: the statement that made it."""
        path = stage.partition("#")[0]
        place = construction_of(path, self.model, list(self.files))
        own, outputs = isolated.own[stage], isolated.outputs[stage]
        theirs = next(iter(torch.stages[stage].outputs.values()))
        ours = next(iter(outputs.values()), None)
        cause = None
        if ours is not None and ours.array.shape == theirs.array.shape:
            module = dict(self.original.named_modules()).get(path)
            inputs = torch.stages[stage].inputs
            cause = layer_cause(module, inputs, theirs.array, ours.array)
        return Finding(
            CONSTRUCTION,
            stage,
            DTYPE,
            own.error,
            cause=cause,
            problem=own.problem,
            **both_places(place, self.case.origin),
            **both_values(theirs, ours),
        )


def _position(recorder: Recorder, execution: Any) -> int:
    return next(i for i, each in enumerate(recorder.executions) if each is execution)
