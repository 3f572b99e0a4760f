"""`generate` in graphs and SavedModels: open shapes, plain TensorFlow, XLA, LiteRT."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest
import tensorflow as tf
from transformers import LlamaConfig, T5Config

import keraform

NEW = 5
SPECIAL = {"vocab_size": 61, "pad_token_id": 0, "eos_token_id": 5}
# Keras warns of T5's first token, which attends to itself alone
one_key = pytest.mark.filterwarnings("ignore:You are using a softmax over axis -1")
PROMPTS = ((2, 6), (3, 4), (1, 9))  # batch, length


def llama():
    keraform_config = LlamaConfig(
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        bos_token_id=1,
        **SPECIAL,
    )
    return randomised(keraform.TFLlamaForCausalLM(keraform_config))


def t5():
    config = T5Config(
        d_model=16,
        d_kv=4,
        d_ff=24,
        num_layers=2,
        num_heads=4,
        decoder_start_token_id=0,
        **SPECIAL,
    )
    return randomised(keraform.TFT5ForConditionalGeneration(config))


def randomised(model):
    rng = np.random.default_rng(0)
    for variable in model.variables:
        variable.assign(variable.numpy() + 0.2 * rng.normal(size=variable.shape))
    return model


def prompt(batch, length, left=True):
    rng = np.random.default_rng(length)
    ids = rng.integers(6, SPECIAL["vocab_size"], (batch, length))
    mask = np.ones_like(ids)
    if batch > 1:
        mask[1, slice(0, 2) if left else slice(-2, None)] = 0
    return {"input_ids": ids * mask, "attention_mask": mask}


def tensors(inputs, dtype="int64"):
    return {name: tf.constant(value, dtype) for name, value in inputs.items()}


@pytest.fixture(scope="module")
def model():
    return llama()


@pytest.fixture(scope="module")
def saved(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("export") / "greedy"
    model.export_generate(path, max_new_tokens=NEW, do_sample=False, verbose=False)
    return path


def test_a_saved_model_takes_every_batch_and_length(model, saved):
    served = tf.saved_model.load(str(saved))
    for size in PROMPTS:
        inputs = prompt(*size)
        found = served.serve(tensors(inputs))["sequences"].numpy()
        assert found.dtype == "int32"
        wanted = model.generate(inputs, max_new_tokens=NEW, do_sample=False, disable_compile=True)
        np.testing.assert_array_equal(found, wanted.numpy())


def test_weights_are_saved_once(model, saved):
    (data,) = (saved / "variables").glob("variables.data*")
    weights = sum(variable.numpy().nbytes for variable in model.variables)
    assert weights < data.stat().st_size < 1.5 * weights + 50_000
    assert (saved / "saved_model.pb").stat().st_size < 2_000_000


def test_a_graph_of_static_shape_returns_the_same(model):
    inputs = prompt(2, 6)
    wanted = model.generate(inputs, max_new_tokens=NEW, do_sample=False, disable_compile=True)
    graph = tf.function(lambda **given: model.generate(**given, max_new_tokens=NEW))
    np.testing.assert_array_equal(graph(**tensors(inputs)).numpy(), wanted.numpy())


def test_what_needs_python_at_each_token_is_refused_in_a_graph(model):
    @tf.function
    def graph(ids):
        return model.generate(
            ids, max_new_tokens=NEW, return_dict_in_generate=True, output_scores=True
        )

    with pytest.raises(NotImplementedError, match="outside of a graph"):
        graph(tf.ones((1, 3), "int64"))


def test_sampling_in_a_graph_needs_a_seed(model):
    graph = tf.function(lambda ids: model.generate(ids, max_new_tokens=NEW, do_sample=True))
    with pytest.raises(ValueError, match="seed=seed_tensor"):
        graph(tf.ones((1, 3), "int64"))


SERVER = """
    import sys
    import numpy as np
    import tensorflow as tf

    path, given, found = sys.argv[1:]
    inputs = {name: tf.constant(value) for name, value in np.load(given).items()}
    served = tf.saved_model.load(path)
    np.save(found, served.serve(inputs)["sequences"].numpy())
    assert not {"keraform", "transformers"} & set(sys.modules)
"""


def served_elsewhere(path, inputs):
    """What a process of plain TensorFlow gives."""
    given, found = path.parent / "given.npz", path.parent / "found.npy"
    np.savez(given, **inputs)
    command = [sys.executable, "-c", textwrap.dedent(SERVER), path, given, found]
    subprocess.run([str(each) for each in command], check=True, capture_output=True)
    return np.load(found)


@one_key
@pytest.mark.slow
@pytest.mark.parametrize("make", [llama, t5])
def test_plain_tensorflow_serves_and_samples(make, tmp_path):
    model = make()
    options = {"max_new_tokens": NEW, "do_sample": True, "temperature": 0.7, "top_k": 20}
    model.export_generate(tmp_path / "saved", verbose=False, **options)
    for seed in (1, 2):
        inputs = {**prompt(3, 7, left=make is llama), "seed": np.array([seed, 0], "int32")}
        wanted = model.generate(**inputs, **options, disable_compile=True).numpy()
        np.testing.assert_array_equal(served_elsewhere(tmp_path / "saved", inputs), wanted)


@one_key
@pytest.mark.slow
@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("make", [llama, t5])
def test_the_way_of_version_4(make, jit_compile, tmp_path):
    module = tf.Module()
    module.model = make()
    spec = tf.TensorSpec((None, None), tf.int32)
    module.serve = tf.function(
        lambda ids, mask: module.model.generate(ids, attention_mask=mask, max_new_tokens=NEW),
        jit_compile=jit_compile,
        input_signature=[spec, spec],
    )
    tf.saved_model.save(module, str(tmp_path), signatures={"serving_default": module.serve})
    served = tf.saved_model.load(str(tmp_path))
    for size in PROMPTS:
        inputs = prompt(*size, left=make is llama)
        wanted = module.model.generate(inputs, max_new_tokens=NEW, disable_compile=True).numpy()
        found = served.serve(*tensors(inputs, "int32").values()).numpy()
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated")
@pytest.mark.slow
def test_litert_runs_a_small_decoder(model, tmp_path):
    inputs = prompt(1, 6)
    options = {"max_new_tokens": NEW, "do_sample": False}
    fixed = {"input_ids": keras.InputSpec(shape=(1, 6), dtype="int32")}
    model.export_generate(tmp_path, fixed, verbose=False, **options)
    converter = tf.lite.TFLiteConverter.from_saved_model(str(tmp_path))
    converter.experimental_enable_resource_variables = False  # weights as constants
    interpreter = tf.lite.Interpreter(model_content=converter.convert())
    interpreter.allocate_tensors()
    (given,), (found,) = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.set_tensor(given["index"], inputs["input_ids"].astype("int32"))
    interpreter.invoke()
    wanted = model.generate(inputs, **options, disable_compile=True)
    np.testing.assert_array_equal(interpreter.get_tensor(found["index"]), wanted.numpy())
