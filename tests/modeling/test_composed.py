"""Ports inside of other Keras models: trained, cloned, saved, and loaded by a fresh process."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from modeling import composed

COMPOSED = [name for name in composed.KINDS if name != "alone"]


@pytest.fixture(scope="module")
def models():
    made = {name: make() for name, make in composed.KINDS.items()}
    for name, model in made.items():
        model(composed.data(name))
    return made


def ports(model):
    """The ports inside of a model."""
    layers = model._flatten_layers(include_self=False, recursive=False)
    return [layer for layer in layers if hasattr(layer, "config") and hasattr(layer, "model_tags")]


@pytest.mark.parametrize("name", COMPOSED)
def test_training_reaches_the_weights_of_ports(models, name):
    model = models[name]
    scores = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    loss, y = ("mse", np.ones((4, 1))) if name == "siamese" else (scores, np.array([0, 1, 2, 1]))
    before = [np.asarray(variable) for variable in model.trainable_variables]
    inside = sum(len(port.trainable_variables) for port in ports(model))
    assert len(before) == inside + 2 * (name != "siamese")  # a Dense of its own
    model.compile(keras.optimizers.SGD(0.5), loss=loss, run_eagerly=name != "siamese")
    model.fit(composed.data(name), y, batch_size=4, verbose=0)
    moved = [
        variable.path
        for variable, value in zip(model.trainable_variables, before, strict=True)
        if (np.asarray(variable) != value).any()
    ]
    for part in ("query", "embeddings", "LayerNorm"):
        assert any(part in path for path in moved), moved


@pytest.mark.parametrize("name", COMPOSED)
def test_clones_have_ports_of_their_own(models, name):
    model = models[name]
    twin = keras.models.clone_model(model)
    twin(composed.data(name))
    assert not {id(port) for port in ports(twin)} & {id(port) for port in ports(model)}
    twin.set_weights(model.get_weights())
    np.testing.assert_array_equal(composed.outputs(twin, name), composed.outputs(model, name))


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's own
def test_a_fresh_process_loads_models_and_weights(models, tmp_path):
    for name, model in models.items():
        model.save(tmp_path / f"{name}.keras")
    models["subclassed"].save_weights(tmp_path / "subclassed.weights.h5")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(
        [sys.executable, composed.__file__, tmp_path],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert rows[0]["module"] == "keraform.models.bert.modeling_bert"
    for (name, model), row in zip(models.items(), rows, strict=True):
        expected = composed.outputs(model, name)
        np.testing.assert_array_equal(np.asarray(row["model"], "float32"), expected)
        if "weights" in row:
            np.testing.assert_array_equal(np.asarray(row["weights"], "float32"), expected)
    assert "weights" in rows[-1]
