"""The base layer: the lean call, contexts, owned names, saving, deferred weights, tying."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

from keraform.runtime import filling, init, layers
from keraform.runtime.observe import observe
from keraform.runtime.tree import named_weights, owns, read


class Block(layers.Layer):
    """Owns names that Keras keeps, holds lists and dicts, and gets odd arguments."""

    def __init__(self, width: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.input = layers.Dense(width, width, name="input")
        self.layers = [layers.Dense(width, width, name=str(i)) for i in range(2)]
        self.output = layers.Dense(width, width, name="output")
        self.weights = self.add_weight(shape=(width,), initializer="ones", name="weights")
        self.dtype = "model's own"
        self.losses = 3
        self.branches = {"left": [layers.Dense(width, width, name="left")]}
        self.dropout = layers.Dropout(0.5, name="dropout")
        self.late = []
        self.late.append(layers.Dense(width, width, name="late"))

    def call(self, x: Any, flag: bool = False, mask: Any = None, **kwargs: Any) -> Any:
        x = self.input(x)
        for layer in self.layers:
            x = layer(x)
        x = self.branches["left"][0](x) * self.weights
        return self.dropout(self.output(self.late[0](x)))


KEYS = [
    "weights", "input.weight", "input.bias", "layers.0.weight", "layers.0.bias",
    "layers.1.weight", "layers.1.bias", "output.weight", "output.bias",
    "branches.left.0.weight", "branches.left.0.bias", "late.0.weight", "late.0.bias",
]  # fmt: skip


class Seen(layers.Layer):
    """Keeps the `training` of each call."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        object.__setattr__(self, "seen", [])

    def call(self, x: Any) -> Any:
        self.seen.append(self.training)
        return x


class Outer(layers.Layer):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.inner = Seen(name="inner")

    def call(self, x: Any) -> Any:
        return self.inner(x)


def data(*shape: int) -> Any:
    return ops.convert_to_tensor(np.random.default_rng(1).normal(size=shape).astype("float32"))


def test_the_model_owns_keras_names_and_keras_keeps_working() -> None:
    block = Block(3)
    assert [w.key for w in named_weights(block)] == KEYS
    assert block.dtype == "model's own"
    assert block.losses == 3
    assert len(block.layers) == 2
    assert isinstance(block.output, layers.Dense)
    assert isinstance(block.weights, keras.Variable)
    assert owns(block, "weights")
    assert not owns(layers.Dense(2, 2), "weights")
    # Keras's own view, from a plain Keras model around it
    model = keras.Sequential([block])
    assert len(model.weights) == len(KEYS)
    assert len(model.trainable_variables) == len(KEYS)
    assert model(data(2, 3)).shape == (2, 3)


def test_what_keras_assigns_to_its_names_stays_with_keras() -> None:
    assert not [name for name in vars(layers.Dense(2, 2)) if name.startswith("own_")]


def test_any_arguments_may_be_positional() -> None:
    block = Block(3)
    assert block(data(2, 3), True, "mask", cache=None, other=[1, "x"]).shape == (2, 3)


def test_training_reaches_nested_layers_and_ends_with_the_call() -> None:
    outer = Outer()
    outer(data(1), training=True)
    outer(data(1))
    outer(data(1), training=False)
    with layers.call_context(outer, training=True):
        outer(data(1))
    assert outer.inner.seen == [True, False, False, True]
    assert outer.training is False


def test_training_comes_from_a_keras_model_around() -> None:
    outer = Outer()
    given = keras.Input((3,))
    model = keras.Model(given, outer(given))
    outer.inner.seen.clear()
    model(data(2, 3), training=True)
    model(data(2, 3))
    assert outer.inner.seen == [True, False]


