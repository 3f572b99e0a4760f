"""Losses that are translated when they are asked for, against upstream's in float64."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import torch
from keras import ops
from transformers.loss import loss_utils

from keraform.runtime.precision import lift_casts
from keraform.training import losses
from keraform.verify.lift import torch_precision

RNG = np.random.default_rng(0)

pytestmark = pytest.mark.skipif(
    keras.backend.result_type("float64", float) != "float64", reason="Keras computes in float32"
)


@pytest.fixture(autouse=True)
def float64():
    before = keras.config.dtype_policy(), keras.config.floatx()
    keras.config.set_dtype_policy("float64")
    keras.config.set_floatx("float64")
    yield
    keras.config.set_dtype_policy(before[0])
    keras.config.set_floatx(before[1])


def converted(value, to):
    """Arrays in dicts and lists as tensors."""
    if isinstance(value, dict):
        return {key: converted(each, to) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(converted(each, to) for each in value)
    return to(value) if isinstance(value, np.ndarray) else value


def compare(name, **arguments):
    """The loss of a class's name on both sides, and all losses by name."""
    with torch_precision("float64", lift=True):
        wanted = loss_utils.LOSS_MAPPING[name](**converted(arguments, torch.tensor))
    with lift_casts():
        found = losses.LOSS_MAPPING[name](**converted(arguments, ops.convert_to_tensor))
    if isinstance(wanted, torch.Tensor):
        wanted, found = (wanted, {}), (found, {})
    assert set(found[1]) == set(wanted[1])
    pairs = {"loss": (found[0], wanted[0])} | {k: (found[1][k], v) for k, v in wanted[1].items()}
    for key, (ours, theirs) in pairs.items():
        np.testing.assert_allclose(
            ops.convert_to_numpy(ours), theirs.numpy(), rtol=1e-9, atol=1e-9, err_msg=key
        )


def test_every_loss_of_upstream_is_here():
    assert list(losses.LOSS_MAPPING) == list(loss_utils.LOSS_MAPPING)


def test_token_and_duration_transducer():
    compare(
        "ParakeetForTDT",
        token_logits=RNG.normal(size=(2, 6, 4, 5)),
        duration_logits=RNG.normal(size=(2, 6, 4, 3)),
        labels=RNG.integers(0, 4, (2, 3)),
        logit_lengths=np.array([6, 5]),
        label_lengths=np.array([3, 2]),
        blank_token_id=4,
        durations=[0, 1, 2],
    )
