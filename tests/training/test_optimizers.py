"""AdamW with warm-up takes torch's steps, leaves biases and norms alone, and is kept in files."""

from __future__ import annotations

import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch
from transformers.optimization import get_linear_schedule_with_warmup

import keraform
from keraform.errors import KeraformError
from keraform.runtime.tree import named_weights
from keraform.training.optimizers import NO_DECAY, AdamWeightDecay, create_optimizer
from keraform.training.schedules import WarmUp
from modeling import mini_bert

RNG = np.random.default_rng(0)
STEPS, WARMUP, RATE = 20, 5, 1e-3


@pytest.fixture
def float64():
    keras.config.set_floatx("float64")
    yield
    keras.config.set_floatx("float32")


# Keras's schedules compute in float32 whatever the model does: 1e-9 rather than 1e-12
@pytest.mark.parametrize(
    ("warmup", "clip", "limit"), [(WARMUP, None, 1e-9), (None, None, 1e-12), (None, 0.5, 1e-12)]
)
def test_twenty_steps_are_torchs(float64, warmup, clip, limit):
    shapes = {"kernel": (3, 4), "bias": (4,)}
    starts = {name: RNG.normal(size=shape) for name, shape in shapes.items()}
    # gradients near epsilon show where it is added
    gradients = [{k: RNG.normal(size=s) * 1e-6 for k, s in shapes.items()} for _ in range(STEPS)]
    scale = 1.0 if clip is None else 1e6
    ours = [keras.Variable(value, name=name) for name, value in starts.items()]
    _, schedule = create_optimizer(RATE, STEPS, WARMUP)
    optimizer = AdamWeightDecay(
        RATE if warmup is None else schedule,
        epsilon=1e-8,
        weight_decay_rate=0.125,
        exclude_from_weight_decay=NO_DECAY,
        global_clipnorm=clip,
    )
    theirs = {name: torch.nn.Parameter(torch.tensor(value)) for name, value in starts.items()}
    groups = [
        {"params": [theirs["kernel"]], "weight_decay": 0.125},
        {"params": [theirs["bias"]], "weight_decay": 0.0},
    ]
    reference = torch.optim.AdamW(groups, lr=RATE, eps=1e-8)
    rates = get_linear_schedule_with_warmup(reference, WARMUP, STEPS) if warmup else None
    for step in gradients:
        optimizer.apply([step[each.name] * scale for each in ours], ours)
        for name, parameter in theirs.items():
            parameter.grad = torch.tensor(step[name] * scale)
        if clip is not None:
            norm = torch.sqrt(sum((each.grad**2).sum() for each in theirs.values()))
            for parameter in theirs.values():
                parameter.grad *= min(1.0, clip / float(norm))
        reference.step()
        if rates is not None:
            rates.step()
    for each in ours:
        found, wanted = np.asarray(each), theirs[each.name].detach().numpy()
        assert np.abs(found - starts[each.name]).max() > 4 * RATE
        np.testing.assert_allclose(found, wanted, rtol=0, atol=limit)


@pytest.mark.parametrize("clip", [None, 0.1])
def test_repeated_tokens_count_together(clip):
    slices = tf.IndexedSlices(tf.constant([[1.0], [2.0], [3.0]]), tf.constant([1, 3, 1]), (5, 1))
    found = []
    for gradient in (slices, tf.constant([[0.0], [4.0], [0.0], [2.0], [0.0]])):
        table = keras.Variable(np.ones((5, 1), "float32"), name="embeddings")
        optimizer = AdamWeightDecay(0.1, epsilon=1e-2, global_clipnorm=clip)
        for _ in range(2):
            optimizer.apply([gradient], [table])
        found.append(np.asarray(table))
    np.testing.assert_array_equal(*found)
    assert (found[0] < 1).sum() == 2


@pytest.mark.parametrize("name", ["adam", "rmsprop", "adagrad"])
def test_compile_lets_keras_optimizers_count_repeated_rows_together(name):
    slices = tf.IndexedSlices(tf.constant([[1.0], [2.0], [3.0]]), tf.constant([1, 3, 1]), (5, 1))
    model = mini_bert.TFBertForSequenceClassification(mini_bert.tiny_config())
    found = []
    for gradient in (slices, tf.constant([[0.0], [4.0], [0.0], [2.0], [0.0]])):
        table = keras.Variable(np.ones((5, 1), "float32"), name="table")
        model.compile(name)
        for _ in range(2):
            model.optimizer.apply([gradient], [table])
        found.append(np.asarray(table))
    np.testing.assert_allclose(*found, rtol=1e-6)
    assert (found[0] < 1).sum() == 2


def test_the_schedule_is_transformers():
    _, schedule = create_optimizer(3e-4, STEPS, WARMUP)
    parameter = torch.nn.Parameter(torch.zeros(1))
    reference = torch.optim.SGD([parameter], lr=3e-4)
    rates = get_linear_schedule_with_warmup(reference, WARMUP, STEPS)
    for step in range(STEPS):
        assert float(schedule(step)) == pytest.approx(rates.get_last_lr()[0], rel=1e-6)
        reference.step()
        rates.step()
    assert float(schedule(STEPS + 9)) == 0.0


