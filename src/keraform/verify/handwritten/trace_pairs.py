"""Two traces compared, one of torch and one of Keras: weights, stages, statements."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from keraform.errors import KeraformError
from keraform.verify.findings import (
    CONSTRUCTION,
    STAGE,
    WEIGHTS,
    Finding,
    Localisation,
    Statistics,
)
from keraform.verify.handwritten.guilty_statements import guilty_statement
from keraform.verify.handwritten.matching import Relation, output_relation, relation
from keraform.verify.handwritten.stage_pairs import StagePair, stage_pairs
from keraform.verify.handwritten.trace import Trace
from keraform.verify.handwritten.weight_map import WeightMap, guess
from keraform.verify.leaves import Leaf
from keraform.verify.load_report import LoadReport
from keraform.verify.localising.statistics import statistics_of
from keraform.verify.outcome import StageError
from keraform.verify.tolerances import LIMITS

# Attributes of torch's modules and of Keras's layers that mean the same.
OPTIONS = (("eps", "epsilon"), ("negative_slope", "negative_slope"), ("alpha", "alpha"))


@dataclass
class PairReport:
    """What was found out about a pair.

    Args:
        localisation: stages, weights and findings, as for a port.
        weight_map: which torch tensors each Keras variable is made of.
        shapes: of torch's tensors and of Keras's variables, for display.
        stages: the stages that both have.
        remarks: what the reader should know and is no difference.
        guilty: the paths of the guilty stage on both sides.
    """

    localisation: Localisation
    weight_map: WeightMap
    shapes: tuple[dict[str, tuple[int, ...]], dict[str, tuple[int, ...]]]
    stages: list[StagePair] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    guilty: tuple[str, str] = ("", "")

    @property
    def equal(self) -> bool:
        """Whether nothing was found."""
        return not self.localisation.findings

    def to_json(self) -> dict[str, Any]:
        """What `localise --json` and `compare --json` print."""
        return {
            **self.localisation.to_json(),
            "weight_map": self.weight_map.to_json(),
            "remarks": self.remarks,
        }


def compare_traces(torch: Trace, keras: Trace, limit: float | None = None) -> PairReport:
    """Whether two runs on the same inputs gave the same, and where they first differ.

    Raises:
        KeraformError: the traces are of one framework, of two dtypes, or of other inputs.
    """
    _check(torch, keras)
    limit = LIMITS[torch.dtype] if limit is None else limit
    weight_map = keras.weight_map or guess(torch.weight_list, keras.weight_list)
    return _Comparison(torch, keras, weight_map, limit).report()


def in_order(one: Trace, other: Trace) -> tuple[Trace, Trace]:
    """The torch trace, then the Keras one.

    Raises:
        KeraformError: they are not one of each.
    """
    traces = {one.framework: one, other.framework: other}
    if len(traces) < 2:
        raise KeraformError(
            expected="one trace of torch and one of Keras",
            got=f"two of {one.framework}",
            try_next="keraform trace my_keras.py:Model --framework keras "
            "--weights torch.safetensors --inputs torch.safetensors --out keras.safetensors",
        )
    return traces["torch"], traces["keras"]


def _check(torch: Trace, keras: Trace) -> None:
    if torch.dtype != keras.dtype:
        raise KeraformError(
            expected="two traces of one dtype",
            got=f"torch in {torch.dtype}, Keras in {keras.dtype}",
            try_next=f"keraform trace ... --framework keras --dtype {torch.dtype}",
        )
    rest = list(keras.inputs.values())
    for name, leaf in torch.inputs.items():
        own = keras.inputs.get(name)
        found = [own] if own is not None else rest
        if not any(relation(leaf, each, 1e-6).within(1e-6) for each in found):
            raise KeraformError(
                expected=f"the same inputs on both sides; torch's {name} is {_words(leaf)}",
                got=", ".join(f"{key} {_words(each)}" for key, each in keras.inputs.items())
                + ", with other numbers",
                try_next="keraform trace ... --framework keras --inputs torch.safetensors",
            )


def _words(leaf: Leaf) -> str:
    return f"{leaf.dtype} {list(leaf.array.shape)}"


def output_pairs(torch: Trace, keras: Trace) -> Iterator[tuple[str, Leaf | None, Leaf | None]]:
    """Outputs that belong together: by name where both have the same names, else in order."""
    ones, others = torch.recording.outputs, keras.recording.outputs
    if ones.keys() == others.keys():
        yield from ((name, leaf, others[name]) for name, leaf in ones.items())
        return
    names = list(ones) + list(others)[len(ones) :]
    for index, name in enumerate(names):
        yield (
            name,
            list(ones.values())[index] if index < len(ones) else None,
            list(others.values())[index] if index < len(others) else None,
        )


def output_errors(torch: Trace, keras: Trace, limit: float) -> dict[str, float]:
    """The error of each output, by the name of its stage."""
    return {
        f"outputs/{name}": output_relation(one, other, limit).error
        for name, one, other in output_pairs(torch, keras)
        if one is not None and other is not None
    }


class _Comparison:
    """One comparison under way."""

    def __init__(self, torch: Trace, keras: Trace, weight_map: WeightMap, limit: float) -> None:
        self.torch, self.keras, self.map, self.limit = torch, keras, weight_map, limit
        self.stages = stage_pairs(torch, keras, weight_map, limit)
        self.outputs = {
            name: self._output(one, other) for name, one, other in output_pairs(torch, keras)
        }
        self.remarks = [*weight_map.remarks, *torch.notes, *keras.notes]

    def _output(self, torch: Leaf | None, keras: Leaf | None) -> Relation:
        if torch is None or keras is None:
            side = "Keras" if keras is None else "torch"
            return Relation(float("inf"), problem=f"{side} does not give it")
        return output_relation(torch, keras, self.limit)

    def report(self) -> PairReport:
        """Stages, remarks, and the findings where an output differs."""
        differs = [each for each in self.outputs.values() if not each.within(self.limit)]
        self._remark(bool(differs))
        guilty, findings = ("", ""), list(self._unequal_weights())
        if differs:
            guilty, finding = self._guilty()
            findings += [*self._unmatched(), finding]
        localisation = Localisation(
            self.torch.target, self._stage_errors(), self._load_report(), findings
        )
        shapes = tuple(
            {weight.name: weight.shape for weight in side.weight_list}
            for side in (self.torch, self.keras)
        )
        return PairReport(
            localisation, self.map, (shapes[0], shapes[1]), self.stages, self.remarks, guilty
        )

    # Weights

    def _trained_left(self) -> list[str]:
        return [
            weight.name
            for weight in self.torch.weight_list
            if weight.name in self.map.torch_left and weight.trained
        ]

    def _load_report(self) -> LoadReport:
        return LoadReport(
            tuple(self.map.keras_left), tuple(self._trained_left()), tuple(self.map.remarks)
        )

    def _unmatched(self) -> Iterator[Finding]:
        """Weights that only one side has: with them the two cannot be equal."""
        words = {
            "torch has it, no Keras variable fits": self._trained_left(),
            "Keras has it, no tensor of torch's fits": [
                weight.name
                for weight in self.keras.weight_list
                if weight.name in self.map.keras_left and weight.trained
            ],
        }
        for problem, names in words.items():
            for name in names:
                yield Finding(
                    WEIGHTS,
                    name.rpartition(".")[0],
                    self.torch.dtype,
                    float("inf"),
                    problem=f"{name}: {problem}",
                )

    def _unequal_weights(self) -> Iterator[Finding]:
        """Traces may have been made with other weights."""
        shapes = {weight.name: weight.shape for weight in self.keras.weight_list}
        for pair in self.map.pairs:
            wanted = pair.value(self.torch.weights, shapes[pair.keras])
            error = float(np.abs(wanted - self.keras.weights[pair.keras]).max(initial=0.0))
            if error > LIMITS["float32"]:
                yield Finding(
                    WEIGHTS,
                    pair.keras.rpartition(".")[0],
                    self.torch.dtype,
                    error,
                    problem=f"{pair.keras} does not hold {', '.join(pair.torch)} "
                    f"(layout {pair.layout})",
                    cause="the Keras side ran with other weights, or the map is wrong: see --map",
                )

    # Stages

    def _stage_errors(self) -> dict[str, StageError]:
        found = {
            each.torch: StageError(each.torch, layer=self.keras.classes.get(_path(each.keras), ""))
            for each in self.stages
        }
        errors: dict[str, float | None] = {
            each.torch: None if self._excused(each) else each.outputs.error for each in self.stages
        }
        for name, each in self.outputs.items():
            found[f"outputs/{name}"] = StageError(f"outputs/{name}")
            errors[f"outputs/{name}"] = each.error
        for name, error in errors.items():
            setattr(found[name], self.torch.dtype, error)
        return found

    def _remark(self, differs: bool) -> None:
        for name, each in self.outputs.items():
            if each.how:
                self.remarks.append(f"the output {name} is compared {each.how}")
        if differs:
            return
        for stage in self.stages:
            if self._differs(stage):
                self.remarks.append(
                    f"{stage.torch} and {stage.keras} give different values, but the outputs agree"
                )

    def _guilty(self) -> tuple[tuple[str, str], Finding]:
        """The first stage that differs, or the code around it where it was given wrong values."""
        first = next((each for each in self.stages if self._differs(each)), None)
        if first is None:
            name, worst = next((n, r) for n, r in self.outputs.items() if not r.within(self.limit))
            stage = ("", "")
            finding = Finding(
                STAGE, "", self.torch.dtype, worst.error,
                problem=worst.problem or f"output {name}, after the last stage that both have",
            )  # fmt: skip
        elif first.inputs is None or first.inputs.within(self.limit):
            stage = _path(first.torch), _path(first.keras)
            finding = self._at(first, first.outputs, "")
            options = self._option(*stage)
            if options is not None:
                return stage, self._at(first, first.outputs, "", CONSTRUCTION, options)
        else:
            stage = self._around(first)
            finding = self._at(first, first.inputs, stage[0])
        paths = {each.torch for each in self.stages}, {each.keras for each in self.stages}
        return stage, guilty_statement(self.torch, self.keras, finding, stage, paths, self.limit)

    def _differs(self, stage: StagePair) -> bool:
        return not stage.outputs.within(self.limit) and not self._excused(stage)

    def _excused(self, stage: StagePair) -> bool:
        """Whether a Keras layer has an activation of its own and is given the right values: then it
        gives what torch's next step does.
        """
        activation = self.keras.options.get(_path(stage.keras), {}).get("activation", "linear")
        given = stage.inputs is not None and stage.inputs.within(self.limit)
        return activation != "linear" and given and not stage.outputs.within(self.limit)

    def _around(self, stage: StagePair) -> tuple[str, str]:
        """The innermost stage of both sides whose code calls this one."""
        return next(
            (
                (each.torch, each.keras)
                for each in self.stages
                if stage.torch.startswith(f"{each.torch}.")
                and stage.keras.startswith(f"{each.keras}.")
            ),
            ("", ""),
        )

    def _at(
        self,
        stage: StagePair,
        wrong: Relation,
        name: str,
        kind: str = STAGE,
        cause: str | None = None,
    ) -> Finding:
        given = bool(name) or wrong is stage.inputs
        return Finding(
            kind,
            name if given else stage.torch,
            self.torch.dtype,
            wrong.error,
            torch=self.torch.places.get(_path(stage.torch)),
            keras=self.keras.places.get(_path(stage.keras)),
            problem=wrong.problem or (f"{stage.torch} is given other values" if given else None),
            cause=cause,
            torch_values=_statistics(self.torch, stage.torch, given),
            keras_values=_statistics(self.keras, stage.keras, given),
        )

    def _option(self, torch: str, keras: str) -> str | None:
        """An option of two library layers that differs."""
        ours, theirs = self.keras.options.get(keras, {}), self.torch.options.get(torch, {})
        for its, mine in OPTIONS:
            if its in theirs and mine in ours and theirs[its] != ours[mine]:
                return f"{mine}={ours[mine]!r}, torch has {its}={theirs[its]!r}"
        return None


def _statistics(trace: Trace, name: str, given: bool) -> Statistics | None:
    """Of the first value that a stage is given, or gives."""
    stage = trace.recording.stages[name]
    leaf = next(iter((stage.inputs if given else stage.outputs).values()), None)
    return None if leaf is None else statistics_of(leaf)


def _path(name: str) -> str:
    """A stage's path without the number of its call."""
    return name.partition("#")[0]
