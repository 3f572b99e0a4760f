"""The guilty statement of a stage on both sides, found by values, with a likely cause."""

from __future__ import annotations

from dataclasses import replace

from keraform.verify.findings import STATEMENT, Finding, Place
from keraform.verify.handwritten.shared_values import (
    Pool,
    Suspect,
    factor_between,
    first_suspect,
    takes_counterpart,
)
from keraform.verify.handwritten.trace import Trace
from keraform.verify.leaves import Leaf
from keraform.verify.localising.causes import likely_cause
from keraform.verify.localising.recorder import Execution
from keraform.verify.localising.statistics import statistics_of


def guilty_statement(
    torch: Trace,
    keras: Trace,
    finding: Finding,
    guilty: tuple[str, str],
    paired: tuple[set[str], set[str]],
    limit: float,
) -> Finding:
    """The finding with the first statement whose value the other side does not have; as it is where
    no statements were recorded, or none is to blame.

    Args:
        torch: torch's trace.
        keras: Keras's.
        finding: of the guilty stage.
        guilty: the stage's path on both sides.
        paired: the stages of each side that the other has too.
        limit: beyond it, values differ.
    """
    its = _own_code(torch, guilty[0], paired[0])
    mine = _own_code(keras, guilty[1], paired[1])
    if not its or not mine:
        return finding
    one, other = first_suspect(its, Pool(keras, limit)), first_suspect(mine, Pool(torch, limit))
    if one is None and other is None:
        return finding
    value, cause, execution = _explain(one, other, mine, limit)
    return replace(
        finding,
        kind=STATEMENT,
        stage=guilty[0],
        torch=place(one.execution) if one else finding.torch,
        keras=place(execution) if execution else finding.keras,
        cause=cause,
        torch_values=statistics_of(one.value) if one else None,
        keras_values=statistics_of(value) if value else None,
    )


def _own_code(trace: Trace, guilty: str, paired: set[str]) -> list[Execution]:
    """Of the stage's own code, and of stages inside it that the other side does not have."""
    return [
        each
        for each in trace.executions
        if each.stage.partition("#")[0] == guilty
        or (each.stage not in paired and (not guilty or each.stage.startswith(f"{guilty}.")))
    ]


def _explain(
    torch: Suspect | None, keras: Suspect | None, mine: list[Execution], limit: float
) -> tuple[Leaf | None, str | None, Execution | None]:
    """The Keras value and statement beside torch's, and the likely cause.

    Where Keras stops short of what torch does, the statement that should have gone on is named.
    """
    stops = None if torch is None else takes_counterpart(mine, torch, limit)
    if torch is None or keras is None:
        return (keras.value, None, keras.execution) if keras else (None, None, stops)
    if stops is not None:
        start = torch.before[-1]
        factor = factor_between(torch.value, start)
        if factor is not None and factor_between(keras.value, start) is None:
            return start, f"missing factor: torch multiplies by {factor:.6g}", stops
    reads = torch.execution.reads
    cause = likely_cause(torch.value.array, keras.value.array, reads)
    return keras.value, cause, keras.execution


def place(execution: Execution) -> Place:
    """Where a statement stands."""
    statement = execution.statement
    return Place(statement.file, statement.line, statement.text.strip())
