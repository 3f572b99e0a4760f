"""Rung 6: losses, gradients, an optimizer's step and running statistics are torch's.

Everything in float64 with casts lifted. Labelled outputs are compared in evaluation mode too; the
rest in training mode, where both sides draw the same random numbers (`noise`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
from torch import nn

from keraform.verify import port as ports
from keraform.verify import twin
from keraform.verify.cases import Case, Variant
from keraform.verify.compare import Difference, compare_leaf, compare_outputs
from keraform.verify.leaves import Leaf
from keraform.verify.outcome import PASS, ClassReport, failed, not_applicable
from keraform.verify.rungs.gradients import (
    DTYPE,
    Gradients,
    WeightsOf,
    keras_pass,
    own_losses,
    parameters,
    surrogate,
    torch_pass,
    trained,
)
from keraform.verify.rungs.kept import weights_of
from keraform.verify.rungs.steps import OPTIMIZERS, keras_step, torch_step
from keraform.verify.tolerances import TRAINING_LIMITS
from keraform.verify.twin import State

INFINITE = float("inf")


@dataclass
class Pair:
    """Both sides of a case, built in float64, and how they differ so far."""

    torch: nn.Module
    keras: Any
    beyond: list[tuple[str, Difference]] = field(default_factory=list)
    errors: dict[str, float] = field(default_factory=dict)

    def note(self, sort: str, where: str, found: list[Difference]) -> None:
        """Keep the largest error of this sort, and what passes the sort's limit."""
        limit = TRAINING_LIMITS[sort]
        self.beyond += [(f"{sort}, {where}", each) for each in found if not each.within(limit)]
        worst = max((each.error for each in found), default=0.0)
        self.errors[sort] = max(worst, self.errors.get(sort, 0.0))


def learns(case: Case, report: ClassReport) -> str:
    """Labelled outputs, then training passes on the class's own loss and on every output."""
    if keras.backend.backend() not in ("tensorflow", "jax"):
        return not_applicable("gradients are compared on TensorFlow and JAX")
    pair = Pair(case.twin.build(DTYPE, True), case.port.build(DTYPE, True))
    pair.note("trained", "parameters", list(_differently_trained(pair)))
    if case.labelled and all([_evaluate(pair, variant) for variant in case.labelled]):
        _train(pair, case.labelled[0], "own loss", own_losses)
    gradients = _train(pair, case.variants[0], "all outputs", surrogate)
    pair.note("statistics", "after training", list(_statistics(pair)))
    for name, optimizer in OPTIMIZERS.items():
        after = torch_step(pair.torch, optimizer), keras_step(pair.keras, optimizer, gradients)
        pair.note("step", name, list(_differences(*after, list(parameters(pair.torch)))))
    report.max_error |= {sort: pair.errors.get(sort) for sort in ("loss", "gradient")}
    return failed(_words(pair.beyond)) if pair.beyond else PASS


def _differently_trained(pair: Pair) -> Iterator[Difference]:
    """What one side trains and the other does not."""
    ours = {entry.key for entry in trained(pair.keras)}
    wanted = {key for key, value in parameters(pair.torch).items() if value.requires_grad}
    shared: dict[int, set[str]] = {}
    for key, value in parameters(pair.torch).items():
        shared.setdefault(id(value), set()).add(key)
    for keys in shared.values():
        if keys & wanted and not keys & ours:
            yield Difference(min(keys), INFINITE, "is frozen, torch trains it")
    for key in sorted(ours - wanted):
        yield Difference(key, INFINITE, "is trained, torch does not train it")


def _evaluate(pair: Pair, variant: Variant) -> bool:
    """Whether the port computes the loss at all; if so, the outputs are compared."""
    with configured(variant.config, pair.torch, pair.keras):
        theirs = twin.run_model(pair.torch, variant.inputs, DTYPE, True)
        try:
            ours = ports.run_model(pair.keras, variant.inputs, DTYPE, True)
        except NotImplementedError as error:
            reason = " ".join(str(error).split())
            pair.note("loss", variant.name, [Difference("outputs/loss", INFINITE, reason)])
            return False
    pair.note("loss", variant.name, list(compare_outputs(theirs.outputs, ours.outputs)))
    return True


def _train(pair: Pair, variant: Variant, where: str, weights_of: WeightsOf) -> Gradients:
    """One training pass on each side; gives the port's gradients."""
    with configured(variant.config, pair.torch, pair.keras):
        theirs, weights = torch_pass(pair.torch, variant, weights_of)
        ours = keras_pass(pair.keras, variant, weights)
    pair.note("loss", where, list(compare_outputs(theirs.outputs, ours.outputs)))
    gradients = _without_zeros(theirs.gradients, ours.gradients)
    pair.note("gradient", where, list(gradient_differences(theirs.gradients, gradients)))
    return gradients


def _without_zeros(theirs: Gradients, ours: Gradients) -> Gradients:
    """JAX says with zeros what torch and TensorFlow say with None: nothing depends on this."""
    if keras.backend.backend() != "jax":
        return ours
    return {
        key: None if theirs.get(key) is None and value is not None and not value.any() else value
        for key, value in ours.items()
    }


def gradient_differences(theirs: Gradients, ours: Gradients) -> Iterator[Difference]:
    """Parameters in the order of the backward pass, so that the first is nearest to the cause."""
    for key in reversed(list(theirs)):
        if key in ours:
            yield _gradient(key, theirs[key], ours[key])


def _gradient(key: str, theirs: np.ndarray | None, ours: np.ndarray | None) -> Difference:
    if theirs is None and ours is None:
        return Difference(key, 0.0)
    if theirs is None:
        return Difference(key, INFINITE, f"{_size(ours)}, torch has none")
    if ours is None:
        return Difference(key, INFINITE, f"none, torch has {_size(theirs)}")
    return compare_leaf(key, Leaf(DTYPE, theirs), Leaf(DTYPE, ours))


def _statistics(pair: Pair) -> Iterator[Difference]:
    """What training moves besides the parameters."""
    trainable = parameters(pair.torch)
    theirs = {key: value.numpy() for key, value in pair.torch.state_dict().items()}
    moving = [key for key in theirs if key not in trainable]
    yield from _differences(theirs, weights_of(pair.keras), moving)


def _differences(theirs: State, ours: State, keys: list[str]) -> Iterator[Difference]:
    for key in keys:
        yield compare_leaf(key, Leaf("", theirs[key]), Leaf("", ours[key]))


@contextmanager
def configured(fields: Mapping[str, Any], *sides: Any) -> Iterator[None]:
    """The models' configs with these fields; losses keep what they guessed there, so it is put
    back.
    """
    configs = [side.config for side in sides] if fields else []
    before = [{name: getattr(config, name) for name in fields} for config in configs]
    for config in configs:
        vars(config).update(fields)
    try:
        yield
    finally:
        for config, values in zip(configs, before, strict=True):
            vars(config).update(values)


def _words(beyond: list[tuple[str, Difference]]) -> str:
    first, worst = beyond[0], max(beyond, key=lambda pair: pair[1].error)
    tail = "" if worst is first else f"; worst: {_word(*worst)}"
    return f"{len(beyond)} differ, first: {_word(*first)}{tail}"


def _word(where: str, difference: Difference) -> str:
    stage = difference.stage.rpartition(".")[0]
    place = f"{difference.stage} of {stage}" if stage else difference.stage
    return f"{where}: {place}: {difference.problem or f'{difference.error:.1e}'}"


def _size(array: np.ndarray | None) -> str:
    return "none" if array is None else f"one of up to {np.abs(array).max():.1e}"
