"""Dtypes in half precision, which the lift to float64 hides: at the boundaries of modules, and of
each statement, where a cast inside a module shows.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import keras

from keraform.runtime.tree import named_layers
from keraform.verify import port as ports
from keraform.verify import twin
from keraform.verify.cases import Case, Variant
from keraform.verify.compare import Difference, compare_dtypes
from keraform.verify.findings import STATEMENT, Finding
from keraform.verify.leaves import Recording
from keraform.verify.localising.alignment import Pair, dtype_difference, pairs
from keraform.verify.localising.blame import both_places, crash_finding
from keraform.verify.localising.origins import Origin, files_of, place_of, watching
from keraform.verify.localising.recorder import Recorder

HALVES = ("bfloat16", "float16")


class TorchFails(ValueError):
    """Torch's own model does not run in a dtype."""


@dataclass
class Dtypes:
    """What differs in one dtype.

    Args:
        boundaries: outputs and stages whose dtypes are not torch's.
        statements: the statements to blame, in the order of the run, each once.
    """

    boundaries: list[Difference] = field(default_factory=list)
    statements: list[Finding] = field(default_factory=list)


def dtype_findings(case: Case) -> list[Finding]:
    """One finding for each statement whose dtypes are not torch's in half precision."""
    found: list[Finding] = []
    for dtype in HALVES:
        try:
            statements = compare_half(case, dtype).statements
        except TorchFails:
            continue  # a remark of rung 5 says so
        found += [new for new in statements if all(new.keras != old.keras for old in found)]
    return found


def compare_half(case: Case, dtype: str) -> Dtypes:
    """Run both sides in a dtype on the richest inputs.

    Raises:
        TorchFails: torch's own model cannot.
    """
    variant = case.variants[0]
    model = case.port.build(dtype)
    files = files_of((layer for _, layer in named_layers(model)), case.origin)
    its, mine = Recorder(twin.read_dtype), Recorder(ports.read_dtype)
    found = Dtypes()
    with watching(its, mine, files):
        try:
            original = case.twin.build(dtype)
            torch = twin.run_model(original, variant.inputs, dtype, False, its, **variant.flags)
        except Exception as error:
            what = " ".join(f"{type(error).__name__}: {error}".split())
            raise TorchFails(f"torch itself cannot run it in {dtype}: {what}") from error
        try:
            port = _dtypes_of_port(model, variant, dtype, mine)
            found.boundaries = compare_dtypes(torch, port, integer_width=_wide())
        except Exception as error:
            found.statements.append(crash_finding(case, "", error, dtype))
    blamed = [_finding(case, pair, dtype) for pair in _different(its, mine, files)]
    statements = {each.keras: each for each in reversed(blamed)}
    found.statements = [*reversed(statements.values())] or found.statements
    return found


def _dtypes_of_port(model: Any, variant: Variant, dtype: str, recorder: Recorder) -> Recording:
    """The port's run. JAX compiles each operation for each shape before it computes anything, and
    dtypes it knows without: there the run is abstract, unless the model reads numbers.
    """

    def run() -> Recording:
        return ports.run_model(model, variant.inputs, dtype, False, recorder, **variant.flags)

    if keras.backend.backend() == "jax":
        import jax

        found: list[Recording] = []
        try:
            jax.eval_shape(lambda: found.append(run()))
            return found[0]
        except Exception:
            recorder.forget()  # the run with values says what is wrong, if anything is
    return run()


def _wide() -> bool:
    """Whether users of the backend get 64 bits by default."""
    return keras.backend.backend() != "jax"


def _different(its: Recorder, mine: Recorder, files: dict[str, Origin]) -> list[Pair]:
    """The pairs whose dtypes differ, in torch's order."""
    order = {id(each): index for index, each in enumerate(its.executions)}
    found = [
        pair
        for stage in dict.fromkeys(each.stage for each in its.executions)
        for pair in pairs(its.of_stage(stage), mine.of_stage(stage), files)
        if dtype_difference(pair, _wide()) is not None
    ]
    return sorted(found, key=lambda pair: order[id(pair.torch)])


def _finding(case: Case, pair: Pair, dtype: str) -> Finding:
    statement = pair.keras.caller or pair.keras.statement
    return Finding(
        STATEMENT,
        pair.torch.stage,
        dtype,
        0.0,
        cause="a cast is missing, or one too many",
        problem=dtype_difference(pair, _wide()),
        **both_places(place_of(statement), case.origin),
    )
