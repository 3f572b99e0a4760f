"""Rung 6 on a hand-written pair: a good port learns as torch does, every seeded fault is named."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from keras import ops
from torch import nn

from keraform.errors import KeraformError
from keraform.runtime import layers
from keraform.runtime.layers import Layer
from keraform.runtime.layers.tying import tie
from keraform.training.losses import fixed_cross_entropy
from keraform.verify.cases import Case, Variant
from keraform.verify.draws.of_torch import torch_noise
from keraform.verify.files import load_by_tree
from keraform.verify.ladder import attempt
from keraform.verify.outcome import PASS, ClassReport
from keraform.verify.rungs.learns import learns
from keraform.verify.rungs.values import exact, loaded
from keraform.verify.twin import twin_of

WORDS, WIDTH = 11, 6


class Learner(nn.Module):
    """A tied head, a batch norm, dropout, a frozen parameter and one that the loss cannot reach."""

    def __init__(self, tied: bool = True) -> None:
        super().__init__()
        self.embed = nn.Embedding(WORDS, WIDTH)
        self.norm = nn.BatchNorm1d(WIDTH)
        self.hidden = nn.Linear(WIDTH, WIDTH)
        self.gain = nn.Parameter(torch.ones(WIDTH), requires_grad=False)
        self.pooler = nn.Linear(WIDTH, 2)
        self.head = nn.Linear(WIDTH, WORDS, bias=False)
        if tied:
            self.head.weight = self.embed.weight

    def forward(self, ids: torch.Tensor, labels: torch.Tensor | None = None) -> dict[str, Any]:
        x = self.norm(self.embed(ids).transpose(1, 2)).transpose(1, 2)
        x = x + nn.functional.dropout(self.hidden(x).tanh(), 0.25, self.training) * self.gain
        logits = self.head(x)
        output = {"logits": logits, "pooled": self.pooler(x[:, 0])}
        if labels is not None:
            output["loss"] = nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten())
        return output


class BiasedNorm(layers.BatchNormalization):
    """Moves towards the biased variance, as Keras's own does."""

    def _move(self, values, axes):
        self.num_batches_tracked.assign(self.num_batches_tracked + 1)
        mean, variance = ops.moments(values, axes=axes)
        for running, batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
            running.assign(running + self.momentum * (batch - running))


class TFLearner(Layer):
    """The port of Learner; `fault` names one deliberate mistake."""

    norms: ClassVar[dict[str, type]] = {"variance": BiasedNorm}

    def __init__(self, fault: str = "", tied: bool = True, **kwargs) -> None:
        super().__init__(**kwargs)
        self.fault = fault
        self.embed = layers.Embedding(WORDS, WIDTH, name="embed")
        norm = self.norms.get(fault, layers.BatchNormalization)
        self.norm = norm(WIDTH, momentum=0.9 if fault == "momentum" else 0.1, name="norm")
        self.hidden = layers.Dense(WIDTH, WIDTH, name="hidden")
        self.gain = self.add_weight((WIDTH,), trainable=fault == "thawed", name="gain")
        self.pooler = layers.Dense(WIDTH, 2, name="pooler")
        self.head = layers.Dense(WIDTH, WORDS, use_bias=False, name="head")
        self.dropout = layers.Dropout(0.1 if fault == "rate" else 0.25, name="dropout")
        if tied and fault != "untied":
            tie(self.head, "weight", self.embed, "weight")
        if fault == "frozen":
            self.hidden.trainable = False

    def call(self, ids, labels=None):
        x = ops.transpose(self.norm(ops.transpose(self.embed(ids), (0, 2, 1))), (0, 2, 1))
        branch = ops.tanh(self.hidden(x))
        if self.fault == "detached":
            branch = ops.stop_gradient(branch)
        x = x + (branch if self.fault == "no dropout" else self.dropout(branch)) * self.gain
        pooled = self.pooler(ops.stop_gradient(x[:, 0]) if self.fault == "pooled" else x[:, 0])
        output = {"logits": self.head(x), "pooled": pooled}
        if labels is not None:
            flat = ops.reshape(output["logits"], (-1, WORDS)), ops.reshape(labels, (-1,))
            output["loss"] = fixed_cross_entropy(*flat) * (
                flat[1].shape[0] if self.fault == "reduction" else 1
            )
            if self.fault == "refused":
                raise NotImplementedError("Expected a loss that this release has.")
        return output


def learner_case(fault: str = "", ignored: bool = False, tied: bool = True) -> Case:
    """The pair as a case; `ignored` gives labels that are all -100."""
    rng = np.random.default_rng(3)
    ids = rng.integers(0, WORDS, (3, 5))
    labels = np.full((3, 5), -100) if ignored else rng.integers(0, WORDS, (3, 5))
    return Case(
        name="Learner",
        make_twin=lambda: twin_of(lambda: Learner(tied)),
        make_port=lambda: TFLearner(fault, tied),
        load=load_by_tree,
        make_variants=lambda: (Variant("plain", {"ids": ids}),),
        make_labelled=lambda: (Variant("labels", {"ids": ids, "labels": labels}),),
    )


