"""A JAX process with eight devices: training split over them equals training on one.

`python devices.py FOLDER` prints what was found as one JSON object.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import keras
import numpy as np
from keraform.models.bert import TFBertForSequenceClassification
from keras.distribution import DataParallel, DeviceMesh, ModelParallel, list_devices

from keraform.modeling import layout_map

folder = Path(sys.argv[1])
ROWS = 16
rng = np.random.default_rng(0)
inputs = {"input_ids": rng.integers(1, 60, (ROWS, 5)), "attention_mask": np.ones((ROWS, 5), int)}
inputs = {name: value.astype("int32") for name, value in inputs.items()}
labels = rng.integers(0, 3, ROWS).astype("int32")


def trained(distribution=None):
    if distribution is not None:
        keras.distribution.set_distribution(distribution)
    model = TFBertForSequenceClassification.from_pretrained(folder)
    model.compile(keras.optimizers.AdamW(0.01))
    options = {"batch_size": 8, "verbose": 0}
    history = model.fit(inputs, labels, epochs=2, shuffle=False, **options).history
    found = [history["loss"], model.evaluate(inputs, labels, **options)]
    found += [np.asarray(model.predict(inputs, **options).logits)]
    return model, found + [np.asarray(variable) for variable in model.trainable_variables]


def off(one, other):
    pairs = zip(one, other, strict=True)
    return max(float(np.abs(np.asarray(a) - np.asarray(b)).max()) for a, b in pairs)


def shards(variable):
    return [list(shard.data.shape) for shard in variable.value.addressable_shards]


single, expected = trained()
mesh = DeviceMesh((2, 4), ["batch", "model"], list_devices())
layouts = layout_map(TFBertForSequenceClassification, single.config, mesh)
of_data, found_of_data = trained(DataParallel(devices=list_devices()))
of_model, found_of_model = trained(ModelParallel(layout_map=layouts, batch_dim_name="batch"))
made = TFBertForSequenceClassification.from_config(single.config)
of_model.save_pretrained(folder / "saved")
keras.distribution.set_distribution(DataParallel(devices=list_devices()))
again = TFBertForSequenceClassification.from_pretrained(folder / "saved")


def start(path):
    return path.partition("/")[2]


print(
    json.dumps(
        {
            "data": off(expected, found_of_data),
            "model": off(expected, found_of_model),
            "layouts": {name: list(layouts[name].axes) for name in layouts},
            "shards": {
                start(variable.path): shards(variable) for variable in of_model.trainable_variables
            },
            "fresh": {start(v.path): shards(v)[0] for v in made.trainable_variables},
            "optimizer": {v.path: shards(v)[0] for v in of_model.optimizer.variables if v.shape},
            "whole": {start(v.path): list(v.shape) for v in of_model.trainable_variables},
            "saved": off(of_model.get_weights(), again.get_weights()),
        }
    )
)
