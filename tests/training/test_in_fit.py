"""Ports in fit on TensorFlow: problem types, forms of data, decoders, pairs, steps of one's own."""

from __future__ import annotations

import logging

import keras
import numpy as np
import pytest
import tensorflow as tf
from keraform.models.bert import TFBertForMaskedLM, TFBertForSequenceClassification
from transformers import BertConfig, CLIPConfig, T5Config, YolosConfig

from modeling import battery

SIZES = {
    "vocab_size": 61,
    "hidden_size": 12,
    "num_hidden_layers": 1,
    "num_attention_heads": 3,
    "intermediate_size": 20,
    "max_position_embeddings": 17,
}
SCCE = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-100)


def classifier(**settings):
    return TFBertForSequenceClassification(BertConfig(**SIZES, **settings))


def data():
    return battery.training_data()


@pytest.mark.parametrize(
    ("settings", "y", "loss", "metric"),
    [
        ({"num_labels": 1}, np.linspace(-1, 1, 8, dtype="float32"), "mse", "mae"),
        (
            {"num_labels": 3, "problem_type": "multi_label_classification"},
            np.eye(3)[[0, 1, 2, 1] * 2].astype("int64"),
            keras.losses.BinaryCrossentropy(from_logits=True),
            "binary_accuracy",
        ),
        ({"num_labels": 3, "problem_type": "regression"}, np.ones((8, 3)), "mse", "mae"),
        ({"num_labels": 3}, np.array([0, 2] * 4), SCCE, "accuracy"),
    ],
)
def test_problem_types(settings, y, loss, metric):
    """The model's own loss is the Keras loss of that problem, which leaves the config alone."""
    inputs, _ = data()
    model = classifier(**settings)
    before = model.config.problem_type
    expected = battery.evaluated(model, {**inputs, "labels": y}, None, loss=loss, metrics=[metric])
    assert model.config.problem_type == before
    battery.close(battery.evaluated(model, inputs, y, metrics=[metric]), expected)


