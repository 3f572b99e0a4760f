"""Keras models around ports, as users build them; a fresh process loads what they saved.

`python tests/modeling/composed.py FOLDER` loads every model of a folder and prints its outputs.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import keras
import numpy as np
from keraform.models.bert import TFBertMainLayer, TFBertModel
from keraform.models.vit import TFViTModel
from transformers import BertConfig, ViTConfig

import keraform  # noqa: F401  registers the packages under which saved files know ports

TEXT = {
    "vocab_size": 61,
    "hidden_size": 12,
    "num_hidden_layers": 1,
    "num_attention_heads": 3,
    "intermediate_size": 20,
    "max_position_embeddings": 17,
}
IMAGE = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 20,
    "image_size": 8,
    "patch_size": 4,
}


def text_model(**arguments):
    return TFBertModel(BertConfig(**TEXT), **arguments)


def image_model(**arguments):
    return TFViTModel(ViTConfig(**IMAGE), **arguments)


def text_inputs():
    return {
        name: keras.Input((None,), dtype="int32", name=name)
        for name in ("input_ids", "attention_mask")
    }


def functional():
    """A language and a vision model, joined."""
    inputs = {**text_inputs(), "pixel_values": keras.Input((3, 8, 8), name="pixel_values")}
    text = text_model()({name: inputs[name] for name in ("input_ids", "attention_mask")})
    image = image_model()(inputs["pixel_values"])
    joined = keras.layers.concatenate([text.pooler_output, image.pooler_output])
    return keras.Model(inputs, keras.layers.Dense(3, name="scores")(joined))


def siamese():
    """One main layer, used twice."""
    encoder = TFBertMainLayer(BertConfig(**TEXT), name="encoder")
    first, second = (keras.Input((None,), dtype="int32", name=name) for name in ("first", "second"))
    pooled = [encoder(input_ids=ids).pooler_output for ids in (first, second)]
    return keras.Model(
        {"first": first, "second": second}, keras.layers.Dot(axes=1, normalize=True)(pooled)
    )


def sequential():
    """Ids to scores."""
    return keras.Sequential([keras.Input((None,), dtype="int32"), text_model(), Pooled(), dense()])


def dense():
    return keras.layers.Dense(3, name="scores")


@keras.saving.register_keras_serializable(package="composed")
class Pooled(keras.layers.Layer):
    """The pooled output of a port."""

    def call(self, outputs):
        return outputs.pooler_output


@keras.saving.register_keras_serializable(package="composed")
class Reader(keras.Model):
    """A subclassed model that is given its two ports."""

    def __init__(self, text, image, **kwargs):
        super().__init__(**kwargs)
        self.text, self.image, self.scores = text, image, dense()

    def call(self, inputs, training=None):
        text = self.text(inputs["input_ids"], inputs["attention_mask"]).pooler_output
        image = self.image(inputs["pixel_values"]).pooler_output
        return self.scores(keras.ops.concatenate([text, image], axis=-1))

    def get_config(self):
        parts = {name: keras.saving.serialize_keras_object(getattr(self, name)) for name in PARTS}
        return {**super().get_config(), **parts}

    @classmethod
    def from_config(cls, config):
        parts = {name: keras.saving.deserialize_keras_object(config.pop(name)) for name in PARTS}
        return cls(**parts, **config)


PARTS = ("text", "image")


def subclassed():
    """A language and a vision model in one."""
    return Reader(text_model(), image_model())


def alone():
    """A port as it is."""
    return text_model()


KINDS = {each.__name__: each for each in (alone, functional, siamese, sequential, subclassed)}


def data(name):
    """What a model of a kind is called with: four rows."""
    rng = np.random.default_rng(0)
    ids = rng.integers(1, 61, (4, 7)).astype("int32")
    if name in ("sequential", "alone"):
        return ids
    if name == "siamese":
        return {"first": ids, "second": ids[:, ::-1].copy()}
    pixels = rng.normal(size=(4, 3, 8, 8)).astype("float32")
    return {"input_ids": ids, "attention_mask": np.ones_like(ids), "pixel_values": pixels}


def outputs(model, name):
    """What a model of a kind gives for `data`."""
    given = model(data(name))
    return np.asarray(given.pooler_output if name == "alone" else given)


def main(folder: Path) -> None:
    """Loads models, and weights into a new one."""
    for name in KINDS:
        loaded = keras.saving.load_model(folder / f"{name}.keras")
        found = {"module": type(loaded).__module__, "model": outputs(loaded, name).tolist()}
        if name == "subclassed":
            other = subclassed()
            other(data(name))
            other.load_weights(folder / f"{name}.weights.h5")
            found["weights"] = outputs(other, name).tolist()
        print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
