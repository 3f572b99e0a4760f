"""Model cards say what was measured, as the Hub reads it, and overwrite nobody's words."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from huggingface_hub import ModelCard
from transformers import modelcard
from transformers.models.auto import modeling_auto

from keraform.errors import KeraformError
from keraform.hub.card import TASKS, TrainingRun, batch_size
from modeling import mini_bert


@pytest.fixture(scope="module")
def trained():
    model = mini_bert.TFBertForSequenceClassification(
        mini_bert.tiny_config(num_labels=2, num_hidden_layers=1)
    )
    model.compile(
        keras.optimizers.AdamW(2e-4, weight_decay=0.01),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        run_eagerly=True,
    )
    inputs, labels = mini_bert.tiny_inputs(batch=4), np.array([0, 1, 1, 0])
    model.fit(inputs, labels, epochs=2, batch_size=4, validation_data=(inputs, labels), verbose=0)
    return model


def written(model, folder, *words, **options):
    model.create_model_card(folder, *words, **options)
    return ModelCard.load(folder / "README.md")


def test_every_number_is_of_the_history(trained, tmp_path):
    found = written(trained, tmp_path, "tiny", dataset="Two rows", dataset_tags="x/two-rows")
    history = trained.history.history
    names = list(history)
    assert f"| epoch | {' | '.join(names)} |" in found.text
    for row in range(2):
        values = " | ".join(format(history[name][row], ".4g") for name in names)
        assert f"| {row + 1} | {values} |" in found.text
    for line in ("optimizer: AdamW", "learning_rate: 0.0002", "weight_decay: 0.01"):
        assert f"- {line}\n" in found.text
    for line in (
        "batch_size: 4",
        "planned_epochs: 2",
        "steps_per_epoch: 1",
        "dtype_policy: float32",
    ):
        assert f"- {line}\n" in found.text
    assert "ema" not in found.text
    assert [
        (each.metric_type, each.metric_value, each.dataset_type, each.task_type)
        for each in found.data.eval_results
    ] == [
        (name, history[f"val_{name}"][-1], "x/two-rows", "text-classification")
        for name in ("accuracy", "loss")
    ]
    assert found.data.pipeline_tag == "text-classification"
    assert found.data.tags == ["keraform"] and found.data.library_name == "transformers"


def test_what_is_not_known_is_not_there(trained, tmp_path):
    found = written(trained, tmp_path, "tiny")  # on what it was validated, nobody said
    assert found.data.eval_results is None and found.data.datasets is None
    new = mini_bert.TFBertForSequenceClassification(mini_bert.tiny_config())
    assert TrainingRun.of(new) is None
    found = written(new, tmp_path, "tiny", overwrite=True)
    assert "Training" not in found.text and "None" not in found.content
    assert "|" not in found.text and "more information" not in found.text.lower()


def test_metadata(trained, tmp_path):
    options = {"language": "en", "license": "apache-2.0", "tags": "demo"}
    found = written(trained, tmp_path, "tiny", finetuned_from="a/b", **options)
    assert found.data.base_model == "a/b" and "`a/b`" in found.text
    assert (found.data.language, found.data.license) == ("en", "apache-2.0")
    assert found.data.tags == ["keraform", "demo"]


def test_a_card_that_is_there_stays(trained, tmp_path):
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(KeraformError, match=r"overwrite=True"):
        trained.create_model_card(tmp_path, "tiny")
    assert (tmp_path / "README.md").read_text() == "mine"


def test_the_history_goes_to_the_hub_with_its_picture(trained, hub):
    hub.put("a/b", {"config.json": b"{}"})
    trained.push_to_hub("somebody/tiny", token="hf_writer", tags=["demo"])
    files = hub.files("somebody/tiny")
    found = ModelCard(files["README.md"].decode())
    assert "![Every value by epoch](training.png)" in found.text
    assert files["training.png"].startswith(b"\x89PNG")
    assert found.data.tags == ["keraform", "demo"]


def test_the_card_names_where_the_model_is_from(hub, tmp_path):
    model = mini_bert.TFBertModel(mini_bert.tiny_config())
    model.push_to_hub("somebody/base", token="hf_writer")
    again = mini_bert.TFBertModel.from_pretrained("somebody/base")
    assert written(again, tmp_path / "a", "tiny").data.base_model == "somebody/base"
    again.save_pretrained(tmp_path / "b")
    local = mini_bert.TFBertModel.from_pretrained(tmp_path / "b")
    assert written(local, tmp_path / "c", "tiny").data.base_model is None


def test_batch_sizes_that_are_known():
    dataset = tf.data.Dataset.from_tensor_slices({"x": np.zeros((6, 2))})
    assert batch_size(dataset.batch(3, drop_remainder=True), None) == 3
    assert batch_size(dataset.batch(3), None) is None
    assert batch_size({"x": np.zeros((6, 2))}, 4) == 4
    assert batch_size({"x": np.zeros((6, 2))}, None) is None


def test_tasks_are_those_of_transformers():
    tables = {task: getattr(modeling_auto, name) for task, name in TASKS.items()}
    assert tables.keys() == modelcard.TASK_MAPPING.keys()
    for task, table in tables.items():
        assert table.items() <= modelcard.TASK_MAPPING[task].items(), task
