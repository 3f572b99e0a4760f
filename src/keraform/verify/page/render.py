"""A report as one HTML page: what the template needs of each class, and the template's filling."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime

import jinja2
from markupsafe import Markup, escape

from keraform.verify.findings import (
    CONSTRUCTION,
    STAGE,
    STATEMENT,
    WEIGHTS,
    Finding,
    Localisation,
    Statistics,
)
from keraform.verify.outcome import (
    NOT_RUN,
    PASS,
    RUNG_NAMES,
    ClassReport,
    Report,
    StageError,
)
from keraform.verify.page.growth import growth
from keraform.verify.page.heat import COLUMNS, HEAT, Limits, words, worst
from keraform.verify.page.listing import Listing, listing
from keraform.verify.page.tree import Row, marks_of, rows_of
from keraform.verify.page.verdict import (
    DIFFERS,
    EQUAL,
    FAILS,
    OPEN,
    Verdict,
    stage_words,
    verdict_of,
    verdict_on_all,
)
from keraform.verify.port import LoadReport
from keraform.verify.refusals import Refusal
from keraform.verify.tolerances import LIMITS, NOISE_FACTOR
from keraform.version import __version__

# What a rung's outcome looks like: sign, word.
SIGNS = {"pass": "✓", "fail": "✗", "not applicable": "–", "not run": "·"}

STATISTICS = ("dtype", "shape", "mean", "rms", "smallest", "largest", "NaN")
KINDS = {
    WEIGHTS: "a weight",
    CONSTRUCTION: "how a layer is made",
    STATEMENT: "a statement",
    STAGE: "a stage; no statement could be named",
}
VERDICTS = {EQUAL: "✓ Equal", DIFFERS: "✗ Differs", FAILS: "✗ Fails", OPEN: "? Not compared"}


@dataclass(frozen=True)
class Rung:
    """One rung of one class; `word` is a key of SIGNS, `reason` what follows it."""

    number: int
    name: str
    word: str
    reason: str

    @property
    def sign(self) -> str:
        """The word in one character."""
        return SIGNS[self.word]


@dataclass(frozen=True)
class Fault:
    """A finding with both sides' statements in their files."""

    finding: Finding
    where: str
    error: str
    sides: tuple[tuple[str, Listing], ...]
    statistics: tuple[tuple[str, tuple[str, ...]], ...]
    unequal: frozenset[int]


@dataclass(frozen=True)
class Weights:
    """What loading said: lists of keys by what is wrong with them, or a sentence."""

    sentence: str
    keys: tuple[tuple[str, tuple[str, ...]], ...] = ()


@dataclass(frozen=True)
class ClassPage:
    """One class's part of the page."""

    anchor: str
    name: str
    verdict: Verdict
    rungs: tuple[Rung, ...]
    figures: tuple[tuple[str, str], ...]
    faults: tuple[Fault, ...]
    rows: tuple[Row, ...]
    plot: Markup
    weights: Weights
    refusals: Sequence[Refusal]


