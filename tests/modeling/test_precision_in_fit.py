"""Training in half precision, with frozen layers, and with accumulated gradients."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from keraform.runtime import layers
from keraform.runtime.tree import read
from modeling import mini_bert


def bert(dtype=None):
    keras.utils.set_random_seed(2)
    config = mini_bert.tiny_config(
        num_hidden_layers=1, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0
    )
    return mini_bert.TFBertForSequenceClassification.from_config(config, dtype=dtype)


def data():
    inputs = {name: np.repeat(value, 2, axis=0) for name, value in mini_bert.tiny_inputs().items()}
    return inputs, np.array([0, 0, 1, 1])


def weights(model):
    return [keras.ops.convert_to_numpy(read(variable)) for variable in model.weights]


HOW = {
    "eager": {"run_eagerly": True},
    "graph": {"jit_compile": False},
    "xla": {"jit_compile": True},
}


@pytest.mark.parametrize(
    "how", ["eager", *(pytest.param(how, marks=pytest.mark.slow) for how in ("graph", "xla"))]
)
@pytest.mark.parametrize("half", ["bfloat16", "float16"])
def test_mixed_precision_learns(half, how):
    model = bert(f"mixed_{half}")
    model.compile(keras.optimizers.Adam(0.01), **HOW[how])
    scaled = isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    assert scaled == (half == "float16")
    losses = model.fit(*data(), batch_size=4, epochs=6, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    assert {variable.dtype for variable in model.trainable_variables} == {"float32"}
    logits = model(data()[0]).logits
    assert keras.backend.standardize_dtype(logits.dtype) == half
    assert all(np.isfinite(value).all() for value in weights(model))


def test_accumulated_gradients_are_those_of_the_big_batch():
    found = []
    for steps, size in ((2, 2), (None, 4)):
        model = bert()
        model.compile(
            keras.optimizers.SGD(0.5, gradient_accumulation_steps=steps), run_eagerly=True
        )
        model.fit(*data(), batch_size=size, shuffle=False, verbose=0)
        found.append(weights(model))
    start = weights(bert())
    assert max(abs(one - two).max() for one, two in zip(start, found[0], strict=True)) > 1e-3
    assert max(abs(one - two).max() for one, two in zip(*found, strict=True)) < 1e-6


def test_frozen_layers_stay_as_they_are():
    given = keras.Input((3,))
    norm, dense = layers.BatchNormalization(3), layers.Dense(3, 1)
    model = keras.Model(given, dense(norm(given)))
    norm.trainable = False
    model.compile("sgd", "mse", run_eagerly=True)
    before = [keras.ops.convert_to_numpy(read(v)) for v in (*norm.weights, *dense.weights)]
    model.fit(np.random.default_rng(0).normal(3, 2, (8, 3)), np.ones((8, 1)), verbose=0)
    after = [keras.ops.convert_to_numpy(read(v)) for v in (*norm.weights, *dense.weights)]
    changed = [not np.array_equal(one, two) for one, two in zip(before, after, strict=True)]
    assert changed == [False] * len(norm.weights) + [True, True]


def test_frozen_weights_stay_frozen_in_what_is_saved_and_loaded(tmp_path):
    model = bert()
    model.bert.embeddings.trainable = False
    model.compile("adam", run_eagerly=True)
    model.fit(*data(), batch_size=4, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    names = [[v.path.split("/", 1)[1] for v in each.trainable_variables] for each in (model, again)]
    assert names[0] == names[1] and len(names[0]) < len(model.weights)
    assert len(again.optimizer.variables) == len(model.optimizer.variables)
    before = keras.ops.convert_to_numpy(read(again.bert.embeddings.weights[0]))
    again.fit(*data(), batch_size=4, verbose=0)
    assert np.array_equal(
        before, keras.ops.convert_to_numpy(read(again.bert.embeddings.weights[0]))
    )
