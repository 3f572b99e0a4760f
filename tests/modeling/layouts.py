"""A JAX process with two devices: a layout map finds every weight by its path."""

from __future__ import annotations

import sys
from pathlib import Path

import keras

sys.path.insert(0, str(Path(__file__).parent))
import mini_bert

devices = keras.distribution.list_devices()
assert len(devices) == 2, devices
mesh = keras.distribution.DeviceMesh((1, 2), ["batch", "model"], devices)
layouts = keras.distribution.LayoutMap(mesh)
layouts[".*/query/kernel"] = (None, "model")
keras.distribution.set_distribution(keras.distribution.ModelParallel(layout_map=layouts))

config = mini_bert.tiny_config(num_hidden_layers=1)
made = mini_bert.TFBertModel.from_config(config)
made.save_pretrained(sys.argv[1])
for model in (
    made,
    mini_bert.TFBertModel(config),
    mini_bert.TFBertModel.from_pretrained(sys.argv[1]),
):
    kernel = model.encoder.layer[0].attention.self.query.kernel
    assert kernel.path.endswith("/bert/encoder/layer/0/attention/self/query/kernel"), kernel.path
    assert kernel.value.sharding.shard_shape(kernel.shape) == (12, 6), kernel.value.sharding
    print("sharded")
