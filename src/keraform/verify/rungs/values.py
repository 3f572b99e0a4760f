"""The rungs of the ladder up to the release: translated, built, loaded, exact, release."""

from __future__ import annotations

import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from keraform.verify import port as ports
from keraform.verify.cases import Case, Variant
from keraform.verify.compare import Difference, compare
from keraform.verify.deviations import WRITTEN_OVER
from keraform.verify.kind_assertions import Contradiction
from keraform.verify.localising.isolated import run_isolated
from keraform.verify.outcome import PASS, ClassReport, StageError, failed
from keraform.verify.rungs.dtypes import HALVES, Dtypes, TorchFails, compare_half
from keraform.verify.rungs.sharing import differently_shared, keras_shares, torch_shares


def translated(case: Case, report: ClassReport) -> str:
    """Nothing was refused."""
    report.refusals = case.find_refusals()
    if not report.refusals:
        return PASS
    first = report.refusals[0]
    return failed(
        f"{len(report.refusals)} refused, first {first.file}:{first.line}: "
        f"{first.rule}: {first.reason}"
    )


def built(case: Case, report: ClassReport) -> str:
    """The constructor makes every weight; nothing is called."""
    model = case.model
    if not model.weights and case.state:
        return failed("no weights after the constructor")
    unbuilt = [variable.path for variable in model.variables if variable._value is None]
    return (
        failed(f"{len(unbuilt)} variables without a value, first {unbuilt[0]}") if unbuilt else PASS
    )


def loaded(case: Case, report: ClassReport) -> str:
    """Every weight of the twin is used, none is left over, none is missing; tied ones are one."""
    found = case.load_once()
    if not found.complete:
        return failed(str(found))
    apart = differently_shared(torch_shares(case.twin.build()), keras_shares(case.model))
    return failed(f"{len(apart)} ties differ, first: {apart[0]}") if apart else PASS


def exact(case: Case, report: ClassReport) -> str:
    """Every stage and output in float64, casts lifted on both sides; and every expression of the
    source is what the translator took it for.
    """
    model = case.port.build("float64", lift=True)
    outcome = _values(case, report, "float64", lift=True, model=model)
    wrong = contradictions(case)
    if not wrong:
        return outcome
    told = f"{len(wrong)} kinds are wrong, first {wrong[0]}"
    return failed(told) if outcome == PASS else f"{outcome}; {told}"


def contradictions(case: Case) -> list[Contradiction]:
    """What the translator took for something else, in the class's file and on its inputs."""
    kinds = case.find_kinds()
    if kinds is None:
        return []
    return kinds.contradictions(case.twin, [(each.inputs, each.flags) for each in case.variants])


def release(case: Case, report: ClassReport) -> str:
    """The same in float32 as it is; then the dtypes of a bfloat16 and of a float16 run, where
    torch's own model runs in them.
    """
    case.load_once().check()
    outcome = _values(case, report, "float32", lift=False, model=case.model)
    if outcome != PASS:
        return outcome
    for dtype in HALVES:
        try:
            found = compare_half(case, dtype)
        except TorchFails as error:
            report.remarks.append(str(error))  # nothing to compare with
            continue
        words = _wrong_dtypes(found)
        if words is not None:
            return failed(f"{dtype}: {words}")
    return PASS


def _wrong_dtypes(found: Dtypes) -> str | None:
    if found.statements:
        first = found.statements[0]
        line = f" (line {first.keras.line})" if first.keras is not None else ""
        return f"{len(found.statements)} statements differ, first{line}: {first.problem}"
    if found.boundaries:
        first_stage = found.boundaries[0]
        many = f"{len(found.boundaries)} dtypes differ"
        return f"{many}, first {first_stage.stage}: {first_stage.problem}"
    return None


def _values(case: Case, report: ClassReport, dtype: str, lift: bool, model: Any) -> str:
    beyond: list[tuple[Variant, Difference]] = []
    guilty: list[str] = []
    for variant in case.variants:
        torch = case.run_twin(variant, dtype, lift)
        port = ports.run_model(model, variant.inputs, dtype, lift, **variant.flags)
        found = compare(torch, port)
        _note(report, dtype, found)
        if torch.written_over:
            names = " and ".join(sorted(torch.written_over))
            report.remarks.append(WRITTEN_OVER.format(names=names))
        if lift:
            limit = case.limit("", dtype, {})
            flags = variant.flags
            alone = run_isolated(model, torch, variant.inputs, dtype, lift, limit, **flags)
            alone.note(report.stages)
            guilty += [n for n, d in alone.own.items() if not d.within(case.limit(n, dtype, {}))]
        noise = case.noise(variant) if dtype == "float32" else {}
        _note_noise(report, noise)
        beyond += [(variant, d) for d in found if not d.within(case.limit(d.stage, dtype, noise))]
    errors = [getattr(stage, dtype) for stage in report.stages.values()]
    report.max_error[dtype] = max((error for error in errors if error is not None), default=0.0)
    words = [_words(beyond, dtype)] if beyond else []
    if beyond and dtype == "float32":
        strayed = max(max(case.noise(variant).values(), default=0.0) for variant in case.variants)
        words.append(f"torch's own float32 is up to {strayed:.1e} from its float64")
    if guilty:
        named = ", ".join(name or "the model's own code" for name in dict.fromkeys(guilty))
        words.append(f"{dtype}: wrong on their own: {named[:300]}")
    return failed("; ".join(words)) if words else PASS


def _note(report: ClassReport, dtype: str, found: Iterable[Difference]) -> None:
    for difference in found:
        stage = report.stages.setdefault(difference.stage, StageError(difference.stage))
        stage.note(dtype, difference.size)


def _note_noise(report: ClassReport, noise: dict[str, float]) -> None:
    for name, error in noise.items():
        stage = report.stages.get(name)
        if stage is not None:
            stage.note("noise", error)


def _words(beyond: list[tuple[Variant, Difference]], dtype: str) -> str:
    variant, first = beyond[0]
    _, worst = max(beyond, key=lambda pair: pair[1].error)
    what = first.problem or f"{first.error:.1e}"
    tail = (
        "" if worst is first else f"; worst {worst.stage}: {worst.problem or f'{worst.error:.1e}'}"
    )
    return (
        f"{dtype}: {len(beyond)} stages differ, first {first.stage} ({variant.name}): {what}{tail}"
    )


def crash(error: BaseException) -> str:
    """The outcome of a rung that raised."""
    return failed(reason(error))


def reason(error: BaseException) -> str:
    """One line about an exception: what, and where in the innermost file that is Keraform's or
    generated.
    """
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "site-packages" not in frame.filename]
    frame = (own or frames)[-1] if frames else None
    place = f" ({Path(frame.filename).name}:{frame.lineno})" if frame is not None else ""
    message = " ".join(str(error).split())[:300]
    return f"{type(error).__name__}: {message}{place}"
