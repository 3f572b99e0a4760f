"""What gradient checkpointing owes, as functions that run on any backend.

`python tests/modeling/rematerializing.py` runs them in a process of their own (for JAX).
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import keras
import numpy as np
from keraform.models.bert import TFBertForSequenceClassification
from keraform.models.gpt2 import TFGPT2LMHeadModel
from transformers import BertConfig, GPT2Config

from keraform.errors import KeraformError
from keraform.runtime import layers
from keraform.runtime.ops import dropout, manual_seed
from keraform.runtime.tree import name_weights, named_layers, read

SIZES = {"vocab_size": 31, "hidden_size": 16, "num_attention_heads": 2, "num_hidden_layers": 2}
RANDOM = np.random.default_rng(5)
IDS = RANDOM.integers(1, 31, (4, 6)).astype("int32")
LABELS = np.array([0, 1, 1, 0])
MASK = np.array([[1] * 6, [1] * 6, [1] * 4 + [0] * 2, [0] + [1] * 5], "int32")


def bert(dtype: str | None = None, **changes):
    keras.utils.set_random_seed(3)
    config = BertConfig(**SIZES, intermediate_size=20, hidden_dropout_prob=0.3, **changes)
    return TFBertForSequenceClassification.from_config(config, dtype=dtype)


def gpt2():
    keras.utils.set_random_seed(3)
    return TFGPT2LMHeadModel.from_config(
        GPT2Config(vocab_size=31, n_embd=16, n_layer=2, n_head=2, n_positions=12, resid_pdrop=0.3)
    )


def state(model):
    """All variables' values, by path below the model, and those of seeds."""
    variables = keras.layers.Layer.variables.fget(model)
    return {v.path.partition("/")[2]: keras.ops.convert_to_numpy(read(v)) for v in variables}


def differences(one, other):
    assert set(one) == set(other)
    return {name: float(np.abs(one[name] - other[name]).max()) for name in one}


def dense(gradient):
    """An array; of TensorFlow's gradients of tables, too, which name rows."""
    if hasattr(gradient, "indices"):
        import tensorflow as tf

        gradient = tf.convert_to_tensor(gradient)
    return keras.ops.convert_to_numpy(gradient)


def gradients(model, jit: bool | None, inputs, **kwargs):
    """Loss and the gradients of one training call; `jit` None for eager TensorFlow."""
    variables = model.trainable_variables
    if keras.backend.backend() == "jax":
        import jax

        others = model.non_trainable_variables

        def loss(values, rest):
            outputs, rest = model.stateless_call(values, rest, inputs, training=True, **kwargs)
            return outputs["loss"].sum(), rest

        function = jax.jit(jax.value_and_grad(loss, has_aux=True))
        (value, rest), found = function([v.value for v in variables], [v.value for v in others])
        for variable, new in zip(others, rest, strict=True):
            variable.assign(new)
    else:
        import tensorflow as tf

        def function():
            with tf.GradientTape() as tape:
                value = model(inputs, training=True, **kwargs)["loss"]
            return value, tape.gradient(value, [v.value for v in variables])

        if jit is not None:
            function = tf.function(function, jit_compile=jit)
        value, found = function()
    named = {
        variable.path.partition("/")[2]: dense(gradient)
        for variable, gradient in zip(variables, found, strict=True)
        if gradient is not None
    }
    assert len(named) > 20
    return keras.ops.convert_to_numpy(value), named


def compare(make: Callable, inputs, jits=(None, False), limit=1e-6, **kwargs):
    for jit in jits if keras.backend.backend() == "tensorflow" else (True,):
        results = []
        for enable in (False, True):
            model = make()
            if enable:
                model.gradient_checkpointing_enable()
            before = state(model)
            manual_seed(7)
            value, found = gradients(model, jit, inputs, **kwargs)
            results.append((value, found, state(model), before))
        (value, plain, after, before), (again, recomputed, after_again, _) = results
        assert any((after[name] != before[name]).any() for name in after), "no seed has moved"
        assert max(differences(after, after_again).values()) == 0
        assert abs(value - again).max() <= limit, (value, again)
        largest = max(differences(plain, recomputed).values())
        assert largest <= limit, (jit, largest)
        assert max(abs(g).max() for g in plain.values()) > 1e-3


def gradients_with_dropout_are_those_without():
    inputs = {"input_ids": IDS, "attention_mask": MASK, "labels": LABELS}
    compare(bert, inputs, jits=(None,))


def graphs_compute_the_same():
    inputs = {"input_ids": IDS, "attention_mask": MASK, "labels": LABELS}
    compare(bert, inputs, jits=(False,))


def caches_stay_empty():
    compare(gpt2, {"input_ids": IDS, "labels": IDS, "use_cache": True}, jits=(False,))


def xla_computes_the_same():
    inputs = {"input_ids": IDS, "attention_mask": MASK, "labels": LABELS}
    compare(bert, inputs, jits=(True,), limit=1e-5)


