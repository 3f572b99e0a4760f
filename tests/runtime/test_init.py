"""Initialisers: torch's statistics, torch's fans, buffers, indices, deferred and kept weights."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import torch
from keras import ops

from keraform.runtime import filling, init, layers
from keraform.runtime.tree import get_torch_weight, own_weights, read

TorchTransposed = torch.nn.ConvTranspose1d
DRAWS: list[tuple[str, dict[str, Any]]] = [
    ("normal_", {"mean": 0.3, "std": 0.7}),
    ("uniform_", {"a": -0.2, "b": 0.9}),
    ("trunc_normal_", {"mean": 0.1, "std": 0.7, "a": -0.5, "b": 1.0}),
    ("trunc_normal_", {"std": 0.02}),
    ("xavier_uniform_", {"gain": 1.4}),
    ("xavier_normal_", {}),
    ("kaiming_uniform_", {"a": math.sqrt(5)}),
    ("kaiming_normal_", {"mode": "fan_out", "nonlinearity": "relu"}),
    ("orthogonal_", {"gain": 1.3}),
]
MAKERS: list[tuple[Callable[[], Any], Callable[[], torch.nn.Module]]] = [
    (lambda: layers.Dense(150, 90), lambda: torch.nn.Linear(150, 90)),
    (lambda: layers.Conv2D(40, 30, (3, 5)), lambda: torch.nn.Conv2d(40, 30, (3, 5))),
    (lambda: layers.Embedding(90, 120), lambda: torch.nn.Embedding(90, 120)),
]


@pytest.mark.parametrize("name, keywords", DRAWS)
@pytest.mark.parametrize("make, make_torch", MAKERS, ids=["dense", "conv", "embedding"])
def test_draws_have_torchs_statistics(
    name: str, keywords: dict[str, Any], make: Any, make_torch: Any
) -> None:
    keras.utils.set_random_seed(3)
    torch.manual_seed(3)
    layer, module = make(), make_torch()
    getattr(init, name)(layer, "weight", **keywords)
    getattr(torch.nn.init, name)(module.weight, **keywords)
    ours = np.asarray(get_torch_weight(layer, "weight"))
    theirs = module.weight.detach().numpy()
    assert ours.shape == theirs.shape
    spread = theirs.std()
    assert abs(ours.mean() - theirs.mean()) < 0.05 * spread
    assert abs(ours.std() / spread - 1) < 0.03
    # about five standard errors of a quantile of 10,800 draws
    for level, room in ((0.01, 0.25), (0.25, 0.1), (0.75, 0.1), (0.99, 0.25)):
        assert abs(np.quantile(ours, level) - np.quantile(theirs, level)) < room * spread


def test_transformers_own_initialisers() -> None:
    from transformers import initialization

    for name in ("lecun_normal_", "default_flax_embed_init_"):
        layer, module = layers.Dense(150, 90), torch.nn.Linear(150, 90)
        getattr(init, name)(layer, "weight")
        getattr(initialization, name)(module.weight)
        ours, theirs = np.asarray(layer.weight), module.weight.detach().numpy()
        assert abs(ours.std() / theirs.std() - 1) < 0.03
        assert abs(np.abs(ours).max() / np.abs(theirs).max() - 1) < 0.2


@pytest.mark.parametrize("make, make_torch", [
    *MAKERS[:2], (lambda: layers.ConvTranspose1D(60, 40, 5), lambda: TorchTransposed(60, 40, 5)),
])  # fmt: skip
def test_layers_start_as_torchs_do(make: Any, make_torch: Any) -> None:
    layer, module = make(), make_torch()
    for name in ("weight", "bias"):
        ours = np.asarray(ops.convert_to_numpy(get_torch_weight(layer, name)))
        theirs = getattr(module, name).detach().numpy()
        assert abs(np.abs(ours).max() / np.abs(theirs).max() - 1) < 0.2
        assert abs(ours.std() / theirs.std() - 1) < 0.25


def test_exact_fillings_equal_torch() -> None:
    layer, module = layers.Conv2D(3, 6, 3), torch.nn.Conv2d(3, 6, 3)
    for name, arguments in (
        ("zeros_", ()), ("ones_", ()), ("constant_", (0.3,)), ("dirac_", ()), ("dirac_", (2,)),
    ):  # fmt: skip
        getattr(init, name)(layer, "weight", *arguments)
        getattr(torch.nn.init, name)(module.weight, *arguments)
        np.testing.assert_allclose(layer.weight, module.weight.detach().numpy(), rtol=1e-6)
    dense, linear = layers.Dense(3, 5), torch.nn.Linear(3, 5)
    init.eye_(dense, "weight")
    torch.nn.init.eye_(linear.weight)
    np.testing.assert_array_equal(dense.weight, linear.weight.detach().numpy())
    init.copy_(dense, "weight", np.arange(15.0).reshape(5, 3))
    np.testing.assert_array_equal(dense.weight, np.arange(15.0).reshape(5, 3))


def test_part_of_a_weight() -> None:
    layer = layers.Embedding(5, 3)
    before = np.asarray(layer.weight).copy()
    init.zeros_(layer, "weight", index=2)
    before[2] = 0
    np.testing.assert_array_equal(layer.weight, before)
    dense = layers.Dense(3, 4)
    init.constant_(dense, "weight", 2.0, index=(slice(None), 1))
    np.testing.assert_array_equal(np.asarray(dense.weight)[:, 1], 2.0)
    assert not np.any(np.asarray(dense.weight)[:, 0] == 2.0)


def test_buffers_and_variables_are_targets_too() -> None:
    layer = layers.Layer()
    layer.inv_freq = layers.buffer(np.ones(3, "float32"))
    init.copy_(layer, "inv_freq", np.arange(3))
    np.testing.assert_array_equal(layer.inv_freq, [0, 1, 2])
    layer.table = layer.add_weight(shape=(2, 2), name="table")
    init.ones_(layer.table)
    init.zeros_(layer, "table", index=0)
    np.testing.assert_array_equal(ops.convert_to_numpy(layer.table.value[1]), [1, 1])


def test_a_weight_is_handed_on_to_what_fills_it() -> None:
    dense = layers.Dense(3, 4)
    init.copy_(init.Weight(dense, "weight"), None, np.arange(12.0).reshape(4, 3))
    np.testing.assert_array_equal(dense.weight, np.arange(12.0).reshape(4, 3))
    assert init.fan_in_and_fan_out(init.Weight(dense, "weight")) == (3, 4)


def test_deferred_weights_are_initialised() -> None:
    with keras.StatelessScope():
        layer = layers.Dense(3, 4)
        init.ones_(layer, "weight")
        init.normal_(layer, "bias", std=0.1)
    np.testing.assert_array_equal(layer.weight, np.ones((4, 3)))


def test_weights_that_a_checkpoint_gave_are_kept() -> None:
    layer = layers.Dense(3, 4)
    before = np.asarray(layer.weight)
    with filling.protecting([layer._kernel]):
        init.zeros_(layer, "weight")
        init.ones_(layer, "bias")
    np.testing.assert_array_equal(layer.weight, before)
    np.testing.assert_array_equal(read(layer.bias), np.ones(4))


def test_fans_are_those_of_torchs_layout() -> None:
    layer = layers.Conv2D(4, 6, (3, 2))
    assert init.fan_in_and_fan_out(layer, "weight") == (24, 36)
    init.xavier_uniform_(layer, "weight", flat=True)
    assert float(ops.max(ops.abs(layer.weight))) <= math.sqrt(6 / (24 + 6))
    with pytest.raises(ValueError, match="before the layer is parametrised"):
        init.fan_in_and_fan_out(layers.weight_norm(layer), "weight")


def test_computed_weights_are_left_alone_as_in_torch() -> None:
    layer = layers.weight_norm(layers.Conv1D(3, 4, 3))
    before = np.asarray(layer.weight)
    assert init.normal_(layer, "weight") is None
    np.testing.assert_array_equal(layer.weight, before)
    init.zeros_(layer, "parametrizations.weight.original0")
    assert not np.any(layer.weight)


def test_an_unknown_name_is_an_error_with_the_known_ones() -> None:
    with pytest.raises(AttributeError, match="got 'kernel', but it has: weight, bias"):
        init.zeros_(layers.Dense(3, 4), "kernel")
    with pytest.raises(ValueError, match="two axes or more"):
        init.xavier_uniform_(layers.Dense(3, 4), "bias")


@pytest.mark.parametrize("make, make_torch", [
    *MAKERS,
    (lambda: layers.Dense(150, 90, use_bias=False), lambda: torch.nn.Linear(150, 90, bias=False)),
    (lambda: layers.Conv1D(60, 40, 5, groups=4), lambda: torch.nn.Conv1d(60, 40, 5, groups=4)),
    (lambda: layers.ConvTranspose1D(60, 40, 5), lambda: TorchTransposed(60, 40, 5)),
    (
        lambda: layers.Embedding(90, 120, padding_idx=3),
        lambda: torch.nn.Embedding(90, 120, padding_idx=3),
    ),
    (lambda: layers.LayerNormalization(7), lambda: torch.nn.LayerNorm(7)),
    (lambda: layers.RMSNormalization(7), lambda: torch.nn.RMSNorm(7)),
    (lambda: layers.GroupNormalization(2, 6), lambda: torch.nn.GroupNorm(2, 6)),
    (lambda: layers.BatchNormalization(5), lambda: torch.nn.BatchNorm1d(5)),
    (lambda: layers.ReLU(), lambda: torch.nn.ReLU()),
])  # fmt: skip
def test_reset_parameters_starts_every_weight_as_torch_does(make: Any, make_torch: Any) -> None:
    keras.utils.set_random_seed(3)
    torch.manual_seed(3)
    layer, module = make(), make_torch()
    for entry in own_weights(layer):
        filling.settle(entry.variable, ops.full(entry.variable.shape, 9.0))
    init.reset_parameters(layer)
    for entry in own_weights(layer):
        ours = np.asarray(ops.convert_to_numpy(get_torch_weight(layer, entry.key)))
        theirs = module.state_dict()[entry.key].numpy()
        assert ours.shape == theirs.shape
        if theirs.std() == 0:
            np.testing.assert_array_equal(ours, theirs)
            continue
        assert abs(ours.std() / theirs.std() - 1) < 0.25
        assert abs(np.abs(ours).max() / np.abs(theirs).max() - 1) < 0.2
        if getattr(layer, "padding_idx", None) is not None:
            assert not ours[layer.padding_idx].any()


def test_a_layer_without_a_name_is_an_error() -> None:
    with pytest.raises(TypeError, match=r"pass the name, as in normal_\(layer, 'weight'\)"):
        init.zeros_(layers.Dense(3, 4))