def test_datasets_of_every_form():
    inputs, labels = data()
    weight = np.linspace(0, 2, 8).astype("float32")
    model = classifier(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    forms = [
        (inputs, labels),
        (inputs, {"labels": labels}),
        {**inputs, "labels": labels},
        {**inputs, "label": labels},
    ]
    model.compile("sgd", metrics=["accuracy"], run_eagerly=True)
    found = [
        model.evaluate(tf.data.Dataset.from_tensor_slices(form).batch(4), verbose=0)
        for form in forms
    ]
    np.testing.assert_allclose(found, [found[0]] * len(forms), rtol=1e-6)
    weighted = tf.data.Dataset.from_tensor_slices((inputs, labels, weight)).batch(8)
    expected = battery.evaluated(model, inputs, labels, weight)["loss"]
    model.compile(keras.optimizers.SGD(0.0), run_eagerly=True)
    history = model.fit(weighted, shuffle=False, verbose=0).history
    assert abs(history["loss"][0] - expected) < 1e-5


def test_wrong_labels_and_inputs_are_named(caplog):
    inputs, labels = data()
    model = classifier()
    model.compile("sgd")
    for y, words in (
        (labels + 1, "class numbers from 0 to 1"),
        (np.stack([labels] * 3, axis=1), "one class number for each row of logits"),
    ):
        with pytest.raises(tf.errors.InvalidArgumentError, match=words):
            model.evaluate(inputs, y, verbose=0)
    model.compile("sgd", run_eagerly=True)
    with pytest.raises(ValueError, match=r"a 0 or 1 for each logit, \(8, 2\)\ngot: .*\(8,\)"):
        model.config.problem_type = "multi_label_classification"
        model.evaluate(inputs, labels, batch_size=8, verbose=0)
    model.config.problem_type = None
    with caplog.at_level(logging.WARNING, "keraform"):
        model.evaluate({**inputs, "idx": labels}, labels, verbose=0)
    assert "takes no idx, and ignores it" in caplog.text


def test_nothing_to_learn_from_changes_nothing():
    """The one deviation: torch's loss is NaN where every label is -100."""
    inputs, _ = data()
    model = TFBertForMaskedLM(BertConfig(**SIZES))
    before = model.get_weights()
    model.compile("sgd", run_eagerly=True)
    history = model.fit(inputs, np.full_like(inputs["input_ids"], -100), verbose=0).history
    assert history["loss"] == [0.0]
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_decoders_inputs_are_made_of_labels_also_for_a_keras_loss():
    from keraform.models.t5 import TFT5ForConditionalGeneration

    config = T5Config(
        vocab_size=61, d_model=16, d_kv=4, d_ff=20, num_layers=1, num_heads=2, dropout_rate=0.0
    )
    config.decoder_start_token_id = 0
    inputs, _ = data()
    labels = inputs["input_ids"].copy()
    labels[:, -2:] = -100
    model = TFT5ForConditionalGeneration(config)
    own = battery.evaluated(model, inputs, labels, metrics=["accuracy"])
    loss = {"loss": SCCE, "metrics": ["accuracy"]}
    battery.close(battery.evaluated(model, inputs, labels, **loss), own)
    battery.close(battery.evaluated(model, {**inputs, "labels": labels}, None, **loss), own)


def test_pairs_need_no_labels():
    from keraform.models.clip import TFCLIPModel

    size = {k: SIZES[k] for k in ("hidden_size", "num_hidden_layers", "intermediate_size")}
    config = CLIPConfig(
        text_config={**SIZES, "eos_token_id": 2},
        vision_config={**size, "num_attention_heads": 3, "image_size": 8, "patch_size": 4},
        projection_dim=8,
    )
    inputs, _ = data()
    inputs["pixel_values"] = np.random.default_rng(0).normal(size=(8, 3, 8, 8)).astype("float32")
    model = TFCLIPModel(config)
    found = battery.evaluated(model, inputs, None)["loss"]
    logits = np.asarray(model(inputs).logits_per_text, "float64")
    log_shares = (logits - np.log(np.exp(logits).sum(axis, keepdims=True)) for axis in (0, 1))
    expected = -np.mean([np.diag(each).mean() for each in log_shares])
    assert abs(found - expected) < 1e-4
    model.compile("sgd", run_eagerly=True)
    with pytest.raises(ValueError, match="no sample_weight with TFCLIPModel's own loss"):
        model.evaluate(inputs, np.zeros(8), sample_weight=np.ones(8), verbose=0)


class Scenes(keras.utils.PyDataset):
    """Two batches of two images, with other numbers of objects in each."""

    def __len__(self):
        return 2

    def __getitem__(self, index):
        rng = np.random.default_rng(index)
        pixels = rng.normal(size=(2, 3, 16, 16)).astype("float32")
        labels = tuple(
            {
                "class_labels": rng.integers(0, 3, count),
                "boxes": rng.uniform(0.2, 0.5, (count, 4)).astype("float32"),
            }
            for count in (2 + index, 1)
        )
        return {"pixel_values": pixels}, {"labels": labels}


def test_detectors_learn_from_a_dict_for_each_image():
    from keraform.models.yolos import TFYolosForObjectDetection

    config = YolosConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=20,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        image_size=[16, 16],
        patch_size=8,
        num_detection_tokens=5,
        use_mid_position_embeddings=False,
        num_labels=3,
    )
    model = TFYolosForObjectDetection(config)
    scenes = Scenes()
    expected = np.mean([float(model({**x, **y}).loss) for x, y in (scenes[0], scenes[1])])
    model.compile(keras.optimizers.SGD(0.0))
    history = model.fit(scenes, shuffle=False, verbose=0).history
    assert abs(history["loss"][0] - expected) < 1e-4
    model.compile(keras.optimizers.SGD(0.0), run_eagerly=True)
    inputs, labels = scenes[0]
    found = [
        model.train_on_batch(*form)
        for form in ((inputs, list(labels["labels"])), ({**inputs, **labels},))
    ]
    assert abs(found[0] - float(model({**inputs, **labels}).loss)) < 1e-5 and found[0] == found[1]


def test_a_train_step_of_ones_own():
    class Doubled(TFBertForSequenceClassification):
        def train_step(self, data):
            x, y = data
            with tf.GradientTape() as tape:
                loss = 2 * self({**x, "labels": y}, training=True).loss
            self.optimizer.apply(
                tape.gradient(loss, self.trainable_variables), self.trainable_variables
            )
            return {"doubled": loss}

    inputs, labels = data()
    model = Doubled(BertConfig(**SIZES, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0))
    expected = 2 * float(model({**inputs, "labels": labels}).loss)
    model.compile("sgd", loss=None, run_eagerly=True)
    before = np.asarray(model.classifier.bias)
    history = model.fit(inputs, labels, batch_size=8, verbose=0).history
    assert abs(history["doubled"][0] - expected) < 1e-5
    assert (np.asarray(model.classifier.bias) != before).any()
