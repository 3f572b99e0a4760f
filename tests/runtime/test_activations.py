"""Activations against upstream's in float64."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import torch
from keras import ops
from transformers import activations as upstream

from keraform.runtime import activations
from keraform.runtime.layers import Layer

X = np.concatenate([np.linspace(-30, 30, 241), [-1e-9, 0.0, 1e-9, 19.999, 20.001]])


@pytest.fixture(autouse=True)
def float64():
    if keras.backend.result_type("float64", float) != "float64":
        pytest.skip("Keras computes in float32 on JAX")
    before = keras.config.dtype_policy(), keras.config.floatx()
    keras.config.set_dtype_policy("float64")
    keras.config.set_floatx("float64")
    yield
    keras.config.set_dtype_policy(before[0])
    keras.config.set_floatx(before[1])


def assert_same(found, wanted):
    """Within 1e-15 of the input or output where these are large (1 + tanh(x) cancels there)."""
    size = np.maximum(np.maximum(1, np.abs(X)), np.abs(wanted))
    assert (np.abs(found - wanted) / size).max() <= 1e-15


def test_every_name_of_upstream_is_here():
    assert list(activations.ACT2CLS) == list(upstream.ACT2CLS)


@pytest.mark.parametrize("name", list(upstream.ACT2CLS))
def test_equals_upstream(name):
    ours = activations.ACT2FN[name]
    theirs = upstream.ACT2FN[name].double()
    assert isinstance(ours, Layer) and activations.ACT2FN[name] is not ours
    assert type(ours).__name__ == type(theirs).__name__
    found = ops.convert_to_numpy(ours(ops.convert_to_tensor(X)))
    wanted = theirs(torch.tensor(X)).detach().numpy()
    assert_same(found, wanted)


@pytest.mark.parametrize(
    "name", ["gelu", "gelu_new", "gelu_fast", "quick_gelu", "silu", "mish", "linear_act"]
)
def test_functions_equal_upstream(name):
    found = getattr(activations, name)(ops.convert_to_tensor(X))
    wanted = getattr(upstream, name)(torch.tensor(X)).numpy()
    assert_same(ops.convert_to_numpy(found), wanted)


def test_xielu_has_upstreams_weights():
    ours, theirs = activations.ACT2FN["xielu"], upstream.ACT2FN["xielu"]
    for name, value in theirs.state_dict().items():
        found = ops.convert_to_numpy(getattr(ours, name) + 0)
        np.testing.assert_array_equal(found, value.double().numpy())


def test_errors_name_the_activations():
    with pytest.raises(KeyError, match="got 'nothing'"):
        activations.get_activation("nothing")
    with pytest.raises(ValueError, match="Swap them"):
        activations.ClippedGELUActivation(min=2, max=1)
