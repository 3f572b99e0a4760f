"""Training beyond one device equals training on one; each case is a process of its own."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import torch
from transformers import BertConfig, LlamaConfig

from keraform.errors import KeraformError
from keraform.modeling import layout_map
from keraform.runtime import layers

ROOM = Path(__file__).parent
RELEASE, EXACT = 1e-6, 1e-9  # float32, float64


def start(script, *args, **environment):
    paths = os.pathsep.join(path for path in sys.path if path)
    return subprocess.Popen(
        [sys.executable, str(ROOM / script), *map(str, args)],
        env={**os.environ, "PYTHONPATH": paths, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def end(process, seconds=300):
    try:
        output, errors = process.communicate(timeout=seconds)
    finally:
        process.kill()
    assert process.returncode == 0, errors[-3000:]
    return json.loads(output.splitlines()[-1])


def two_workers(folder, **environment):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    workers = [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]
    for each in sockets:
        each.close()
    cluster = {"cluster": {"worker": workers}}
    tasks = [{**cluster, "task": {"type": "worker", "index": index}} for index in range(2)]
    return [
        start("workers.py", folder, index, TF_CONFIG=json.dumps(task), **environment)
        for index, task in enumerate(tasks)
    ]


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory):
    from keraform import TFBertForSequenceClassification

    config = BertConfig(
        vocab_size=64,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=4,
        intermediate_size=24,
        max_position_embeddings=17,
        hidden_dropout_prob=0,
        attention_probs_dropout_prob=0,
        num_labels=3,
    )
    folder = tmp_path_factory.mktemp("tiny-bert")
    TFBertForSequenceClassification.from_config(config).save_pretrained(folder)
    return folder


def test_adam_moves_a_repeated_token_as_torch_does():
    ids, target = np.array([[1, 1, 2]]), np.array([[[1.0, 1], [2, -1], [3, 1]]], "float32")
    ours, theirs = layers.Embedding(5, 2), torch.nn.Embedding(5, 2)
    ours.embeddings.assign(theirs.weight.detach().numpy())
    model = keras.Sequential([ours])
    model.compile(keras.optimizers.Adam(0.1, epsilon=1e-4), loss=lambda y, x: keras.ops.sum(x * y))
    # torch adds its epsilon to a root that is larger by sqrt(1 - beta_2)
    optimizer = torch.optim.Adam(theirs.parameters(), 0.1, eps=1e-4 / 0.001**0.5)
    model.train_on_batch(ids, target)
    (theirs(torch.from_numpy(ids)) * torch.from_numpy(target)).sum().backward()
    optimizer.step()
    np.testing.assert_allclose(ours.embeddings, theirs.weight.detach().numpy(), atol=1e-5)


def compare(found, case, limit):
    assert found[case]["losses"] < max(limit, RELEASE)  # Keras keeps what it reports in float32
    assert found[case]["predictions and weights"] < limit
    assert found[case]["kinds"] == ["MirroredVariable"]


@pytest.mark.slow
def test_two_replicas_are_as_one(tmp_path):
    found = end(start("replicas.py", tmp_path, "float64"))
    compare(found, "float64", EXACT)
    assert "expected: jit_compile=False for 2 replicas" in found["jit_compile"]


@pytest.mark.slow
@pytest.mark.parametrize("case", ["own loss", "Keras loss", "weights", "tokens", "numbers"])
def test_two_replicas_are_as_one_with_any_loss(tmp_path, case):
    found = end(start("replicas.py", tmp_path, case))
    # a causal loss is computed in float32 in any model, as upstream
    compare(found, case, EXACT if case == "numbers" else RELEASE)


@pytest.mark.slow
def test_replicas_draw_dropout(tmp_path):
    found = end(start("replicas.py", tmp_path, "dropout"))
    assert 0 < found["dropout"]["losses"] < 1  # other numbers than one device draws


@pytest.mark.slow
def test_two_workers_are_as_one(tiny_bert):
    found, same = (end(worker) for worker in two_workers(tiny_bert))
    single = end(start("workers.py", tiny_bert, 0))
    assert found.pop("kind") == "MirroredVariable" != single.pop("kind")
    assert found["history"] == same["history"] and found["weights"] == same["weights"]
    for key, metric in single.pop("history").items():
        np.testing.assert_allclose(found["history"][key], metric, rtol=RELEASE)
    for key, value in single.items():
        np.testing.assert_allclose(found[key], value, rtol=RELEASE, atol=RELEASE)


@pytest.mark.slow
def test_a_worker_that_dies_ends_the_others(tiny_bert):
    first, second = two_workers(tiny_bert, DIE="1")
    try:
        _, errors = first.communicate(timeout=240)
        second.communicate(timeout=60)
        assert second.returncode == 9
    finally:
        first.kill()
        second.kill()
    assert first.returncode == 1
    assert "unhealthy" in errors and "/job:worker/replica:0/task:1" in errors


@pytest.mark.slow
def test_eight_devices_of_jax_are_as_one(tiny_bert):
    eight = "--xla_force_host_platform_device_count=8"
    environment = {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "XLA_FLAGS": eight}
    found = end(start("devices.py", tiny_bert, **environment))
    assert found["data"] < RELEASE and found["model"] < RELEASE and found["saved"] == 0
    block = "bert/encoder/layer/0"
    parts = {
        f"{block}/attention/self/query/kernel": [16, 4],
        f"{block}/attention/self/query/bias": [4],
        f"{block}/attention/output/dense/kernel": [4, 16],
        f"{block}/intermediate/dense/kernel": [16, 6],
        f"{block}/output/dense/kernel": [6, 16],
        "bert/embeddings/word_embeddings/embeddings": [16, 16],
        f"{block}/output/LayerNorm/gamma": [16],
    }
    for path, shape in parts.items():
        assert found["shards"][path] == [shape] * 8, path
        assert found["fresh"][path] == shape
    moments = [shape for path, shape in found["optimizer"].items() if "self_query_kernel_" in path]
    assert moments == [[16, 4], [16, 4]]


class Mesh:
    """What a layout map asks of a mesh; TensorFlow has no devices for one."""

    def __init__(self, devices, axis="model"):
        self.shape, self.axis_names = (1, devices), ("batch", axis)


def test_a_layout_map_goes_by_what_layers_are():
    from keraform import TFLlamaForCausalLM

    config = LlamaConfig(
        vocab_size=64,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=40,
    )
    found = layout_map(TFLlamaForCausalLM, config, Mesh(4))
    outputs, inputs = (None, "model"), ("model", None)
    block = "[^/]+/model/layers/[0-9]+"
    assert {pattern: found[pattern].axes for pattern in found} == {
        "[^/]+/model/embed_tokens/embeddings": inputs,
        f"{block}/self_attn/q_proj/kernel": outputs,
        f"{block}/self_attn/k_proj/kernel": outputs,
        f"{block}/self_attn/v_proj/kernel": outputs,
        f"{block}/self_attn/o_proj/kernel": inputs,
        f"{block}/mlp/gate_proj/kernel": outputs,
        f"{block}/mlp/up_proj/kernel": outputs,
        f"{block}/mlp/down_proj/kernel": inputs,
        "[^/]+/lm_head/kernel": outputs,
    }
    assert found["tf_llama/model/layers/1/mlp/up_proj/kernel"].axes == outputs
    with pytest.raises(KeraformError, match="that 3 devices can share"):
        layout_map(TFLlamaForCausalLM, config, Mesh(3))
    with pytest.raises(KeraformError, match='a mesh with an axis "model"'):
        layout_map(TFLlamaForCausalLM, config, Mesh(4, "other"))