def test_own_methods_named_as_keras_methods_are_kept() -> None:
    class Quantizer(layers.Layer):
        def quantize(self, x: Any) -> Any:
            return x + 1

        @staticmethod
        def build(size: int) -> int:
            return size

        def call(self, x: Any) -> Any:
            return self.quantize(x)

    assert float(Quantizer()(ops.convert_to_tensor(1.0))) == 2.0
    assert Quantizer().build(5) == 5


def quantized_policy() -> keras.dtype_policies.DTypePolicy:
    return keras.dtype_policies.get("int8_from_float32")


def test_keras3_point_1_modes_that_the_lean_call_does_not_run_are_refused_by_name() -> None:
    layer = layers.Dense(4, 4, name="query")
    layer._dtype_policy = quantized_policy()
    with pytest.raises(NotImplementedError, match="quantization mode 'int8' on Dense 'query'"):
        layer(data(2, 4))
    with keras.RematScope(mode="full"):
        layer = layers.Dense(4, 4, name="key")
    with pytest.raises(NotImplementedError, match="rematerialisation mode 'full' on Dense 'key'"):
        layer(data(2, 4))


@pytest.mark.parametrize("make", [lambda: layers.Dense(4, 4), lambda: layers.Embedding(5, 4)])
def test_keras3_point_4_quantize_is_refused_by_name_and_changes_nothing(make: Any) -> None:
    layer = make()
    with pytest.raises(NotImplementedError, match=f"{type(layer).__name__}.*`quantize`"):
        layer.quantize("int8")
    assert layer.dtype_policy.name == "float32"
    given = ops.ones((2, 4), "int32" if isinstance(layer, layers.Embedding) else "float32")
    assert layer(given).shape[-1] == 4


def test_keras3_point_5_a_config_with_a_quantized_policy_is_refused_when_called() -> None:
    config = layers.Dense(4, 4, name="query").get_config()
    config["dtype"] = keras.dtype_policies.serialize(quantized_policy())
    again = layers.Dense.from_config(config)
    assert again.built
    with pytest.raises(NotImplementedError, match="quantization mode 'int8' on Dense 'query'"):
        again(data(2, 4))


def test_mixed_policy_computes_in_half_precision() -> None:
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        seq = layers.Sequential(
            layers.Dense(3, 4), layers.LayerNormalization(4), layers.Dense(4, 2)
        )
        conv = layers.Conv2D(3, 4, 3, padding=1)
        table = layers.Embedding(5, 4, padding_idx=0)
    finally:
        keras.config.set_dtype_policy(policy)
    assert all(keras.backend.standardize_dtype(v.dtype) == "float32" for v in seq.weights)
    for output in (seq(data(2, 3)), conv(data(2, 3, 4, 4)), table(ops.ones((2,), "int32"))):
        assert keras.backend.standardize_dtype(output.dtype) == "float16"


def test_observers_hear_inner_calls_first() -> None:
    outer, heard = Outer(name="outer"), []
    with observe(lambda layer, args, kwargs, output: heard.append((layer.name, len(args)))):
        outer(data(1))
        with observe(lambda *call: heard.append("nested")):
            outer.inner(data(1))
    outer(data(1))
    assert heard == [("inner", 1), ("outer", 1), ("inner", 1), "nested"]


def test_weights_and_models_are_saved_and_loaded(tmp_path: Path) -> None:
    given = keras.Input((3,))
    model = keras.Model(given, Block(3, name="block")(given))
    model.save_weights(tmp_path / "m.weights.h5")
    again = keras.Input((3,))
    other = keras.Model(again, Block(3, name="block")(again))
    assert not np.allclose(model(data(2, 3)), other(data(2, 3)))
    other.load_weights(tmp_path / "m.weights.h5")
    np.testing.assert_array_equal(model(data(2, 3)), other(data(2, 3)))
    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras", custom_objects={"Block": Block})
    np.testing.assert_array_equal(model(data(2, 3)), loaded(data(2, 3)))


