"""Constructors: their statements on both sides, for numbers and constants that differ."""

from __future__ import annotations

from typing import Any

from torch import nn

from keraform.verify import port as ports
from keraform.verify import twin
from keraform.verify.cases import Case
from keraform.verify.findings import CONSTRUCTION, Finding
from keraform.verify.leaves import Leaf
from keraform.verify.localising.alignment import pairs
from keraform.verify.localising.blame import pair_finding
from keraform.verify.localising.origins import Origin, watching
from keraform.verify.localising.recorder import Execution, Recorder

INITIALISER = "._init_weights"


def constructor_findings(case: Case, files: dict[str, Origin]) -> list[Finding]:
    """The first statement of the constructors that gives another value than torch's.

    Weights are left out: their first values are random, and they are compared as they are loaded.

    Args:
        case: the pair.
        files: the generated files and their origins.
    """
    its, mine = Recorder(_constant), Recorder(ports.read_leaf)
    with watching(its, mine, files):
        case.twin.build("float64", True)
        case.port.build_anyway("float64", True)
    for pair in pairs(_made(its.executions), _made(mine.executions), files, exact=False):
        found = pair_finding(pair, "", "float64", 1e-9, case.origin, CONSTRUCTION)
        if found is not None:
            return [found]
    return []


def _made(executions: list[Execution]) -> list[Execution]:
    """Without the initialisation of weights, which walks over modules in an order of its own."""
    return [each for each in executions if not each.statement.function.endswith(INITIALISER)]


def _constant(value: Any) -> Leaf | None:
    return None if isinstance(value, nn.Parameter) else twin.read_leaf(value)
