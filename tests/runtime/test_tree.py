"""The module tree: paths as torch's, weight paths for Keras, wrappers' prefixes."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from torch import nn

from keraform.runtime import layers
from keraform.runtime.tree import (
    children,
    find_weight,
    name_weights,
    named_layers,
    named_variables,
    named_weights,
    read,
    replace_child,
)


class Leaf(layers.Layer):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.query = layers.Dense(3, 3, name="query")
        self.drop = layers.Dropout(0.1, name="drop")


class Root(layers.Layer):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.layer = [Leaf(name="layer") for _ in range(2)]
        self.heads = {"a": layers.Dense(3, 1, name="a")}
        self.scales = [self.add_weight(shape=(2,), name=f"scale_{i}") for i in range(2)]
        self.seq = layers.Sequential(layers.Dense(3, 3, use_bias=False), layers.ReLU())
        self.shared = self.layer[0]


class Wrapper(layers.Layer):
    main_layer = "bert"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.bert = Root(name="bert")


class TorchLeaf(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.query = nn.Linear(3, 3)
        self.drop = nn.Dropout(0.1)


class TorchRoot(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.ModuleList([TorchLeaf() for _ in range(2)])
        self.heads = nn.ModuleDict({"a": nn.Linear(3, 1)})
        self.scales = nn.ParameterList(
            [nn.Parameter(nn.init.ones_(nn.Linear(2, 1).weight[0])) for _ in range(2)]
        )
        self.seq = nn.Sequential(nn.Linear(3, 3, bias=False), nn.ReLU())
        self.shared = self.layer[0]


def test_paths_and_keys_are_torchs() -> None:
    root, module = Root(), TorchRoot()
    containers = {"layer", "heads", "scales"}
    theirs = [path for path, _ in module.named_modules() if path not in containers]
    assert [path for path, _ in named_layers(root)] == theirs
    assert {w.key for w in named_weights(root)} == set(module.state_dict())
    canonical = {w.key for w in named_weights(root, aliases=False)}
    assert canonical == {name for name, _ in module.named_parameters()}


def test_a_wrappers_prefix_is_not_torchs() -> None:
    wrapper = Wrapper(name="wrapper")
    assert [w.key for w in named_weights(wrapper)] == [w.key for w in named_weights(wrapper.bert)]
    assert "bert.layer.0" in dict(named_layers(wrapper, drop_main=False))


def test_axes_turn_torchs_layout_into_keras() -> None:
    for layer in (layers.Dense(3, 5), layers.Conv2D(3, 5, (2, 4)), layers.ConvTranspose1D(3, 5, 2)):
        entry = find_weight(layer, "weight")
        np.testing.assert_array_equal(
            np.transpose(np.asarray(layer.weight), entry.axes), read(entry.variable)
        )


def test_keras3_point_6_weight_paths_follow_the_attributes() -> None:
    wrapper = Wrapper(name="wrapper")
    name_weights(wrapper, "tf_bert")
    paths = {w.key: w.variable.path for w in named_weights(wrapper, aliases=False)}
    assert paths["layer.1.query.weight"] == "tf_bert/bert/layer/1/query/kernel"
    assert paths["seq.0.weight"] == "tf_bert/bert/seq/0/kernel"
    assert paths["scales.0"] == "tf_bert/bert/scale_0"
    assert len({v.path for v in wrapper.variables}) == len(wrapper.variables)
    assert wrapper.bert.layer[1].query.path == "tf_bert/bert/layer/1/query"
    name_weights(wrapper.bert, "")
    assert wrapper.bert.layer[1].query._kernel.path == "layer/1/query/kernel"


def test_keras3_point_6_weights_that_lora_adds_get_paths_too() -> None:
    layer = layers.Dense(3, 2, name="query")
    name_weights(layer, "m/query")
    layer.enable_lora(1)
    name_weights(layer, "m/query")
    assert {v.path for v in layer.variables} == {
        "m/query/kernel", "m/query/bias", "m/query/lora_kernel_a", "m/query/lora_kernel_b",
    }  # fmt: skip
    assert [w.key for w in named_weights(layer)] == ["weight", "bias"]


def test_keras3_point_6_a_functional_model_around_does_not_change_the_paths() -> None:
    layer = layers.Dense(3, 2, name="head")
    name_weights(layer, "m/head")
    given = keras.Input((3,))
    keras.Model(given, layer(given))(np.ones((1, 3), "float32"))
    assert layer._kernel.path == "m/head/kernel"


def test_named_variables_are_torchs_named_parameters() -> None:
    root, module = Root(), TorchRoot()
    found = list(named_variables(root))
    assert [name for name, _ in found] == [
        entry.key for entry in named_weights(root, aliases=False)
    ]
    assert {name for name, _ in found} == {name for name, _ in module.named_parameters()}
    assert len({id(variable) for _, variable in found}) == len(found)
    assert all(isinstance(variable, keras.Variable) for _, variable in found)


class Holder(layers.Layer):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.output = layers.Dense(3, 3)
        self.layers = [layers.Identity(), layers.Dense(3, 3)]
        self.norms = {"stage1": [layers.LayerNormalization(3)]}

    def call(self, x: Any) -> Any:
        for layer in (*self.layers, *self.norms["stage1"]):
            x = layer(x)
        return self.output(x)


@pytest.mark.parametrize("name", ["output", "layers.1", "norms.stage1.0", "0", "2"])
def test_a_child_can_be_replaced_under_the_name_that_children_gives(name: str) -> None:
    holder = Holder()
    if name.isdecimal():
        holder = layers.Sequential(layers.Dense(3, 3), layers.ReLU(), layers.Dense(3, 3))
    other = layers.Dense(3, 3, use_bias=False)
    names = list(dict(children(holder)))
    replace_child(holder, name, other)
    assert list(dict(children(holder))) == names
    assert dict(children(holder))[name] is other
    assert f"{name}.weight" in dict(named_variables(holder))
    # Keras knows the weights of the new layer, and those of the old one no more
    known = {id(variable) for variable in holder.trainable_variables}
    assert known == {id(variable) for _, variable in named_variables(holder)}
    assert holder(np.ones((1, 3), "float32")).shape == (1, 3)


def test_a_replaced_layer_that_stands_elsewhere_too_is_kept() -> None:
    holder = Holder()
    holder.layers[0] = holder.output
    kernel = holder.output._kernel
    replace_child(holder, "output", layers.Identity())
    assert any(variable is kernel for variable in holder.trainable_variables)


class Counter(layers.Layer):
    """Counts the rows that it sees, in a buffer of one number."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seen = self.add_weight(shape=np.int64(1), trainable=False, name="seen")

    def call(self, x: Any) -> Any:
        self.seen = self.seen + keras.ops.cast(keras.ops.shape(x)[0], "float32")
        return x


def test_a_buffer_keeps_what_it_is_set_to() -> None:
    counter = Counter()
    start = counter.seen.numpy()
    for _ in range(2):
        counter(np.zeros((3, 2), "float32"))
    assert isinstance(counter.seen, keras.Variable)
    assert counter.weights == [counter.seen]
    np.testing.assert_allclose(counter.seen.numpy(), start + 6)
