"""Localising: from a pair that differs to the statement, the rule that wrote it and the likely
cause.
"""

from __future__ import annotations

from collections.abc import Callable

from keraform.runtime.tree import named_layers
from keraform.verify.cases import Case
from keraform.verify.findings import Localisation
from keraform.verify.localising.blame import crash_finding
from keraform.verify.localising.constructors import constructor_findings
from keraform.verify.localising.origins import files_of
from keraform.verify.localising.scene import DTYPE, LIFT, Scene
from keraform.verify.localising.weights import weight_findings
from keraform.verify.quiet import quiet
from keraform.verify.rungs.dtypes import dtype_findings
from keraform.verify.targets import Target, cases_of

Progress = Callable[[str, int, int], None]
STEPS = ("weights", "stages", "statements", "half precision")


def localise_target(
    target: Target, progress: Progress | None = None
) -> list[tuple[Case, Localisation]]:
    """Examine every class of a target.

    Args:
        target: what to examine.
        progress: told before each step, with its number and the number of all.
    """
    found = []
    with quiet():
        cases = cases_of(target)
        for number, case in enumerate(cases):

            def step(what: str, done: int, total: int, case: Case = case, at: int = number) -> None:
                if progress is not None:
                    progress(f"{case.name}, {what}", at * total + done, len(cases) * total)

            found.append((case, localise(case, step)))
    return found


def localise(case: Case, progress: Progress | None = None) -> Localisation:
    """Find every difference of a case, the most basic first; no findings where there is none.

    Weights come first, then constructors, then each stage whose own code is wrong, down to the
    statement; when all of that agrees in float64, the dtypes of statements in half precision.

    Args:
        case: the pair.
        progress: told before each step, with its number and the number of all.
    """

    def begin(what: str) -> None:
        if progress is not None:
            progress(what, STEPS.index(what), len(STEPS))

    found = Localisation(case.name, remark=case.remark)
    begin("weights")
    try:
        model, found.weights = case.port.build_anyway(DTYPE, LIFT)
    except Exception as error:
        found.findings.append(crash_finding(case, "", error))
        return found
    files = files_of((layer for _, layer in named_layers(model)), case.origin)
    if not found.weights.complete:  # layers that one side has not: what made them comes first
        found.findings += constructor_findings(case, files)
    found.findings += weight_findings(case, model, found.weights, files)
    begin("stages")
    original = case.twin.build(DTYPE, LIFT)
    for variant in case.variants:
        scene = Scene(case, variant, original, model, files)
        guilty = scene.stages(found)
        if guilty:
            begin("statements")
            if found.weights.complete:
                found.findings += constructor_findings(case, files)
            found.findings += scene.findings(guilty, found.findings)
        if found.findings:
            return found
    begin("half precision")
    found.findings += dtype_findings(case)
    return found
