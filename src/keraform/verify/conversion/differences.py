"""How far a Keras model is from torch's original of a checkpoint, group by group, in float32."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

from keraform.verify import port as ports
from keraform.verify.cases import Case, Variant
from keraform.verify.compare import Difference, compare_leaf, compare_outputs
from keraform.verify.conversion.result import (
    ATTENTIONS,
    GRADIENTS,
    HIDDEN,
    LOSS,
    MAX_ERROR,
    OUTPUTS,
    WEIGHTS,
    Measure,
)
from keraform.verify.drives import CACHE_NAMES
from keraform.verify.inputs import Inputs
from keraform.verify.kernels import BackendKernels
from keraform.verify.leaves import Leaf, Leaves, State, leaves
from keraform.verify.port import keras_precision, keras_values
from keraform.verify.port import read_leaf as read_keras
from keraform.verify.rungs import gradients
from keraform.verify.rungs.gradients import (
    Pass,
    Weights,
    keras_pass,
    own_losses,
    surrogate,
    torch_pass,
)
from keraform.verify.rungs.kept import weights_of
from keraform.verify.rungs.learns import configured, gradient_differences
from keraform.verify.tolerances import NOISE_FACTOR

DTYPE = "float32"  # what users run

# Gives a Keras model with the weights; called under the dtype policy of the comparison.
MakePort = Callable[[], Any]


class Original:
    """Torch's side of a checkpoint: run once, compared with any number of Keras models.

    Weights have to be equal. Everything else may be off by `max_error`, and by twice torch's own
    distance from float64 where that is more: trained weights have outliers at which a limit
    without it would fail torch against itself (`tolerances.py`).

    Args:
        case: The checkpoint, for one class.
        max_error: How far a tensor may be off.
    """

    def __init__(self, case: Case, max_error: float = MAX_ERROR) -> None:
        self.case = case
        self.max_error = max_error

    def compare(self, make_port: MakePort) -> list[Measure]:
        """Weights, outputs, hidden states, attentions, loss and gradients of a model, which is made
        for this: a training pass moves its statistics.
        """
        with keras_precision(DTYPE, lift=False):
            model = make_port()
        found = [
            Measure(WEIGHTS, each.stage, each.error, 0.0, each.problem)
            for each in _weights(self.case.state, weights_of(model))
        ]
        for variant in self.case.variants:
            theirs = self.case.run_twin(variant, DTYPE)
            ours = ports.run_model(model, variant.inputs, DTYPE, False, **variant.flags)
            found += self._measured(compare_outputs(theirs.outputs, ours.outputs), variant)
        return [*found, *self._learning(model)]

    def compare_served(self, serve: Callable[[Inputs], Any], variant: Variant) -> list[Measure]:
        """The outputs of an exported model, all but caches, which a graph does not give."""
        with keras_precision(DTYPE, lift=False):
            ours = leaves(serve(keras_values(variant.inputs, DTYPE)), read_keras)
        recorded = self.case.run_twin(variant, DTYPE).outputs
        theirs = {
            name: leaf
            for name, leaf in recorded.items()
            if name.partition(".")[0] not in CACHE_NAMES
        }
        return self._measured(compare_outputs(theirs, ours), variant)

    def _measured(self, found: Iterator[Difference], variant: Variant) -> list[Measure]:
        return [
            self._measure(group_of(each.stage), each, lambda: self.case.noise(variant))
            for each in found
        ]

    def _measure(
        self, group: str, found: Difference, noise: Callable[[], dict[str, float]]
    ) -> Measure:
        limit = self.max_error
        if found.problem is None and found.error > limit:  # else nobody needs to know the noise
            limit = max(limit, NOISE_FACTOR * noise().get(found.stage, 0.0))
        return Measure(
            group, found.stage.removeprefix("outputs/"), found.size, limit, found.problem
        )

    def _learning(self, model: Any) -> list[Measure]:
        """The class's own loss in a training pass, or, where it has none, a sum of all outputs; and
        the gradient of every parameter.
        """
        theirs, weights = self._single
        try:
            with configured(self._trained.config, model):
                ours = keras_pass(model, self._trained, weights, DTYPE)
        except NotImplementedError as error:
            problem = " ".join(str(error).split())
            return [Measure(LOSS, "loss", float("inf"), self.max_error, problem)]
        losses = compare_outputs(_losses(theirs.outputs), _losses(ours.outputs))
        return [
            *(self._measure(LOSS, each, lambda: self._training_noise) for each in losses),
            *(
                self._measure(GRADIENTS, each, lambda: self._training_noise)
                for each in gradient_differences(theirs.gradients, ours.gradients)
            ),
        ]

    @cached_property
    def _trained(self) -> Variant:
        return (*self.case.labelled, *self.case.variants)[0]

    def _torch_pass(self, dtype: str) -> tuple[Pass, Weights]:
        model = self.case.twin.build(dtype, lift=dtype != DTYPE)
        with configured(self._trained.config, model):
            weights_of = own_losses if self.case.labelled else surrogate
            return torch_pass(model, self._trained, weights_of, dtype)

    @cached_property
    def _single(self) -> tuple[Pass, Weights]:
        return self._torch_pass(DTYPE)

    @cached_property
    def _training_noise(self) -> dict[str, float]:
        """Torch's training pass in float32, with its own kernels and with the backend's, against
        the one in float64; the larger distance of each.
        """
        exact, _ = self._torch_pass(gradients.DTYPE)
        with BackendKernels():
            other, _ = self._torch_pass(DTYPE)
        noise: dict[str, float] = {}
        for single in (self._single[0], other):
            found = [
                *compare_outputs(_losses(exact.outputs), _losses(single.outputs)),
                *gradient_differences(exact.gradients, single.gradients),
            ]
            for each in found:
                noise[each.stage] = max(noise.get(each.stage, 0.0), each.error)
        return noise


def group_of(stage: str) -> str:
    """The group of an output: `outputs/decoder_hidden_states.3` is of the hidden states."""
    name = stage.removeprefix("outputs/")
    first = name.partition(".")[0]
    if first.endswith("hidden_states"):
        return HIDDEN
    if first.endswith("attentions"):
        return ATTENTIONS
    return LOSS if name.endswith("loss") else OUTPUTS


def _losses(outputs: Leaves) -> Leaves:
    return {name: leaf for name, leaf in outputs.items() if group_of(name) == LOSS}


def _weights(theirs: State, ours: State) -> Iterator[Difference]:
    for key, value in theirs.items():
        if key in ours:
            yield compare_leaf(key, Leaf("", value), Leaf("", ours[key]))
        else:
            yield Difference(key, float("inf"), "missing in the Keras model")
    for key in ours:
        if key not in theirs:
            yield Difference(key, float("inf"), "torch does not have it")