def test_a_good_port_learns():
    report = ClassReport("Learner")
    assert attempt(learns, learner_case(), report) == PASS
    assert 0 < report.max_error["gradient"] < 1e-12
    assert 0 < report.max_error["loss"] < 1e-12


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("detached", "first: gradient, own loss: hidden.bias of hidden: none, torch has one of"),
        ("reduction", "first: loss, labels: outputs/loss: "),
        ("momentum", "first: statistics, after training: norm.running_mean of norm: "),
        ("variance", "first: statistics, after training: norm.running_var of norm: "),
        ("frozen", "first: trained, parameters: hidden.weight of hidden: is frozen, torch"),
        ("thawed", "first: trained, parameters: gain: is trained, torch does not train it"),
        ("rate", "first: loss, own loss: outputs/logits: "),
        ("no dropout", "first: loss, own loss: outputs/logits: "),
        ("pooled", "first: gradient, all outputs: hidden.bias of hidden: "),
        ("refused", "first: loss, labels: outputs/loss: Expected a loss that this release has."),
    ],
)
def test_a_fault_is_found_and_named(fault, words):
    case = learner_case(fault)
    outcome = attempt(learns, case, ClassReport("Learner"))
    assert outcome.startswith("fail: ")
    assert words in outcome
    assert attempt(exact, case, ClassReport("Learner")) == PASS  # nothing but training shows it


def test_an_untied_head_is_found_by_loading_and_by_learning():
    case = learner_case("untied")
    assert attempt(loaded, case, ClassReport("Learner")) == (
        "fail: 1 ties differ, first: embed.weight and head.weight are two variables, "
        "one parameter in torch"
    )
    assert "head.weight" in attempt(learns, case, ClassReport("Learner"))
    assert attempt(exact, case, ClassReport("Learner")) == PASS


def test_a_tie_that_torch_does_not_have_is_found():
    assert attempt(loaded, learner_case(tied=False), ClassReport("Learner")) == PASS
    case = learner_case(tied=False)
    case.make_port = TFLearner
    assert attempt(loaded, case, ClassReport("Learner")) == (
        "fail: 1 ties differ, first: embed.weight and head.weight are one variable, "
        "two parameters in torch"
    )
    assert attempt(loaded, learner_case(), ClassReport("Learner")) == PASS


def test_labels_that_are_all_ignored_are_the_deviation():
    assert attempt(learns, learner_case(ignored=True), ClassReport("Learner")) == PASS


def test_another_loss_than_the_deviations_is_none():
    case = learner_case("reduction", ignored=True)
    case.make_port = lambda: _Shifted()
    outcome = attempt(learns, case, ClassReport("Learner"))
    assert "outputs/loss: 0 NaN, torch has 1" in outcome


class _Shifted(TFLearner):
    """Gives a loss of 1 where nothing is labelled."""

    def call(self, ids, labels=None):
        output = super().call(ids, labels)
        return {name: value + (name == "loss") for name, value in output.items()}


def test_a_draw_that_cannot_be_given_to_both_sides_is_an_error():
    with torch_noise(), pytest.raises(KeraformError, match=r"draws with aten\.randperm"):
        torch.randperm(4)


def test_noise_is_the_same_on_both_sides():
    import keras

    from keraform.runtime import ops as kf
    from keraform.verify.draws.of_keras import keras_noise

    x = np.random.default_rng(0).normal(size=(3, 4))
    with torch_noise():
        theirs = [
            torch.rand(3, 4, dtype=torch.float64),
            nn.functional.dropout(torch.from_numpy(x), 0.3),
            nn.functional.dropout(torch.from_numpy(x), 0.7),
            nn.functional.gumbel_softmax(torch.from_numpy(x), hard=True),
            torch.randn(3, 4, dtype=torch.float64),
            torch.randint(2, 9, (3, 4)),
            torch.bernoulli(torch.full((3, 4), 0.3, dtype=torch.float64)),
            torch.multinomial(torch.arange(1.0, 7.0), 3),
            torch.multinomial(torch.arange(1.0, 7.0), 8, replacement=True),
        ]
    with keras_noise():
        given = ops.convert_to_tensor(x, "float64")
        ours = [
            kf.rand(3, 4, dtype="float64"),
            kf.dropout(given, 0.3),
            keras.random.dropout(given, 0.7),
            kf.gumbel_softmax(given, hard=True),
            kf.randn(3, 4, dtype="float64"),
            kf.randint(2, 9, (3, 4)),
            kf.bernoulli(ops.full((3, 4), 0.3, dtype="float64")),
            kf.multinomial(ops.arange(1.0, 7.0), 3),
            kf.multinomial(ops.arange(1.0, 7.0), 8, replacement=True),
        ]
    for a, b in zip(theirs, ours, strict=True):
        np.testing.assert_allclose(a.numpy(), ops.convert_to_numpy(b), rtol=0, atol=1e-6)
    assert (ops.convert_to_numpy(ours[1]) != 0).all()
    assert (ops.convert_to_numpy(ours[2]) == 0).any()
