"""Pairs that somebody wrote, a torch module and a Keras layer: whether they are equal with the same
weights, and if not, where the first difference is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keraform.verify.given import definition, read_inputs
from keraform.verify.handwritten.trace import Trace, weights_of
from keraform.verify.handwritten.trace_pairs import PairReport, compare_traces, output_errors
from keraform.verify.handwritten.weight_map import doubtful
from keraform.verify.leaves import State
from keraform.verify.tolerances import LIMITS, NOISE_FACTOR

if TYPE_CHECKING:
    from keraform.verify.handwritten.keras_side import KerasSide
    from keraform.verify.handwritten.torch_side import TorchSide

EXAMPLE = "keraform localise --torch my_torch.py:Model --keras my_keras.py:Model --inputs x.npz"

MOST_TRIES = 4  # of other layouts; each is a run


@dataclass(frozen=True)
class PairTarget:
    """A pair, in the user's words.

    Args:
        torch: `FILE.py:NAME` of the module.
        keras: `FILE.py:NAME` of the layer or model.
        init: constructor arguments of the module.
        keras_init: of the layer; what `init` has and it takes too comes from there.
        inputs: `F.npz`, `F.safetensors`, `module:function` or `FILE.py:function`.
        keras_inputs: the same for Keras where it wants others, or `channels-last`.
        weights: a safetensors file for the module instead of random ones.
        map_path: a weight map; what it leaves out is guessed.
    """

    torch: str
    keras: str
    init: dict[str, str] = field(default_factory=dict)
    keras_init: dict[str, str] = field(default_factory=dict)
    inputs: str | None = None
    keras_inputs: str | None = None
    weights: str | None = None
    map_path: str | None = None


def localise_pair(target: PairTarget) -> PairReport:
    """Run both in float64, then in float32; where they differ, once more with all statements.

    Raises:
        KeraformError: a file, a name, arguments, inputs or the map do not fit.
    """
    torch, keras = sides(target)
    one = torch.trace("float64")
    try:
        other = keras.trace("float64")
    except (TypeError, ValueError) as error:
        report = _in_float32(torch, keras, _noise(one, torch.trace("float32")))
        report.remarks.append(
            f"the Keras side does not run in float64 ({' '.join(str(error).split())[:200]}): "
            "compared in float32 alone"
        )
        return report
    report = compare_traces(one, other)
    if report.localisation.findings:
        return _with_statements(torch, keras, report, "float64", LIMITS["float64"])
    single = _in_float32(torch, keras, _noise(one, torch.trace("float32")))
    for name, stage in single.localisation.stages.items():
        if name in report.localisation.stages:
            report.localisation.stages[name].float32 = stage.float32
            report.localisation.stages[name].noise = stage.noise
    report.localisation.findings += single.localisation.findings
    return report


def sides(target: PairTarget) -> tuple[TorchSide, KerasSide]:
    """Both sides, ready to run."""
    from keraform.verify.handwritten.keras_side import KerasSide
    from keraform.verify.handwritten.torch_side import torch_side

    torch_definition = definition(target.torch, target.init, EXAMPLE)
    inputs = read_inputs(target.inputs, torch_definition.path)
    weights: State | None = None
    if target.weights is not None:
        weights = weights_of(Path(target.weights))
    torch = torch_side(target.torch, torch_definition, inputs, weights)
    return torch, keras_side_of(target, torch.twin.state, torch.weights(), inputs, KerasSide)


def keras_side_of(
    target: PairTarget, state: State, weights: Any, inputs: dict[str, Any], make: Callable[..., Any]
) -> KerasSide:
    """The Keras side, with torch's weights and inputs."""
    found = definition(target.keras, {}, EXAMPLE)
    init = {**found.accepts(target.init), **target.keras_init}
    layout = target.keras_inputs if target.keras_inputs == "channels-last" else None
    if target.keras_inputs and layout is None:
        inputs = read_inputs(target.keras_inputs, found.path)
    return make(
        target.keras,
        replace(found, init=init),
        inputs,
        state,
        weights,
        target.map_path,
        layout,
    )


def _noise(double: Trace, single: Trace) -> dict[str, float]:
    """Torch's own distance from float32 to float64, for each output."""
    return output_errors(double, single, LIMITS["float32"])


def _in_float32(torch: TorchSide, keras: KerasSide, noise: dict[str, float]) -> PairReport:
    limit = max([LIMITS["float32"], *(NOISE_FACTOR * error for error in noise.values())])
    report = compare_traces(torch.trace("float32"), keras.trace("float32"), limit)
    for name, error in noise.items():
        if name in report.localisation.stages:
            report.localisation.stages[name].noise = error
    if report.localisation.findings:
        return _with_statements(torch, keras, report, "float32", limit)
    return report


def _with_statements(
    torch: TorchSide, keras: KerasSide, report: PairReport, dtype: str, limit: float
) -> PairReport:
    """The same once more, with the statements of the guilty stage on record."""
    guilty, partner = report.guilty
    one = torch.trace(dtype, statements=_inside(guilty))
    other = keras.trace(dtype, statements=_inside(partner))
    found = compare_traces(one, other, limit)
    words = _layout_that_fits(one, keras, found, limit)
    if words is not None:
        findings = found.localisation.findings
        findings[-1] = replace(findings[-1], cause=words)
    return found


def _layout_that_fits(
    torch: Trace, keras: KerasSide, report: PairReport, limit: float
) -> str | None:
    """Whether another layout of one square weight, whose own was a guess, makes the two equal."""
    doubtful_ones = [pair for pair in report.weight_map.pairs if pair.other_layouts]
    for pair in [pair for pair in doubtful_ones if doubtful(pair)][:MOST_TRIES]:
        for layout in pair.other_layouts:
            keras.tried = {pair.keras: layout}
            try:
                errors = output_errors(torch, keras.trace(torch.dtype), limit)
            finally:
                keras.tried = {}
            if max(errors.values(), default=limit) < limit:
                return (
                    f"with {pair.keras} as {layout!r} of {pair.torch[0]} the two are equal: "
                    f"either the code transposes it wrongly, or the map should say {layout!r}"
                )
    return None


def _inside(path: str) -> Callable[[str], bool]:
    return lambda stage: not path or stage == path or stage.startswith((f"{path}.", f"{path}#"))
