"""How far a Keras model is from torch's original of a checkpoint, group by group."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
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
from keraform.verify.leaves import Leaf, Leaves, State, leaves
from keraform.verify.port import keras_precision, keras_values
from keraform.verify.port import read_leaf as read_keras
from keraform.verify.rungs import gradients
from keraform.verify.rungs.kept import weights_of
from keraform.verify.rungs.learns import configured, gradient_differences
from keraform.verify.tolerances import NOISE_FACTOR

DTYPE = "float32"  # what users run

# Gives a Keras model with the weights; called under the dtype policy of the comparison.
MakePort = Callable[[], Any]


class Original:
    """Torch's side of a checkpoint: run once, compared with any number of Keras models.

    Weights have to be equal. Outputs are compared in float32, as users run them, and may be off by
    `max_error`, or by twice torch's own distance from float64 where that is more: trained weights
    have outliers at which a limit without it would fail torch against itself (`tolerances.py`).
    Loss and gradients are compared in float64 with casts lifted, as on rung 6: in float32 a sum of
    all outputs cancels so much that its gradients say little.

    Args:
        case: The checkpoint, for one class.
        max_error: How far a tensor may be off.
    """

    def __init__(self, case: Case, max_error: float = MAX_ERROR) -> None:
        self.case = case
        self.max_error = max_error

    def compare(self, make_port: MakePort) -> list[Measure]:
        """Weights, outputs, hidden states, attentions, loss and gradients of a model."""
        with keras_precision(DTYPE, lift=False):
            model = make_port()
        found = [
            Measure(WEIGHTS, each.stage, each.error, 0.0, each.problem)
            for each in _weights(self.case.state, weights_of(model))
        ]
        for variant in self.case.variants:
            theirs = self.case.run_twin(variant, DTYPE)
            ours = ports.run_model(model, variant.inputs, DTYPE, False, **variant.flags)
            found += self._outputs(compare_outputs(theirs.outputs, ours.outputs), variant)
        with keras_precision(gradients.DTYPE, lift=True):
            model = make_port()
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
        return self._outputs(compare_outputs(theirs, ours), variant)

    def _outputs(self, found: Iterable[Difference], variant: Variant) -> list[Measure]:
        measures = []
        for each in found:
            limit = self.max_error
            if each.problem is None and each.error > limit:  # else the noise does not matter
                noise = self.case.noise(variant)
                limit = max(limit, NOISE_FACTOR * noise.get(each.stage, 0.0))
            name = each.stage.removeprefix("outputs/")
            measures.append(Measure(group_of(name), name, each.size, limit, each.problem))
        return measures

    def _learning(self, model: Any) -> list[Measure]:
        """The class's own loss in a training pass, or, where it has none, a sum of all outputs; and
        the gradient of every parameter.
        """
        theirs, weights = self._torch_pass
        try:
            with configured(self._trained.config, model):
                ours = gradients.keras_pass(model, self._trained, weights)
        except NotImplementedError as error:
            problem = " ".join(str(error).split())
            return [Measure(LOSS, "loss", float("inf"), self.max_error, problem)]
        found = {
            LOSS: compare_outputs(_losses(theirs.outputs), _losses(ours.outputs)),
            GRADIENTS: gradient_differences(theirs.gradients, ours.gradients),
        }
        return [
            Measure(
                group,
                each.stage.removeprefix("outputs/"),
                each.size,
                self.max_error,
                each.problem,
            )
            for group, differences in found.items()
            for each in differences
        ]

    @property
    def _trained(self) -> Variant:
        return (*self.case.labelled, *self.case.variants)[0]

    @cached_property
    def _torch_pass(self) -> tuple[gradients.Pass, gradients.Weights]:
        model = self.case.twin.build(gradients.DTYPE, lift=True)
        weights_of = gradients.own_losses if self.case.labelled else gradients.surrogate
        with configured(self._trained.config, model):
            return gradients.torch_pass(model, self._trained, weights_of)


def group_of(name: str) -> str:
    """The group of an output: `decoder_hidden_states.3` is of the hidden states."""
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
