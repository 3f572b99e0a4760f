"""Losses against upstream's in float64."""

from __future__ import annotations

from types import SimpleNamespace

import keras
import numpy as np
import pytest
import torch
from keras import ops
from torch.overrides import TorchFunctionMode
from transformers.loss import loss_utils

from keraform.runtime.precision import lift_casts
from keraform.training import losses

RNG = np.random.default_rng(0)
B, Q, V = 3, 7, 5


class Lifted(TorchFunctionMode):
    """Keeps `.float()` and float32 at float64 in torch, as `lift_casts` does in Keras."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if kwargs.get("dtype") is torch.float32:
            kwargs["dtype"] = torch.float64
        func = torch.Tensor.double if func is torch.Tensor.float else func
        return func(*args, **kwargs)


@pytest.fixture(autouse=True)
def float64():
    if keras.backend.result_type("float64", float) != "float64":
        pytest.skip("Keras computes in float32 on JAX")


def compare(name, arguments, settings=None, reference=None):
    """Our loss and upstream's on the same arrays, both with casts lifted."""
    settings = settings or {}
    ours = {k: ops.convert_to_tensor(v) for k, v in arguments.items()}
    theirs = {k: torch.tensor(v) for k, v in arguments.items()}
    with lift_casts():
        found = getattr(losses, name)(**ours, **settings)
    with Lifted():
        wanted = getattr(loss_utils, reference or name)(**theirs, **settings)
    np.testing.assert_allclose(ops.convert_to_numpy(found), wanted.numpy(), rtol=1e-12, atol=1e-12)
    return found


def labels(shape=(B, Q), ignored=-100):
    made = RNG.integers(0, V, shape)
    made.reshape(-1)[1::3] = ignored
    return made


def logits(*shape):
    return RNG.normal(size=shape) * 3


@pytest.mark.parametrize("dtype", ["int64", "int32"])
@pytest.mark.parametrize("items", [None, 4])
@pytest.mark.parametrize("name", ["ForCausalLMLoss", "ForMaskedLMLoss"])
def test_language_modelling(name, items, dtype):
    settings = {"vocab_size": V, "num_items_in_batch": items}
    targets = labels().astype("int64")
    arguments = {"logits": logits(B, Q, V), "labels": targets}
    compare(name, arguments, settings)
    with lift_casts():
        ours = getattr(losses, name)(
            logits=ops.convert_to_tensor(arguments["logits"]),
            labels=ops.convert_to_tensor(targets.astype(dtype)),
            **settings,
        )
    assert keras.backend.standardize_dtype(ours.dtype) == "float64"


def test_shifted_labels_may_be_given():
    arguments = {"logits": logits(B, Q, V), "shift_labels": labels()}
    compare("ForCausalLMLoss", arguments, {"labels": None, "vocab_size": V})


@pytest.mark.parametrize(
    ("num_labels", "targets", "expected"),
    [
        (1, RNG.normal(size=(B, 1)), "regression"),
        (1, RNG.normal(size=(B,)), "regression"),
        (V, RNG.integers(0, V, (B,)), "single_label_classification"),
        (V, RNG.integers(0, 2, (B, V)).astype("float64"), "multi_label_classification"),
    ],
)
def test_sequence_classification(num_labels, targets, expected):
    config = SimpleNamespace(num_labels=num_labels, problem_type=None)
    arguments = {"labels": targets, "pooled_logits": logits(B, num_labels)}
    compare("ForSequenceClassificationLoss", arguments, {"config": config})
    assert config.problem_type == expected


def test_regression_over_several_labels():
    config = SimpleNamespace(num_labels=V, problem_type="regression")
    arguments = {"labels": logits(B, V), "pooled_logits": logits(B, V)}
    compare("ForSequenceClassificationLoss", arguments, {"config": config})


def test_token_classification():
    config = SimpleNamespace(num_labels=V)
    arguments = {"logits": logits(B, Q, V), "labels": labels()}
    compare("ForTokenClassification", arguments, {"config": config})


