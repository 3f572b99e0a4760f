"""Dtypes of statements in half precision, which the lift to float64 hides and the boundaries of
modules do not show.
"""

from __future__ import annotations

from keraform.runtime.tree import named_layers
from keraform.verify import port as ports
from keraform.verify import twin
from keraform.verify.alignment import Pair, dtype_difference, pairs
from keraform.verify.blame import both_places, crash_finding
from keraform.verify.cases import Case
from keraform.verify.findings import STATEMENT, Finding
from keraform.verify.origins import files_of, place_of
from keraform.verify.recorder import Recorder

HALVES = ("bfloat16", "float16")


def dtype_findings(case: Case, dtypes: tuple[str, ...] = HALVES) -> list[Finding]:
    """One finding for each statement whose dtypes are not torch's, on the richest inputs."""
    found: dict[tuple[str, int], Finding] = {}
    for dtype in dtypes:
        for finding in _findings(case, dtype):
            place = finding.keras
            found.setdefault((place.file, place.line) if place else ("", 0), finding)
    return list(found.values())


def _findings(case: Case, dtype: str) -> list[Finding]:
    variant = case.variants[0]
    original, model = case.twin.build(dtype), case.port.build(dtype)
    files = files_of((layer for _, layer in named_layers(model)), case.origin)
    its, mine = Recorder(twin.read_leaf), Recorder(ports.read_leaf)
    with its.watching(origin.torch_file for origin in files.values()):
        twin.run_model(original, variant.inputs, dtype, False, its, **variant.flags)
    crash: Exception | None = None
    with mine.watching(files):
        try:
            ports.run_model(model, variant.inputs, dtype, False, mine, **variant.flags)
        except Exception as error:
            crash = error
    order = {id(each): index for index, each in enumerate(its.executions)}
    found = [
        pair
        for stage in dict.fromkeys(each.stage for each in its.executions)
        for pair in pairs(its.of_stage(stage), mine.of_stage(stage), files)
        if dtype_difference(pair) is not None
    ]
    found.sort(key=lambda pair: order[id(pair.torch)])
    findings = [_finding(case, pair, dtype) for pair in found]
    if crash is not None and not findings:
        findings.append(crash_finding(case, "", crash, dtype))
    return findings


def _finding(case: Case, pair: Pair, dtype: str) -> Finding:
    statement = pair.keras.caller or pair.keras.statement
    return Finding(
        STATEMENT,
        pair.torch.stage,
        dtype,
        0.0,
        cause="a cast is missing, or one too many",
        problem=dtype_difference(pair),
        **both_places(place_of(statement), case.origin),
    )
