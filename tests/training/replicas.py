"""A process with two logical devices: training on both equals training on one.

`python replicas.py FOLDER CASE...` prints one JSON object: how far the two are apart in each case.
"""

from __future__ import annotations

import contextlib
import json
import sys

import keras
import numpy as np
import tensorflow as tf
from keraform.models.bert import TFBertForSequenceClassification
from keraform.models.gpt2 import TFGPT2LMHeadModel
from transformers import BertConfig, GPT2Config

from keraform.errors import KeraformError

ROWS = 5  # the last of the batches has one, and the second device nothing
SIZES = {"vocab_size": 64, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
SIZES |= {"intermediate_size": 24, "max_position_embeddings": 17, "hidden_dropout_prob": 0}
BERT = BertConfig(**SIZES, attention_probs_dropout_prob=0, num_labels=3)
GPT2 = GPT2Config(
    vocab_size=64, n_embd=16, n_layer=1, n_head=2, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0
)
(cpu,) = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
DROPS = {**SIZES, "hidden_dropout_prob": 0.1, "num_labels": 3}
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
rng = np.random.default_rng(0)
inputs = {"input_ids": rng.integers(1, 64, (ROWS, 6)), "attention_mask": np.ones((ROWS, 6), int)}
classes = rng.integers(0, 3, ROWS)
# few labels count, in other numbers in each row, and in one row none
tokens = np.where(rng.uniform(size=(ROWS, 6)) < 0.5, inputs["input_ids"], -100)
tokens[2] = -100
numbers = rng.normal(size=(ROWS, 1)).astype("float32")
crossentropy = {"loss": keras.losses.SparseCategoricalCrossentropy(from_logits=True)}
weights = {"sample_weight": rng.uniform(size=ROWS)}

# class, configuration, labels, arguments of compile, of fit and of from_pretrained
CASES = {
    "own loss": (TFBertForSequenceClassification, BERT, classes, {}, {}, {}),
    "Keras loss": (TFBertForSequenceClassification, BERT, classes, crossentropy, {}, {}),
    "weights": (TFBertForSequenceClassification, BERT, classes, crossentropy, weights, {}),
    "float64": (TFBertForSequenceClassification, BERT, classes, {}, {}, {"dtype": "float64"}),
    "tokens": (TFGPT2LMHeadModel, GPT2, tokens, {}, {}, {"dtype": "float64"}),
    "dropout": (TFBertForSequenceClassification, BertConfig(**DROPS), classes, {}, {}, {}),
    "numbers": (
        TFBertForSequenceClassification,
        BertConfig(**SIZES, attention_probs_dropout_prob=0, num_labels=1),
        numbers,
        {},
        {},
        {"dtype": "float64"},
    ),
}


def trained(case, folder, scope):
    model_class, _, labels, compiling, fitting, loading = case
    with scope:
        model = model_class.from_pretrained(folder, **loading)
        model.compile(keras.optimizers.AdamW(0.01, epsilon=1e-4), **compiling)
    options = {"batch_size": 4, "verbose": 0}
    history = model.fit(inputs, labels, epochs=2, shuffle=False, **options, **fitting).history
    evaluated = model.evaluate(inputs, labels, **options, **fitting)
    predicted = model.predict(inputs, **options).logits
    kinds = {type(variable.value).__name__ for variable in model.trainable_variables}
    return kinds, [history["loss"], evaluated, predicted, *model.get_weights()]


def distance(one, other):
    pairs = [(np.asarray(a, float), np.asarray(b, float)) for a, b in zip(one, other, strict=True)]
    return max(float((np.abs(a - b) / np.maximum(1, np.abs(a))).max()) for a, b in pairs)


def main(folder, names):
    found = {}
    for name in names:
        model_class, config, *_ = case = CASES[name]
        with strategy.scope():
            made = model_class.from_config(config)
        place = f"{folder}/{name}"
        made.save_pretrained(place)
        _, single = trained(case, place, contextlib.nullcontext())
        kinds, mirrored = trained(case, place, strategy.scope())
        steps, end = distance(single[:2], mirrored[:2]), distance(single[2:], mirrored[2:])
        found[name] = {"losses": steps, "predictions and weights": end, "kinds": sorted(kinds)}
    try:
        made.compile("sgd", jit_compile=True)
    except KeraformError as error:
        found["jit_compile"] = str(error)
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