@pytest.mark.parametrize("shape", [(B,), (B, 1)])
def test_question_answering_leaves_out_positions_past_the_end(shape):
    arguments = {
        "start_logits": logits(B, Q),
        "end_logits": logits(B, Q),
        "start_positions": np.array([0, 3, 99]).reshape(shape),
        "end_positions": np.array([-4, 6, 7]).reshape(shape),
    }
    compare("ForQuestionAnsweringLoss", arguments)
    assert losses.ForQuestionAnsweringLoss(None, None, None, None) is None


def test_semantic_segmentation():
    targets = labels((B, 8, 6), ignored=255)
    arguments = {
        "logits": logits(B, V, 4, 3),
        "auxiliary_logits": logits(B, V, 2, 3),
        "labels": targets,
    }
    compare("ForSemanticSegmentationLoss", arguments)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_ctc(reduction):
    targets = np.array([[1, 2, 2, -100], [3, -100, 0, 1], [4, 1, -100, -100]])
    arguments = {
        "logits": logits(B, 9, V),
        "labels": targets,
        "logit_lengths": np.array([9, 8, 7]),
    }
    settings = {"blank_token_id": 0, "reduction": reduction}
    compare("ForCTCLoss", arguments, settings)


def test_a_batch_without_labels_gives_zero():
    nothing = ops.convert_to_tensor(np.full((B, Q), -100))
    values = ops.convert_to_tensor(logits(B, Q, V))
    assert float(losses.ForMaskedLMLoss(values, nothing, V)) == 0.0


def test_gradients_are_torchs():
    if keras.backend.backend() != "tensorflow":
        pytest.skip("GradientTape")
    import tensorflow as tf

    values, targets = logits(B, Q, V), labels()
    variable = tf.Variable(values)
    with lift_casts(), tf.GradientTape() as tape:
        loss = losses.ForCausalLMLoss(variable, tf.constant(targets), V)
    found = tape.gradient(loss, variable)
    leaf = torch.tensor(values, requires_grad=True)
    with Lifted():
        loss_utils.ForCausalLMLoss(leaf, torch.tensor(targets), V).backward()
    np.testing.assert_allclose(found.numpy(), leaf.grad.numpy(), atol=1e-14)


@pytest.mark.parametrize("jit", [False, True])
def test_graphs_with_unknown_sizes(jit):
    if keras.backend.backend() != "tensorflow":
        pytest.skip("tf.function")
    import tensorflow as tf

    run = tf.function(
        lambda x, y: losses.ForCausalLMLoss(x, y, V),
        jit_compile=jit,
        input_signature=[
            tf.TensorSpec((None, None, V), "float32"),
            tf.TensorSpec((None, None), "int64"),
        ],
    )
    for rows, length in ((3, 7), (1, 4)):
        values, targets = logits(rows, length, V).astype("float32"), labels((rows, length))
        wanted = loss_utils.ForCausalLMLoss(torch.tensor(values), torch.tensor(targets), V)
        np.testing.assert_allclose(run(values, targets).numpy(), wanted.numpy(), rtol=1e-6)


def test_table_and_names_are_upstreams():
    assert list(losses.LOSS_MAPPING) == list(loss_utils.LOSS_MAPPING)
    names = {
        "TFBertForMaskedLM": "ForMaskedLM",
        "TFRTDetrForObjectDetection": "RTDetrForObjectDetection",
        "TFDetrForObjectDetection": "ForObjectDetection",
        "TFWhisperForConditionalGeneration": "ForConditionalGeneration",
        "TFBertModel": None,
        "TFBertForNextSentencePrediction": None,
    }
    for name, wanted in names.items():
        assert losses.loss_type_for(name, None) == wanted
    assert losses.loss_function_for(None) is losses.ForCausalLMLoss


def test_errors_say_what_to_do():
    config = SimpleNamespace(num_labels=2, problem_type="guess")
    with pytest.raises(RuntimeError, match="got 'guess'"):
        losses.ForSequenceClassificationLoss(None, None, config)