def render(
    report: Report,
    localisations: Sequence[Localisation] = (),
    command: str = "",
    made: datetime | None = None,
) -> str:
    """The page.

    Args:
        report: the ladder.
        localisations: what was found out about its classes, or about classes of which no rung was
            run.
        command: the command line that made it.
        made: when; now where it is not given.
    """
    located = {each.name: each for each in localisations}
    ladder = {each.name: each for each in report.classes}
    pages = [
        _class_page(
            f"c{number}",
            ladder.get(name) or ClassReport(name),
            located.get(name),
            Limits(name, report.trained),
        )
        for number, name in enumerate({**ladder, **located}, 1)
    ]
    return _template().render(
        report=report,
        command=command,
        made=made or datetime.now().astimezone(),
        versions=_versions(report),
        verdict=verdict_on_all(report.target, {page.name: page.verdict for page in pages}),
        classes=pages,
        reasons=_reasons(pages),
        columns=COLUMNS,
        legend=[text for _, text in HEAT],
        statistics=STATISTICS,
        kinds=KINDS,
        limits=LIMITS,
        noise_factor=NOISE_FACTOR,
        verdict_words=VERDICTS,
        rung_names=RUNG_NAMES,
        signs=SIGNS,
    )


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("keraform.verify", "page"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["unbroken"] = unbroken
    return environment.get_template("report.html.j2")


def unbroken(sentence: str) -> Markup:
    """A sentence whose numbers stay in one piece; browsers break lines after the hyphen of 1e-9."""
    spans = re.sub(r"\d\.\de[-+]\d+", r'<span class="nowrap">\g<0></span>', str(escape(sentence)))
    return Markup(spans)


def _versions(report: Report) -> list[tuple[str, str]]:
    packages = dict.fromkeys(("keras", report.backend, "torch"))
    return [
        ("keraform", __version__),
        ("transformers", report.transformers),
        *((package, _version(package)) for package in packages),
    ]


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _class_page(
    anchor: str, report: ClassReport, located: Localisation | None, limits: Limits
) -> ClassPage:
    stages = _merge(report.stages, located.stages if located else {})
    findings = located.findings if located else []
    marks = marks_of(stages, findings, limits)
    return ClassPage(
        anchor=anchor,
        name=report.name,
        verdict=verdict_of(report, stages, findings, limits),
        rungs=tuple(_rung(number, outcome) for number, outcome in report.rungs.items()),
        figures=tuple(_figures(report, stages)),
        faults=tuple(_fault(finding) for finding in findings),
        rows=rows_of(stages, marks, limits),
        # matplotlib escapes what it writes, and draws text as text (growth.STYLE)
        plot=Markup(growth(stages, marks, anchor)),
        weights=_weights(report, located),
        refusals=report.refusals,
    )


def _merge(ladder: dict[str, StageError], located: dict[str, StageError]) -> dict[str, StageError]:
    """The stages of both, in the order of the run; what localising measured counts first."""
    merged = dict(located)
    for name, stage in ladder.items():
        known = located.get(name, StageError(name))
        gaps = {
            each.name: getattr(stage, each.name)
            for each in fields(stage)
            if getattr(known, each.name) in (None, "")
        }
        merged[name] = replace(known, **gaps)
    return merged


def _rung(number: int, outcome: str) -> Rung:
    word, _, reason = outcome.partition(": ")
    if word not in SIGNS:
        word, reason = "fail", outcome
    return Rung(number, RUNG_NAMES[number], word, reason)


def _reasons(pages: Sequence[ClassPage]) -> list[tuple[Rung, list[str]]]:
    """Why rungs failed or do not apply, failures first, each reason once with its classes."""
    found: dict[Rung, list[str]] = {}
    for page in pages:
        for rung in page.rungs:
            if rung.reason:
                found.setdefault(rung, []).append(page.name)
    return sorted(found.items(), key=lambda entry: entry[0].word != "fail")


def _figures(report: ClassReport, stages: dict[str, StageError]) -> Iterator[tuple[str, str]]:
    """The largest error of everything that was measured."""
    for column in COLUMNS:
        stage = worst(stages.values(), column)
        if stage is not None:
            yield f"largest {column.title}", words(getattr(stage, column.field))
    for name in ("loss", "gradient"):
        if report.max_error.get(name) is not None:
            yield f"largest {name}", words(report.max_error[name])
    if stages:
        yield "stages and outputs", str(len(stages))


def _fault(finding: Finding) -> Fault:
    sides = (("PyTorch", finding.torch), ("Keras", finding.keras))
    values = (("PyTorch", finding.torch_values), ("Keras", finding.keras_values))
    statistics = tuple((side, _numbers(each)) for side, each in values if each is not None)
    columns = zip(*(numbers for _, numbers in statistics), strict=True)
    return Fault(
        finding=finding,
        where=stage_words(finding.stage),
        error=words(finding.error),
        sides=tuple((side, listing(place)) for side, place in sides if place is not None),
        statistics=statistics,
        unequal=frozenset(i for i, cells in enumerate(columns) if len(set(cells)) > 1),
    )


def _numbers(values: Statistics) -> tuple[str, ...]:
    numbers = (values.mean, values.rms, values.smallest, values.largest)
    shape = " × ".join(map(str, values.shape)) or "scalar"
    return (values.dtype, shape, *(f"{number:.6g}" for number in numbers), str(values.nan))


def _weights(report: ClassReport, located: Localisation | None) -> Weights:
    """What localising said of the weights; else what rung 3 did."""
    if located is not None:
        return _loaded(located.weights)
    outcome = report.rungs[3]
    if outcome == PASS:
        return _loaded(LoadReport())
    if outcome == NOT_RUN:
        return Weights("Not looked at in this run; rung 3 does.")
    return Weights(f"Rung 3 says: {outcome}.")


def _loaded(found: LoadReport) -> Weights:
    if found.complete:
        return Weights("Every weight of the twin is used, none is missing, none is left over.")
    kinds = (
        ("missing: the port has them, torch does not", found.missing),
        ("unexpected: torch has them, the port has no place for them", found.unexpected),
        ("mismatched: of another shape or with other values", found.mismatched),
    )
    return Weights("The weights do not fit.", tuple((title, keys) for title, keys in kinds if keys))