def test_torch_like_layers_stand_in_functional_models_and_keras_files(tmp_path: Path) -> None:
    given = keras.Input((6, 8))
    x = layers.Conv1D(6, 4, 3, padding=1)(given)
    x = layers.BatchNormalization(4)(x)
    x = layers.Sequential(layers.Dense(8, 5), layers.GELU(), layers.Dropout(0.1))(x)
    x = layers.AdaptiveAveragePooling1D(1)(x)
    x = layers.Flatten()(layers.LayerNormalization(1)(x) + x)
    model = keras.Model(given, x)
    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(model(data(2, 6, 8)), loaded(data(2, 6, 8)))
    model.compile("sgd", "mse")
    model.fit(np.ones((4, 6, 8)), np.ones((4, 4)), verbose=0)


FRESH = """
import sys, keras
from keraform.runtime import layers
layers.register_all()
print(type(keras.saving.load_model(sys.argv[1]).layers[1]).__name__)
"""


def test_a_fresh_process_loads_what_was_saved(tmp_path: Path) -> None:
    given = keras.Input((3,))
    keras.Model(given, layers.Dense(3, 2)(given)).save(tmp_path / "m.keras")
    result = subprocess.run(
        [sys.executable, "-c", FRESH, str(tmp_path / "m.keras")],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src")},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.stdout.strip() == "Dense", result.stderr[-2000:]


def test_weights_can_be_deferred_and_given_later() -> None:
    with keras.StatelessScope():
        block = Block(3)
        assert all(v._value is None for v in block.trainable_variables)
        for entry in named_weights(block):
            filling.settle(entry.variable, ops.ones(entry.variable.shape))
    assert all(float(ops.min(read(w.variable))) == 1.0 for w in named_weights(block))
    # nothing is left for the end of the next scope to initialise twice
    with keras.StatelessScope():
        layers.Dense(2, 2)
    with pytest.raises(ValueError, match=r"expected a value of shape \(3, 2\)"):
        with keras.StatelessScope():
            filling.settle(layers.Dense(3, 2)._kernel, np.ones((2, 3)))


def test_add_parameter_keeps_value_and_dtype() -> None:
    layer = layers.Layer()
    layer.scale = layer.add_parameter(ops.full((2,), 1.5), name="scale")
    layer.steps = layer.add_parameter(ops.arange(3), name="steps", trainable=False)
    layer.angles = layers.buffer(np.ones(4, "float32"))
    assert [w.key for w in named_weights(layer)] == ["scale", "steps"]
    assert keras.backend.standardize_dtype(layer.steps.dtype) == "int32"
    np.testing.assert_array_equal(read(layer.scale), [1.5, 1.5])
    assert isinstance(layer.angles, layers.Tensor)
    assert isinstance(layer.scale, layers.Tensor)
    assert not isinstance(np.ones(2), layers.Tensor)


def test_a_parameter_belongs_to_the_layer_it_is_assigned_to() -> None:
    class Table(layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.table = layers.parameter(ops.arange(3, dtype="float32"), trainable=False)
            self.places = layers.parameter(ops.arange(2, dtype="int64"))

    with keras.StatelessScope():
        waiting = Table()
    assert [variable.shape for variable in waiting.non_trainable_variables] == [(3,), (2,)]
    table = Table()
    assert [weight.key for weight in named_weights(table)] == ["table", "places"]
    assert table.places.dtype == "int64" and not table.trainable_variables
    assert np.asarray(read(table.table)).tolist() == [0, 1, 2]


def test_tf_function_needs_no_autograph() -> None:
    tf = pytest.importorskip("tensorflow")
    block = Block(3)
    for autograph in (True, False):
        compiled = tf.function(block, autograph=autograph)
        np.testing.assert_allclose(compiled(data(2, 3)), block(data(2, 3)), rtol=1e-5)
    concrete = tf.function(block).get_concrete_function(tf.TensorSpec((None, 3)))
    names = [operation.name for operation in concrete.graph.get_operations()]
    assert any("input" in name and "MatMul" in name for name in names)


class TestTying:
    def test_another_layout_computes_from_the_source(self) -> None:
        tf = pytest.importorskip("tensorflow")
        root = layers.Layer(name="root")
        root.embed = layers.Embedding(7, 4, name="embed")
        root.head = layers.Dense(4, 7, name="head")
        layers.tie(root.head, "weight", root.embed, "weight")
        x = data(2, 3, 4)
        table = ops.convert_to_numpy(root.embed.weight)
        expected = np.asarray(x) @ table.T + ops.convert_to_numpy(read(root.head.bias))
        np.testing.assert_allclose(root.head(x), expected, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(root.head.weight, table)
        assert [(w.key, w.alias, w.axes) for w in named_weights(root)] == [
            ("embed.weight", False, None), ("head.weight", True, None), ("head.bias", False, None),
        ]  # fmt: skip
        assert [w.key for w in named_weights(root, aliases=False)] == ["embed.weight", "head.bias"]
        assert len(root.trainable_variables) == 2
        with tf.GradientTape() as tape:
            total = ops.sum(root.head(root.embed(ops.arange(3))) ** 2)
        gradient = tape.gradient(total, root.embed._embeddings.value)
        assert not np.any(np.all(np.asarray(tf.convert_to_tensor(gradient)) == 0, axis=-1))
        init.zeros_(root.head, "weight")
        assert not np.any(root.embed.weight)

    def test_the_same_layout_shares_the_variable(self) -> None:
        root = layers.Layer(name="root")
        root.one, root.two = layers.Dense(4, 4, name="one"), layers.Dense(4, 4, name="two")
        for name in ("weight", "bias"):
            layers.tie(root.two, name, root.one, name)
        assert root.two._kernel is root.one._kernel
        assert root.two.bias is root.one.bias
        assert len(root.weights) == 2
        assert [w.alias for w in named_weights(root)] == [False, False, True, True]
        np.testing.assert_array_equal(root.one(data(2, 4)), root.two(data(2, 4)))

    def test_a_plain_parameter_can_be_tied(self) -> None:
        one, two = layers.Layer(), layers.Layer()
        one.bias = one.add_weight(shape=(3,), initializer="ones", name="bias")
        two.offset = two.add_weight(shape=(3,), initializer="zeros", name="offset")
        layers.tie(two, "offset", one, "bias")
        assert two.offset is one.bias

    def test_unequal_shapes_are_refused(self) -> None:
        with pytest.raises(ValueError, match=r"expected equal shapes.*\(7, 4\) and \(6, 4\)"):
            layers.tie(layers.Dense(4, 7), "weight", layers.Embedding(6, 4), "weight")

    def test_a_table_may_have_other_rows(self) -> None:
        one, two = layers.Embedding(6, 4), layers.Embedding(9, 4)
        layers.tie(one, "weight", two, "weight")
        np.testing.assert_array_equal(one(np.array([8])), two(np.array([8])))

    def test_saved_files_hold_a_tied_weight_once(self, tmp_path: Path) -> None:
        def make() -> keras.Model:
            given = keras.Input((4,))
            root = layers.Sequential(layers.Dense(4, 4), layers.Dense(4, 4))
            layers.tie(root[1], "weight", root[0], "weight")
            return keras.Model(given, root(given))

        one, two = make(), make()
        one.save_weights(tmp_path / "m.weights.h5")
        two.load_weights(tmp_path / "m.weights.h5")
        np.testing.assert_array_equal(one(data(2, 4)), two(data(2, 4)))


def test_layers_can_be_subclassed_with_a_call_of_their_own() -> None:
    class Positions(layers.Embedding):
        def __init__(self, count: int, width: int, **kwargs: Any) -> None:
            self.offset = 2
            super().__init__(count + 2, width, **kwargs)
            self.norm = layers.LayerNormalization(width, name="norm")

        def call(self, ids: Any) -> Any:
            return self.norm(super().call(ids + self.offset))

    class Channels(layers.LayerNormalization):
        def call(self, x: Any) -> Any:
            return ops.moveaxis(super().call(ops.moveaxis(x, 1, -1)), -1, 1)

    positions = Positions(5, 4)
    assert positions(ops.arange(5)).shape == (5, 4)
    assert [w.key for w in named_weights(positions)] == ["weight", "norm.weight", "norm.bias"]
    assert Channels(3)(data(2, 3, 4, 5)).shape == (2, 3, 4, 5)


def test_names_that_tensorflow_refuses_are_changed() -> None:
    tf = pytest.importorskip("tensorflow")
    layer = layers.Dense(3, 3, name="_inner")
    assert layer.name == "inner"
    tf.function(layer)(data(1, 3))


def test_depthwise_convolutions_use_the_depthwise_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    called = []
    original = ops.depthwise_conv
    monkeypatch.setattr(
        ops, "depthwise_conv", lambda *a, **k: called.append(1) or original(*a, **k)
    )
    layers.Conv2D(4, 4, 7, padding=3, groups=4)(data(1, 4, 8, 8))
    assert called


def test_keras3_point_2_seeds_move_in_fit_and_not_in_evaluate_on_jax(
    jax_checks: dict[str, str],
) -> None:
    found = jax_checks["seeds_move_in_fit_and_not_in_evaluate"]
    assert not found, found


@pytest.mark.slow
def test_layers_equal_torch_on_jax(run_on_jax: Callable[..., Any]) -> None:
    chosen = (
        "dense or layer_norm or group_norm or batch_norm or conv1d_0 or conv2d_2 or conv2d_7_9 or "
        "conv_transpose2d_1 or max2d_9_3_2_1 or average2d_9_3_2_1 or gru_cell or lstm_one_step or "
        "GELU or running or unfold"
    )
    here = str(Path(__file__).with_name("test_layers_torch.py"))
    result = run_on_jax("-m", "pytest", here, "-q", "-k", chosen, "-p", "no:cacheprovider")
    assert result.returncode == 0, result.stdout[-3000:]


def test_unknown_sizes_in_a_graph() -> None:
    tf = pytest.importorskip("tensorflow")
    for layer, spec, given in (
        (
            layers.Conv2D(3, 4, 3, padding=1, padding_mode="replicate"),
            (None, 3, None, None),
            (2, 3, 5, 6),
        ),
        (layers.ConvTranspose1D(3, 4, 4, strides=2, padding=1), (None, 3, None), (2, 3, 5)),
        (layers.GroupNormalization(3, 3), (None, 3, None), (2, 3, 5)),
        (layers.BatchNormalization(3), (None, 3, None), (2, 3, 5)),
        (layers.MaxPooling2D(3, 2, 1), (None, 3, None, None), (2, 3, 5, 6)),
        (layers.AveragePooling1D(2, 2, ceil_mode=True), (None, 3, None), (2, 3, 5)),
        (layers.AdaptiveAveragePooling2D(1), (None, 3, None, None), (2, 3, 5, 6)),
        (layers.Flatten(1, 2), (None, None, None, 4), (2, 3, 5, 4)),
        (layers.LSTM(3, 4, batch_first=True), (None, None, 3), (2, 5, 3)),
        (layers.PixelShuffle(2), (None, 4, None, None), (2, 4, 3, 5)),
        (layers.MultiheadAttention(4, 2, batch_first=True), (None, None, 4), (2, 5, 4)),
    ):
        count = 3 if isinstance(layer, layers.MultiheadAttention) else 1
        compiled = tf.function(layer, input_signature=[tf.TensorSpec(spec)] * count)
        ours, eager = compiled(*[data(*given)] * count), layer(*[data(*given)] * count)
        for one, two in zip(tf.nest.flatten(ours), tf.nest.flatten(eager), strict=True):
            np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-6)