def watched_outputs_keep_their_gradients():
    inputs = {"input_ids": IDS, "attention_mask": MASK, "labels": LABELS}

    class Watched(TFBertForSequenceClassification):
        def call(self, *args, **kwargs):
            outputs = super().call(
                *args, output_attentions=True, output_hidden_states=True, **kwargs
            )
            assert len(outputs.attentions) == 2 and len(outputs.hidden_states) == 3
            for maps in (*outputs.attentions, *outputs.hidden_states):
                outputs.loss = outputs.loss + keras.ops.mean(maps**2)
            return outputs

    def make():
        keras.utils.set_random_seed(3)
        config = BertConfig(**SIZES, hidden_dropout_prob=0.3, attn_implementation="eager")
        return Watched.from_config(config)

    compare(make, inputs, jits=(False,))


class Odd(layers.GradientCheckpointingLayer):
    """Arguments and outputs of all kinds, state that moves, and the process's random numbers."""

    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(4, 4)
        self.norm = layers.BatchNormalization(4)
        self.drop = layers.Dropout(0.5)

    def call(self, x, pair, options=None, *, scale=None, flag=True):
        one, nothing = pair
        assert nothing is None and options["name"] == "odd" and flag
        x = self.drop(self.dense(x) * one)
        x = self.norm(self.drop(x + options["shift"]))
        if keras.backend.backend() == "tensorflow":  # JAX has no generator of the process
            x = dropout(x, 0.5, self.training)
        x = x * keras.ops.cast(scale, x.dtype)
        return x, None, {"count": keras.ops.shape(x)[0], "sign": keras.ops.cast(x > 0, "int32")}


class Holder(keras.Model):
    def __init__(self):
        super().__init__()
        self.block = Odd()
        self.last = [layers.Dense(4, 4) for _ in range(10)]
        self.built = True

    def call(self, inputs, training=None):
        x = keras.ops.convert_to_tensor(inputs)
        shift = self.last[0](x)
        x, nothing, found = self.block(
            x,
            (shift, None),
            {"name": "odd", "shift": shift},
            scale=keras.ops.ones((), "int32"),
            training=training,
        )
        assert nothing is None
        for layer in self.last[1:]:
            x = layer(x)
        return {"loss": keras.ops.mean(x * x), "sign": found["sign"]}

    def gradient_checkpointing_enable(self):
        self.block.gradient_checkpointing = True


def all_kinds_of_values_pass():
    def make():
        keras.utils.set_random_seed(3)
        model = Holder()
        name_weights(model)
        return model

    compare(make, RANDOM.normal(size=(5, 4)).astype("float32"), limit=1e-5)


def fit_learns_the_same():
    found = []
    for enable in (False, True):
        model = bert("mixed_bfloat16")
        optimizer = keras.optimizers.SGD(0.1, gradient_accumulation_steps=2)
        model.compile(optimizer, jit_compile=True)
        inputs = {"input_ids": IDS, "attention_mask": MASK}
        model.fit(inputs, LABELS, batch_size=2, shuffle=False, verbose=0)
        if enable:  # also of a model that was trained already
            model.gradient_checkpointing_enable()
            assert model.is_gradient_checkpointing
        model.fit(inputs, LABELS, batch_size=2, shuffle=False, verbose=0)
        found.append(state(model))
    assert max(differences(*found).values()) < 2e-3


def switches_are_upstreams():
    model = bert(gradient_checkpointing=True)
    assert model.is_gradient_checkpointing and not hasattr(model.config, "gradient_checkpointing")
    model.gradient_checkpointing_disable()
    assert not model.is_activation_checkpointing
    model.gradient_checkpointing_enable({"use_reentrant": False}, every_n_layers=2)
    blocks = [layer for _, layer in named_layers(model) if type(layer).__name__ == "TFBertLayer"]
    assert [block.gradient_checkpointing for block in blocks] == [True, False]
    for wrong in ({"context_fn": None}, {"every_n_layers": 0}, {"offload": True}):
        try:
            if "context_fn" in wrong:
                model.gradient_checkpointing_enable(wrong)
            else:
                model.gradient_checkpointing_enable(**wrong)
        except KeraformError as error:
            assert next(iter(wrong)) in str(error)
        else:
            raise AssertionError(f"{wrong} was not refused")
    model.supports_gradient_checkpointing = False
    try:
        model.gradient_checkpointing_enable()
    except KeraformError as error:
        assert "TFBertForSequenceClassification, whose PyTorch class has no support" in str(error)
    else:
        raise AssertionError("nothing was said")


CHECKS = [
    gradients_with_dropout_are_those_without,
    graphs_compute_the_same,
    xla_computes_the_same,
    caches_stay_empty,
    watched_outputs_keep_their_gradients,
    all_kinds_of_values_pass,
    fit_learns_the_same,
    switches_are_upstreams,
]

if __name__ == "__main__":
    import time
    import traceback

    for check in CHECKS:
        if sys.argv[1:] and check.__name__ not in sys.argv[1:]:
            continue
        start = time.process_time()
        try:
            check()
            print(check.__name__, "passed", round(time.process_time() - start, 1))
        except Exception:
            traceback.print_exc()
