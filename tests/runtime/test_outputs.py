"""Model outputs in every tree library that meets them."""

from __future__ import annotations

import copy
import pickle
from dataclasses import dataclass

import keras
import numpy as np
import pytest
from keras import ops

from keraform.runtime.caches import DynamicCache
from keraform.runtime.layers import Tensor
from keraform.runtime.outputs import ModelOutput


@dataclass
class Output(ModelOutput):
    loss: Tensor | None = None
    logits: Tensor | None = None
    past_key_values: object | None = None
    hidden_states: tuple[Tensor, ...] | None = None


def filled(cache: bool = True) -> Output:
    past = DynamicCache() if cache else None
    if cache:
        past.update(ops.ones((2, 1, 3, 4)), ops.ones((2, 1, 3, 4)), 0)
    states = (ops.ones((2, 3)), ops.zeros((2, 3)))
    return Output(logits=ops.ones((2, 5)), past_key_values=past, hidden_states=states)


def test_reads_as_attributes_keys_and_positions():
    out = filled()
    assert out.logits is out["logits"] is out[0]
    assert out.loss is None and "loss" not in out
    assert list(out) == ["logits", "past_key_values", "hidden_states"]
    assert out.to_tuple() == out[:] and len(out[1:]) == 2
    with pytest.raises(KeyError):
        out["loss"]


def test_fields_can_be_set_and_not_removed():
    out = filled()
    out.loss = ops.ones(())
    assert out["loss"] is out.loss
    out["logits"] = None
    assert out.logits is None
    for method in ("pop", "update", "setdefault"):
        with pytest.raises(TypeError, match="The fields of a model output are fixed"):
            getattr(out, method)("logits")
    with pytest.raises(TypeError, match="Set a field instead"):
        del out["logits"]


def test_takes_pairs_a_dict_or_a_first_field():
    pairs = [("logits", ops.ones(2)), ("hidden_states", None)]
    for first in (pairs, dict(pairs), iter(pairs), ((k, v) for k, v in pairs)):
        out = Output(first)
        assert list(out) == ["logits"] and out.loss is None
    values = (ops.ones(2), ops.ones(3))
    assert Output(values)[0] is values
    assert Output(values[0])[0] is values[0]
    with pytest.raises(ValueError, match="Pass the fields by name"):
        Output([("logits", 1), 2])


def test_has_to_be_a_dataclass():
    class Plain(ModelOutput):
        pass

    with pytest.raises(TypeError, match="Put @dataclass above"):
        Plain()


def test_keras_tree_sees_tensors_only():
    out = filled()
    leaves = keras.tree.flatten(out)
    assert len(leaves) == 3
    packed = keras.tree.pack_sequence_as(out, leaves)
    assert type(packed) is Output and packed.logits is out.logits
    assert packed.past_key_values is None and len(packed.hidden_states) == 2
    shapes = keras.tree.map_structure(lambda x: tuple(x.shape), out)
    assert type(shapes) is Output and shapes.logits == (2, 5)
    keras.tree.assert_same_structure(out, packed)
    paths = [path for path, _ in keras.tree.flatten_with_path(out)]
    assert paths[0] == ("logits",)


def test_copies_and_pickles():
    out = filled(cache=False)
    for made in (copy.copy(out), copy.deepcopy(out)):
        assert type(made) is Output and list(made) == list(out)
    plain = Output(logits=np.ones(2))
    assert list(pickle.loads(pickle.dumps(plain))) == ["logits"]


@keras.saving.register_keras_serializable("tests_outputs")
class Small(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = keras.layers.Dense(4)

    def call(self, x):
        y = self.dense(x)
        past = DynamicCache()
        past.update(y[:, None, None], y[:, None, None], 0)
        return Output(logits=y, past_key_values=past, hidden_states=(x, y))


def test_predict_concatenates_batches():
    model = Small()
    x = np.random.default_rng(0).normal(size=(5, 3)).astype("float32")
    out = model.predict(x, batch_size=2, verbose=0)
    assert type(out) is Output
    assert out.logits.shape == (5, 4) and out.hidden_states[0].shape == (5, 3)
    np.testing.assert_allclose(out.logits, ops.convert_to_numpy(model(x).logits), atol=1e-6)


def test_functional_models_replay_outputs():
    inputs = keras.Input((3,))
    small = Small()
    out = small(inputs)
    assert type(out) is Output and out.logits.shape == (None, 4)
    model = keras.Model(inputs, {"twice": out.logits * 2, "first": out.hidden_states[0]})
    x = np.ones((2, 3), "float32")
    np.testing.assert_allclose(
        ops.convert_to_numpy(model(x)["twice"]),
        2 * ops.convert_to_numpy(small(x).logits),
        rtol=1e-6,
    )


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="tf.function")
@pytest.mark.parametrize("jit", [False, True])
def test_tf_function_returns_an_output_with_its_cache(jit):
    import tensorflow as tf

    model = Small()
    model(tf.ones((2, 3)))
    out = tf.function(model, jit_compile=jit)(tf.ones((2, 3)))
    assert type(out) is Output and list(out) == ["logits", "past_key_values", "hidden_states"]
    assert type(out.past_key_values) is DynamicCache
    np.testing.assert_array_equal(out.past_key_values.layers[0].keys[:, 0, 0], out.logits)


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="jax.jit")
def test_jit_returns_an_output_without_its_cache():
    import jax

    model = Small()
    x = ops.ones((2, 3))
    model(x)
    out = jax.jit(lambda x: model(x))(x)
    assert type(out) is Output and list(out) == ["logits", "hidden_states"]
    assert len(jax.tree_util.tree_leaves(filled())) == 3
