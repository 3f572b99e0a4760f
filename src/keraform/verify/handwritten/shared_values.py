"""Alignment of statements by values, for pairs without a line map: the first statement of a stage
whose value the other side does not have, and that nothing later makes good.
"""

from __future__ import annotations

import ast
import textwrap
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from keraform.verify.handwritten.matching import fingerprint, relation
from keraform.verify.handwritten.trace import Trace
from keraform.verify.leaves import Leaf, Leaves
from keraform.verify.localising.recorder import Execution


class Pool:
    """All values of one side, found again whatever their layout on the other."""

    def __init__(self, trace: Trace, limit: float) -> None:
        self._limit = limit
        self._sizes: dict[int, list[tuple[float, Leaf]]] = defaultdict(list)
        for leaf in _all_values(trace):
            if leaf.array.size > 1:
                self._sizes[leaf.array.size].append((fingerprint(leaf.array)[1], leaf))

    def has(self, leaf: Leaf) -> bool:
        """Whether the other side has these numbers; a constant says nothing, and counts as had."""
        array = leaf.array
        if array.size < 2 or array.dtype.kind not in "fciub" or _constant(array):
            return True
        rms = fingerprint(array)[1]
        near = 10 * self._limit * max(1.0, rms)
        return any(
            abs(other - rms) <= near and relation(leaf, each, self._limit).within(self._limit)
            for other, each in self._sizes[array.size]
        )

    def has_all(self, leaves: Leaves) -> bool:
        """Whether it has each of them."""
        return all(map(self.has, leaves.values()))


def _constant(array: np.ndarray) -> bool:
    return bool((array == array.flat[0]).all())


def _all_values(trace: Trace) -> Iterator[Leaf]:
    groups: list[Leaves] = [trace.inputs, trace.recording.outputs]
    for stage in trace.recording.stages.values():
        groups += [stage.inputs, stage.outputs]
    for execution in trace.executions:
        groups += [found for _, found in execution.operations]
        groups.append(execution.result or {})
    for group in groups:
        yield from group.values()
    yield from (Leaf(str(value.dtype), value) for value in trace.weights.values())


@dataclass(frozen=True)
class Suspect:
    """A statement whose value the other side does not have.

    Args:
        execution: of the statement.
        operation: the first of its operations that the other side does not have.
        value: what that gave.
        before: values that the statement's operations gave until then, which the other side has.
    """

    execution: Execution
    operation: str
    value: Leaf
    before: tuple[Leaf, ...] = ()


def first_suspect(executions: list[Execution], other: Pool) -> Suspect | None:
    """The first statement with a value of its own that no later value makes good."""
    known = [each.result is None or other.has_all(each.result) for each in executions]
    for index, execution in enumerate(executions):
        if not known[index] and not _made_good(executions, known, index):
            return _suspect(execution, other)
    return None


def _suspect(execution: Execution, other: Pool) -> Suspect:
    before: list[Leaf] = []
    for site, values in execution.operations:
        for leaf in values.values():
            if other.has(leaf):
                before += [leaf] if leaf.array.size > 1 else []
            elif not site.reads:  # what is read was computed by an earlier statement
                return Suspect(execution, site.text, leaf, tuple(before))
    unknown = [leaf for leaf in (execution.result or {}).values() if not other.has(leaf)]
    return Suspect(execution, execution.statement.text.strip(), unknown[0], tuple(before))


def _made_good(executions: list[Execution], known: list[bool], index: int) -> bool:
    """Whether something that was computed from a value is the other side's again: then the two
    only took different ways.
    """
    tainted = set(_bound(executions[index]))
    for later in range(index + 1, len(executions)):
        reads = _read(executions[later].statement.text)
        bound = _bound(executions[later])
        if not tainted & reads:
            tainted -= bound
        elif known[later] and _says_something(executions[later]):
            return True
        elif not known[later]:
            tainted |= bound
    return False


def _says_something(execution: Execution) -> bool:
    return any(leaf.array.size > 1 for leaf in (execution.result or {}).values())


def _bound(execution: Execution) -> set[str]:
    """The names that get a statement's value; what is returned goes to the function's name."""
    statement = execution.statement
    names = {target.rpartition(".")[2] for target in statement.targets}
    if statement.text.lstrip().startswith("return"):
        names.add(statement.function.rpartition(".")[2])
    return names


def _read(text: str) -> set[str]:
    """The names and attributes that a statement reads."""
    try:
        tree = ast.parse(textwrap.dedent(text))
    except SyntaxError:  # the header of a compound statement
        try:
            tree = ast.parse(textwrap.dedent(text).rstrip() + "\n    pass")
        except SyntaxError:
            return set()
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            found.add(node.id)
        elif isinstance(node, ast.Attribute):
            found.add(node.attr)
    return found


def takes_counterpart(
    executions: Iterable[Execution], suspect: Suspect, limit: float
) -> Execution | None:
    """The last statement that gives what the suspect started from: where the other side stops
    short, it is the one that should have gone on.
    """
    found = None
    for execution in executions:
        for leaf in (execution.result or {}).values():
            if any(relation(each, leaf, limit).within(limit) for each in suspect.before[-1:]):
                found = execution
    return found


def factor_between(torch: Leaf, keras: Leaf) -> float | None:
    """The number by which all of one array is the other."""
    one, other = torch.array, keras.array
    if one.shape != other.shape or one.dtype.kind != "f" or one.size < 2:
        return None
    plain = np.abs(other) > 1e-12
    if not plain.any() or not np.isfinite(one).all() or not np.isfinite(other).all():
        return None
    ratios = one[plain] / other[plain]
    spread = np.abs(ratios - ratios.mean()).max()
    return float(ratios.mean()) if spread <= 1e-9 * max(1.0, abs(ratios.mean())) else None
