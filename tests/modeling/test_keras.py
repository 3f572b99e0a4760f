"""The base classes keep KERAS3.md's points, on TensorFlow and (in its own process) on JAX."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from keraform.modeling import unpack_inputs
from keraform.runtime.layers import Layer
from modeling import battery, mini_bert


@pytest.mark.parametrize("function", battery.BATTERY, ids=lambda function: function.__name__)
def test_on_tensorflow(function):
    function()


# of the battery, what takes longest to compile on JAX
LONG_ON_JAX = {
    "point_7_the_models_own_loss_takes_weights_as_keras_does",
    "point_7_metrics_compare_what_a_shifting_loss_compares",
    "point_7_heads_of_two_outputs",
}
NAMES = [function.__name__ for function in battery.BATTERY]


@pytest.mark.parametrize(
    "names",
    [
        [name for name in NAMES if name not in LONG_ON_JAX],
        pytest.param([name for name in NAMES if name in LONG_ON_JAX], marks=pytest.mark.slow),
    ],
    ids=["most", "long"],
)
def test_on_jax(names):
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    # compile quickly rather than well
    environment["XLA_FLAGS"] = "--xla_backend_optimization_level=0"
    environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run(
        [sys.executable, battery.__file__, *names],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("passed") == len(names)


def test_point_10_export_has_a_signature(tmp_path):
    import tensorflow as tf

    model = battery.classifier()
    model.export(tmp_path / "saved", verbose=False)
    served = tf.saved_model.load(str(tmp_path / "saved"))
    inputs = mini_bert.tiny_inputs(batch=3, length=5)
    inputs["token_type_ids"] = inputs["input_ids"] * 0
    found = served.serve({name: tf.constant(value) for name, value in inputs.items()})
    assert set(found) == {"logits"}
    assert abs(found["logits"].numpy() - battery.array(model(inputs).logits)).max() < 1e-5


@pytest.mark.slow
def test_models_inside_and_outputs_inside_are_exported(tmp_path):
    import tensorflow as tf
    from transformers import CLIPConfig

    import keraform

    part = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1}
    part["num_attention_heads"] = 4
    text = {**part, "vocab_size": 99, "eos_token_id": 98, "bos_token_id": 97, "pad_token_id": 1}
    image = {**part, "image_size": 30, "patch_size": 10}
    config = CLIPConfig(text_config=text, vision_config=image, projection_dim=16)
    model = keraform.TFCLIPModel(config)
    config.text_config.output_hidden_states = True
    model.export(tmp_path / "saved", verbose=False)
    served = tf.saved_model.load(str(tmp_path / "saved"))
    inputs = model.dummy_inputs
    found = served.serve({name: tf.constant(value) for name, value in inputs.items()})
    wanted = model(inputs)
    for name, value in (
        ("logits_per_text", wanted.logits_per_text),
        ("text_model_output.pooler_output", wanted.text_model_output.pooler_output),
        ("text_model_output.hidden_states.1", wanted.text_model_output.hidden_states[1]),
    ):
        assert abs(found[name].numpy() - battery.array(value)).max() < 1e-5


def test_point_11_nothing_depends_on_autograph():
    import tensorflow as tf

    model = battery.classifier()

    @tf.function(autograph=False, input_signature=[tf.TensorSpec((None, None), tf.int64)])
    def run(ids):
        return model(ids).logits

    for length in (4, 6):
        ids = mini_bert.tiny_inputs(length=length)["input_ids"]
        assert abs(run(ids).numpy() - battery.array(model(ids).logits)).max() < 1e-5


def test_wrappers_delegate_to_the_main_layer():
    model = mini_bert.TFBertModel(mini_bert.tiny_config())
    assert model.embeddings is model.bert.embeddings
    assert model._private_of_model() == "private"
    assert model.get_input_embeddings() is model.bert.embeddings.word_embeddings
    assert model.base_model is model.bert
    for name in ("nothing", "_nothing"):
        with pytest.raises(AttributeError, match=f"'TFBertModel' object has no attribute '{name}'"):
            getattr(model, name)


def test_errors_name_what_was_expected():
    model = battery.classifier()
    inputs = mini_bert.tiny_inputs()
    with pytest.raises(TypeError, match="input_ids both inside the inputs and as a keyword"):
        model(inputs, input_ids=inputs["input_ids"])
    with pytest.raises(TypeError, match="first argument of TFBertModel"):
        mini_bert.TFBertModel({"hidden_size": 12})
    with pytest.raises(ValueError, match="attn_implementation='flash_attention_2' for bert"):
        mini_bert.TFBertModel(mini_bert.tiny_config(attn_implementation="flash_attention_2"))


def test_point_6_layouts_find_weights(tmp_path):
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    environment["XLA_FLAGS"] = "--xla_force_host_platform_device_count=2"
    environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    script = Path(battery.__file__).with_name("layouts.py")
    done = subprocess.run(
        [sys.executable, script, tmp_path], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("sharded") == 3


def test_a_mapping_of_other_names_than_the_inputs_is_one_input():
    class Reader(Layer):
        @unpack_inputs
        def call(self, inputs=None, mask=None, **kwargs):
            return inputs, mask

    parts = {"image": "a", "audio": "b"}
    assert Reader().call(inputs=parts, mask="c") == (parts, "c")
    assert Reader().call(inputs={"inputs": "a", "mask": "c"}) == ("a", "c")
