"""Keras's callbacks on ports, and metrics in plain Python."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import keraform
from keraform.errors import KeraformError
from modeling import mini_bert
from modeling.battery import training_data


def classifier(**changes):
    keras.utils.set_random_seed(0)
    config = mini_bert.tiny_config(num_hidden_layers=1, **changes)
    model = mini_bert.TFBertForSequenceClassification(config)
    model.bert.embeddings.trainable = model.bert.encoder.trainable = False  # fewer updates
    return model


# Keras on its own variables
@pytest.mark.filterwarnings("ignore:__array__ implementation")
def test_keras_callbacks(tmp_path):
    inputs, labels = training_data()
    model = classifier()
    # the first epoch learns, the second one spoils everything
    callbacks = [
        keras.callbacks.LearningRateScheduler(lambda epoch: 1e-3 if epoch == 0 else 30.0),
        keras.callbacks.ModelCheckpoint(tmp_path / "best.keras", save_best_only=True),
        keras.callbacks.ModelCheckpoint(
            tmp_path / "all.{epoch}.weights.h5", save_weights_only=True
        ),
        keras.callbacks.TensorBoard(tmp_path / "logs"),
        keras.callbacks.EarlyStopping(restore_best_weights=True),
    ]
    model.compile("sgd", run_eagerly=True)
    found = model.fit(
        inputs,
        labels,
        validation_data=(inputs, labels),
        epochs=5,
        verbose=0,
        callbacks=callbacks,
    ).history
    assert len(found["loss"]) == 2 and found["val_loss"][1] > found["val_loss"][0]
    assert found["learning_rate"] == pytest.approx([1e-3, 30.0])
    best = model(inputs).logits
    again = keras.saving.load_model(tmp_path / "best.keras")
    np.testing.assert_array_equal(again(inputs).logits, best)
    again.load_weights(tmp_path / "all.2.weights.h5")
    assert np.abs(again(inputs).logits - best).max() > 0.01
    again.load_weights(tmp_path / "all.1.weights.h5")
    np.testing.assert_array_equal(again(inputs).logits, best)
    (events,) = (tmp_path / "logs" / "validation").iterdir()
    tags = {value.tag for event in tf.compat.v1.train.summary_iterator(str(events))
            for value in event.summary.value}  # fmt: skip
    assert "epoch_loss" in tags


class Interrupt(keras.callbacks.Callback):
    """Does something, such as ending the process, in the second epoch."""

    def __init__(self, end):
        super().__init__()
        self.end, self.batches = end, 0

    def on_train_batch_end(self, batch, logs=None):
        self.batches += 1
        if self.batches == 2:
            self.end()


def compiled():
    model = classifier(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    optimizer, _ = keraform.create_optimizer(1e-2, 4, 1, weight_decay_rate=0.1)
    model.compile(optimizer, run_eagerly=True)  # no graph for three steps
    return model


def train(model, folder=None, end=None):
    """The weights after three epochs, or after what is left of them."""
    inputs, labels = training_data()
    callbacks = [] if folder is None else [keras.callbacks.BackupAndRestore(folder)]
    callbacks += [] if end is None else [Interrupt(end)]
    model.fit(inputs, labels, batch_size=8, epochs=3, shuffle=False, verbose=0, callbacks=callbacks)
    return [np.asarray(each) for each in model.trainable_variables]


def same(found, wanted):
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_training_goes_on_with_its_backup(tmp_path):
    kept, left = tmp_path / "kept", tmp_path / "left"
    wanted = train(compiled(), kept, lambda: shutil.copytree(kept, left))
    same(train(compiled(), left), wanted)


def kill():
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
def test_a_killed_training_goes_on(tmp_path):
    path = os.pathsep.join([str(Path(__file__).parent.parent), *filter(None, sys.path)])
    code = (
        "import sys\n"
        "from training.test_callbacks import compiled, kill, train\n"
        "train(compiled(), sys.argv[1], kill)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path], env={**os.environ, "PYTHONPATH": path}
    )
    assert done.returncode == -signal.SIGKILL
    same(train(compiled(), tmp_path), train(compiled()))


def accuracy(found):
    predictions, labels = found
    return {"right": float((predictions.argmax(-1) == labels).mean())}


def called(metric_fn, data, model, **arguments):
    """What a metric adds to the values of an epoch."""
    callback = keraform.KerasMetricCallback(metric_fn, data, **arguments)
    logs = {"loss": 1.0}
    callback.set_model(model)
    callback.on_train_begin()
    callback.on_epoch_end(0, logs)
    return logs


def test_metrics_join_the_history_and_are_watched():
    inputs, labels = training_data()
    model = classifier()
    data = tf.data.Dataset.from_tensor_slices((inputs, labels)).batch(4)
    callbacks = [
        keraform.KerasMetricCallback(accuracy, data),
        keras.callbacks.EarlyStopping("right", mode="max", patience=0),
    ]
    model.compile("sgd", run_eagerly=True)
    history = model.fit(data, epochs=9, verbose=0, callbacks=callbacks).history
    assert len(history["right"]) < 9
    found = np.asarray(model(inputs).logits).argmax(-1)
    assert history["right"][-1] == (found == labels).mean()


class Lengths:
    """Stands for a model: its outputs are as long as its inputs."""

    main_input_name = "input_ids"
    config = type("Config", (), {"keys_to_ignore_at_inference": ["past"]})

    def predict_on_batch(self, x):
        ids = np.asarray(x["input_ids"])
        return {"loss": ids, "past": ids, "logits": ids * 2, "more": ids * 3}


def ragged():
    rows = [{"input_ids": [[1, 2], [3, 4]], "labels": [[1], [2]]},
            {"input_ids": [[5, 6, 7]], "labels": [[3]]}]  # fmt: skip
    spec = {name: tf.TensorSpec([None, None], tf.int64) for name in rows[0]}
    return tf.data.Dataset.from_generator(lambda: iter(rows), output_signature=spec)


def test_batches_of_all_lengths_are_one(monkeypatch):
    seen = []
    called(lambda found: seen.append(found) or {"x": 1}, ragged(), Lengths())
    predictions, labels = seen[0]
    assert set(predictions) == {"logits", "more"}
    assert predictions["logits"].tolist() == [[2, 4, -100], [6, 8, -100], [10, 12, 14]]
    assert labels.tolist() == [[1], [2], [3]]
    arguments = {"output_cols": ["more"], "label_cols": ["input_ids", "labels"]}
    called(lambda found: seen.append(found) or {"x": 1}, ragged(), Lengths(), **arguments)
    predictions, labels = seen[1]
    assert predictions.tolist() == [[3, 6, -100], [9, 12, -100], [15, 18, 21]]
    assert set(labels) == {"input_ids", "labels"}
    whole = ({"input_ids": np.array([[1], [2], [3]])}, np.array([4, 5, 6]))
    called(lambda found: seen.append(found) or {"x": 1}, whole, Lengths(), batch_size=2)
    assert seen[2][1].tolist() == [4, 5, 6]


def test_generated_tokens_are_predictions():
    class Generating(Lengths):
        def generate(self, ids, attention_mask=None, add=0):
            return ids + add

    for compiled in (False, True):
        seen = []
        called(
            lambda found, seen=seen: seen.append(found) or {"x": 1},
            ragged(),
            Generating(),
            predict_with_generate=True,
            use_xla_generation=compiled,
            generate_kwargs={"add": 3},
        )
        assert seen[0][0].tolist() == [[4, 5, -100], [6, 7, -100], [8, 9, 10]]


def test_refusals():
    inputs, _ = training_data()
    make = keraform.KerasMetricCallback
    for function, words in (
        (lambda: make(accuracy, inputs), "without batch_size"),
        (lambda: make(accuracy, inputs, batch_size=2), "got: inputs input_ids, attention_mask"),
        (lambda: make(accuracy, ragged(), label_cols=["tags"]), "eval_dataset: tags"),
        (lambda: called(lambda found: 7, ragged(), Lengths()), "got: int: 7"),
        (
            lambda: called(accuracy, ragged(), classifier(), predict_with_generate=True),
            "TFBertForSequenceClassification, which has no generate()",
        ),
    ):
        with pytest.raises(KeraformError, match=words.replace("(", "[(]").replace(")", "[)]")):
            function()
