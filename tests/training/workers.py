"""One worker of several, or the only one: trains a tiny BERT and prints what came out of it.

`python workers.py FOLDER INDEX`; TF_CONFIG in the environment names all workers, and without it
there is no strategy. With DIE in the environment the second worker ends in the middle of training.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys

import keras
import numpy as np
import tensorflow as tf
from keraform.models.bert import TFBertForSequenceClassification

folder, index = sys.argv[1:]
strategy = tf.distribute.MultiWorkerMirroredStrategy() if "TF_CONFIG" in os.environ else None

ROWS = 7  # of which the last batch has 3, 2 for one worker and 1 for the other
rng = np.random.default_rng(0)
inputs = {"input_ids": rng.integers(1, 61, (ROWS, 5)), "attention_mask": np.ones((ROWS, 5), int)}
labels = rng.integers(0, 3, ROWS)


class Dying(keras.callbacks.Callback):
    """Ends the process of the second worker in the second epoch, as a machine that fails would."""

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 1 and index == "1":
            os._exit(9)


with strategy.scope() if strategy else contextlib.nullcontext():
    model = TFBertForSequenceClassification.from_pretrained(folder)
    model.compile(keras.optimizers.AdamW(0.01), metrics=["accuracy"])
callbacks = [Dying()] if os.environ.get("DIE") else []
history = model.fit(
    inputs, labels, batch_size=4, epochs=2, shuffle=False, verbose=0, callbacks=callbacks
).history
evaluated = model.evaluate(inputs, labels, batch_size=4, verbose=0)
logits = model.predict(inputs, batch_size=4, verbose=0).logits
weights = [float(np.abs(np.asarray(variable)).sum()) for variable in model.trainable_variables]
result = {"history": history, "evaluated": evaluated, "logits": np.asarray(logits).tolist()}
print(json.dumps(result | {"weights": weights, "kind": type(model.weights[0].value).__name__}))