def test_other_ends_powers_and_no_warm_up():
    _, schedule = create_optimizer(1.0, 10, 0, min_lr_ratio=0.1, power=2.0)
    assert isinstance(schedule, keras.optimizers.schedules.PolynomialDecay)
    assert [float(schedule(step)) for step in (0, 5, 10)] == pytest.approx([1.0, 0.325, 0.1])
    warm_up = WarmUp(1.0, lambda step: 7.0, 4, power=2.0)
    assert [float(warm_up(step)) for step in (0, 2, 4)] == pytest.approx([0.0, 0.25, 7.0])
    with pytest.raises(KeraformError, match="got: num_warmup_steps=10, num_train_steps=10"):
        create_optimizer(1.0, 10, 10)


def decaying(model):
    """The keys of the weights that a step without gradients makes smaller."""
    optimizer, _ = create_optimizer(0.1, 10, 0, weight_decay_rate=0.5)
    variables = model.trainable_variables
    for variable in variables:
        variable.assign(np.ones(variable.shape))
    optimizer.apply([np.zeros(each.shape, "float32") for each in variables], variables)
    found = {weight.key: np.asarray(weight.variable) for weight in named_weights(model)}
    trained = {id(each) for each in variables}
    kept = {w.key for w in named_weights(model) if id(w.variable) in trained}
    assert all(np.isin(found[key], [1.0, np.float32(0.95)]).all() for key in kept)
    return {key for key in kept if found[key].max() < 1}


def decaying_in_torch(model):
    from transformers import Trainer

    found = set(Trainer.get_decay_parameter_names(None, model))
    # an unnamed alias in torch is a key here
    shared = {id(parameter) for name, parameter in model.named_parameters() if name in found}
    aliases = model.named_parameters(remove_duplicate=False)
    return {name for name, parameter in aliases if id(parameter) in shared}


def test_biases_and_norms_of_ports_do_not_decay():
    config = mini_bert.tiny_config(num_hidden_layers=1)
    model = mini_bert.TFBertForMaskedLM(config)
    keys = {weight.key for weight in named_weights(model)} - {"bert.embeddings.position_ids"}
    left_out = {key for key in keys if "LayerNorm" in key or key.endswith("bias")}
    assert len(left_out) > 10
    assert decaying(model) == keys - left_out


TYPES = {
    "gpt2": ("GPT2LMHeadModel", dict(n_embd=16, n_layer=1, n_head=2, vocab_size=50)),
    "llama": (
        "LlamaForCausalLM",
        dict(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=20)
        | dict(vocab_size=50),
    ),
    "t5": (
        "T5ForConditionalGeneration",
        dict(d_model=16, num_layers=1, num_heads=2, d_ff=20, d_kv=8, vocab_size=50),
    ),
    "vit": (
        "ViTForImageClassification",
        dict(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=20)
        | dict(image_size=8, patch_size=4),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("model_type", TYPES)
def test_they_are_the_trainers(model_type):
    import transformers

    name, settings = TYPES[model_type]
    config = transformers.AutoConfig.for_model(model_type, **settings)
    ours = getattr(keraform, f"TF{name}").from_config(config)
    assert decaying(ours) == decaying_in_torch(getattr(transformers, name)(config))


def test_what_decays_can_be_chosen():
    optimizer = AdamWeightDecay(
        weight_decay_rate=0.1,
        exclude_from_weight_decay=[*NO_DECAY, "embeddings"],
        include_in_weight_decay=["pooler/dense/bias"],
    )
    assert optimizer.decays("m/bert/pooler/dense/bias")
    assert not optimizer.decays("m/bert/encoder/dense/bias")
    assert not optimizer.decays("m/bert/embeddings/word/embeddings")
    assert optimizer.decays("m/bert/pooler/dense/kernel")
    assert keraform.AdamWeightDecay is AdamWeightDecay
    assert keraform.create_optimizer is create_optimizer and keraform.WarmUp is WarmUp


# Keras on its own variables
@pytest.mark.filterwarnings("ignore:__array__ implementation")
def test_a_saved_model_keeps_optimizer_and_schedule(tmp_path):
    optimizer, _ = create_optimizer(
        0.1, 10, 2, weight_decay_rate=0.5, include_in_weight_decay=["x"]
    )
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    model.compile(optimizer, "mse")
    model.train_on_batch(np.ones((2, 2)), np.zeros((2, 2)))
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.optimizer.get_config() == optimizer.get_config()
    assert int(again.optimizer.iterations) == 1
    for each in (model, again):
        each.train_on_batch(np.ones((2, 2)), np.zeros((2, 2)))
    np.testing.assert_array_equal(model.get_weights()[0], again.get_weights()[0])


def test_saved_names_are_found_before_anything_is_imported(monkeypatch):
    saved = keras.saving.serialize_keras_object(create_optimizer(0.1, 10, 2)[0])
    for name in ("optimizers", "schedules"):
        monkeypatch.delitem(sys.modules, f"keraform.training.{name}")
    for known in ("optimizers>AdamWeightDecay", "schedules>WarmUp"):
        monkeypatch.delitem(keras.saving.get_custom_objects(), f"keraform.training.{known}")
    found = keras.saving.deserialize_keras_object(saved)
    assert type(found).__module__ == "keraform.training.optimizers"
    assert type(found) is not AdamWeightDecay and type(found._learning_rate) is not WarmUp
