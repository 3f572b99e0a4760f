"""Cases: one torch class beside its port, with the inputs on which they are compared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import chain, starmap
from math import inf
from typing import Any

from keraform.verify.compare import compare
from keraform.verify.inputs import Inputs
from keraform.verify.kernels import BackendKernels
from keraform.verify.kind_assertions import KindAssertions
from keraform.verify.leaves import Recording
from keraform.verify.load_report import LoadReport
from keraform.verify.localising.origins import OriginOf, origin_of
from keraform.verify.port import Load, Port
from keraform.verify.refusals import Refusal
from keraform.verify.ties import TiesInOrder
from keraform.verify.tolerances import LIMITS, allowed
from keraform.verify.twin import State, Twin

CALM = LIMITS["float32"] / 2  # how far a right float32 run may be off
# The seeds and sizes of random weights that are tried for it: smaller ones add less to each sum,
# what larger ones give is less often so small that a norm has to stretch it. Where runs are not
# kept, the first are tried alone.
SPREADS = (0.5, 0.25, 2.0)
FIRST = ((0, 0.5), (1, 0.5), (1, 0.1), (1, 0.25), (4, 0.25))
OTHERS = dict.fromkeys(
    (
        *FIRST,
        *((0, spread) for spread in SPREADS),
        *((seed, spread) for seed in (1, 2, 3, 4, 5) for spread in (1.0, *SPREADS)),
    )
)
NUMBERS = 2_000_000  # that the stages of a run give, at most, for the run to be kept


@dataclass(frozen=True)
class Variant:
    """One set of inputs; `flags` are such as `output_attentions`, given to a forward pass that
    takes them; `config` holds fields of the config that training with these inputs asks for.
    """

    name: str
    inputs: Inputs
    flags: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)


@dataclass
class Case:
    """What the rungs need to know of one class; everything is made when first asked for.

    Args:
        name: the class, as reports show it.
        make_twin: builds the torch side.
        make_port: builds the Keras model from its config, without weights.
        load: loads the twin's state into the port.
        make_variants: the inputs, the richest first.
        make_labelled: inputs with labels, what users train with first; none without a loss.
        find_refusals: what the translator refused in this class.
        find_kinds: what the translator took the expressions of the class's file for, where a
            translator wrote the port.
        resized: other inputs of the same kind with another batch and length, for compiled calls.
        torch_class: the class that reads saved weights back, where there is one.
        reseeded: the torch side with other random weights, by a seed from 1 on and a factor of
            their size, where its weights are random.
        reads_itself: whether `make_port` reads its weights from a directory.
        origin: the torch file and line map of a generated file.
        remark: what the reader should know, and is no difference.
        init: constructor arguments of both classes, as expressions in their files' names, where
            they take no config.
    """

    name: str
    make_twin: Callable[[], Twin]
    make_port: Callable[[], Any]
    load: Load
    make_variants: Callable[[], tuple[Variant, ...]]
    make_labelled: Callable[[], tuple[Variant, ...]] = tuple
    find_refusals: Callable[[], list[Refusal]] = list
    find_kinds: Callable[[], KindAssertions | None] = lambda: None
    resized: Callable[[], Inputs | None] = lambda: None
    torch_class: type | None = None
    reseeded: Callable[[int, float], Twin] | None = None
    reads_itself: bool = False
    origin: OriginOf = origin_of
    remark: str | None = None
    init: dict[str, str] = field(default_factory=dict)
    _model: Any = None
    _loaded: LoadReport | None = None
    _twin: Twin | None = None
    _variants: tuple[Variant, ...] | None = None
    _noise: dict[str, dict[str, float]] = field(default_factory=dict)
    _runs: dict[tuple[str, str, bool], Recording] = field(default_factory=dict)

    def limit(self, stage: str, dtype: str, noise: dict[str, float]) -> float:
        """How far a stage may be off; `noise` is torch's own distance from float32 to float64."""
        return allowed(self.name, stage, dtype, noise.get(stage, 0.0), self.reads_itself)

    def noise(self, variant: Variant) -> dict[str, float]:
        """Torch's float32 run against its float64 run, stage by stage; on trained weights the
        larger of two, the second with the backend's kernels.
        """
        if variant.name not in self._noise:
            double = self.run_twin(variant, "float64", lift=True)
            singles = [self.run_twin(variant, "float32")]
            if self.reads_itself:
                with BackendKernels():
                    singles.append(self.twin.run(variant.inputs, "float32", **variant.flags))
            found: dict[str, float] = {}
            for each in (each for single in singles for each in compare(double, single)):
                found[each.stage] = max(found.get(each.stage, 0.0), each.error)
            self._noise[variant.name] = found
        return self._noise[variant.name]

    def run_twin(self, variant: Variant, dtype: str, lift: bool = False) -> Recording:
        """What torch gives for these inputs; run once, unless it is too much to keep."""
        key = (variant.name, dtype, lift)
        if key in self._runs:
            return self._runs[key]
        found = self.twin.run(variant.inputs, dtype, lift, **variant.flags)
        if found.size <= NUMBERS:
            self._runs[key] = found
        return found

    @property
    def twin(self) -> Twin:
        """The torch side."""
        if self._twin is None:
            self._twin = self.make_twin()
            if self.reseeded is not None:
                self._calm(self.reseeded)
        return self._twin

    def _calm(self, reseeded: Callable[[int, float], Twin]) -> None:
        """Takes other random weights where rounding decides so much that nothing could be told by
        the limit of float32: a small sum that a norm divides by, two scores that lie as close as
        rounding. The calmest of some it is, of few where runs are not kept, since there is much in
        them.
        """
        twins = chain([self._twin], starmap(reseeded, OTHERS))
        best: tuple[float, Any, Any, Any] | None = None
        for tried, twin in enumerate(twins):
            self._twin, self._runs, self._noise = twin, {}, {}
            try:
                strayed = max(map(self._strayed, self.variants))
            except Exception:  # the rungs will say so
                strayed = inf
            if best is None or strayed < best[0]:
                best = strayed, twin, self._runs, self._noise
            if strayed <= CALM or (tried == len(FIRST) and not self._runs):
                break
        assert best is not None
        _, self._twin, self._runs, self._noise = best

    def _strayed(self, variant: Variant) -> float:
        """How far a right float32 run may be off: torch's own from float64 and, where that is not
        little or where scores are sorted, from one with the backend's kernels.
        """
        before = TiesInOrder.count
        noise = max(self.noise(variant).values(), default=0.0)
        sorts = TiesInOrder.count > before
        if (noise <= CALM / 2 and not sorts) or not self._runs:
            return noise
        with BackendKernels():
            other = self.twin.run(variant.inputs, "float32", **variant.flags)
        found = compare(self.run_twin(variant, "float32"), other)
        return max(noise, *(each.size for each in found))

    @property
    def state(self) -> State:
        """Torch's weights."""
        return self.twin.state

    @property
    def model(self) -> Any:
        """The Keras side as it is constructed, made once; its weights are the twin's from
        `load_once` on. Nobody may change them.
        """
        if self._model is None:
            self._model = self.make_port()
        return self._model

    def load_once(self) -> LoadReport:
        """Load the twin's weights into `model`, for which no random ones are made first where
        nobody has asked for it yet.
        """
        if self._loaded is None and self._model is None:
            self._model, self._loaded = self.port.build_anyway()
        elif self._loaded is None:
            self._loaded = self.load(self._model, self.state)
        return self._loaded

    @property
    def port(self) -> Port:
        """The Keras side."""
        return Port(self.make_port, self.load, self.state, self.reads_itself)

    @property
    def labelled(self) -> tuple[Variant, ...]:
        """The inputs with labels."""
        return self.make_labelled()

    @property
    def variants(self) -> tuple[Variant, ...]:
        """The inputs."""
        if self._variants is None:
            self._variants = self.make_variants()
        return self._variants
