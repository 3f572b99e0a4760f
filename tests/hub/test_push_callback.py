"""Models go to the Hub beside their training; what fails there stops nothing."""

from __future__ import annotations

import json
import logging
import threading

import keras
import numpy as np
import pytest
from huggingface_hub import ModelCard

import keraform
from keraform.errors import KeraformError
from keraform.hub.push import Target
from keraform.runtime.tree import named_weights
from modeling import mini_bert
from modeling.battery import training_data

NAME = "somebody/tiny"
CARD = "README.md"


@pytest.fixture
def login(hub, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_writer")
    return hub


@pytest.fixture(scope="module")
def model():
    config = mini_bert.tiny_config(num_hidden_layers=1)
    made = mini_bert.TFBertForSequenceClassification(config)
    made.compile("sgd")
    return made


@pytest.fixture
def callback(login, model, tmp_path):
    return begun(model, tmp_path / "tiny")


def begun(model, folder, **arguments):
    made = keraform.PushToHubCallback(folder, **arguments)
    made.set_model(model)
    made.set_params({"epochs": 3, "steps": 2})
    made.on_train_begin()
    return made


def change(model):
    """The model is another one; returns its weights."""
    variable = model.trainable_variables[0]
    variable.assign(np.asarray(variable) + 1)
    return weights(model)


def weights(model):
    return [(each.key, np.asarray(each.variable).tobytes()) for each in named_weights(model)]


def pushed(source=NAME):
    return weights(mini_bert.TFBertForSequenceClassification.from_pretrained(source, strict=True))


def messages(hub):
    return list(hub.repos["model", NAME].messages.values())[1:]


def test_a_training_is_pushed_with_its_history(login, tmp_path):
    inputs, labels = training_data()
    config = mini_bert.tiny_config(num_hidden_layers=1)
    model = mini_bert.TFBertForSequenceClassification(config)
    model.compile("sgd", metrics=["accuracy"], run_eagerly=True)
    callback = keraform.PushToHubCallback(
        tmp_path / "tiny", checkpoint=True, dataset="rows", license="mit"
    )
    found = model.fit(inputs, labels, batch_size=8, epochs=2, verbose=0, callbacks=[callback])
    assert callback.failure is None and callback.hub_model_id == NAME
    assert pushed() == weights(model) == pushed(tmp_path / "tiny")
    files = login.files(NAME)
    card = ModelCard(files[CARD].decode())
    assert card.data.license == "mit" and "| 2 |" in card.text and "accuracy" in card.text
    assert format(found.history["loss"][1], ".4g") in card.text
    assert not [name for name in files if "push-" in name or "saving" in name]
    assert json.loads(files["checkpoint/training.json"]) == {"initial_epoch": 2}
    again = keras.saving.load_model(tmp_path / "tiny" / "checkpoint" / "model.keras")
    assert weights(again) == weights(model) and int(again.optimizer.iterations) == 2
    assert messages(login)[-1].startswith(("End of training", "Training in progress, epoch"))


def test_what_fails_is_tried_again(login, model, callback, caplog):
    login.fail("POST", "/commit/", status=500, times=99)
    first = change(model)
    callback.on_epoch_end(0, {"loss": 2.0})
    callback._upload.result()
    assert "status 500" in str(callback.failure) and not messages(login)
    assert pushed(callback.output_dir) == first
    login.failures.clear()
    second = change(model)
    callback.on_epoch_end(1, {"loss": 1.0})
    callback._upload.result()
    assert callback.failure is None and pushed() == second
    assert "epoch 1 was not pushed to somebody/tiny" in caplog.text
    login.fail("POST", "/commit/", status=500, times=99)
    last = change(model)
    with caplog.at_level(logging.ERROR):
        callback.on_train_end()
    assert "The end of the training is in" in caplog.text
    assert pushed(callback.output_dir) == last and pushed() == second


def test_uploads_run_beside_the_training(login, model, callback, monkeypatch):
    going, commit = threading.Event(), Target.commit

    def wait(self, folder, message, **kwargs):
        assert going.wait(30)
        return commit(self, folder, message, **kwargs)

    monkeypatch.setattr(Target, "commit", wait)
    first = change(model)
    callback.on_epoch_end(0, {"loss": 3.0})
    second = change(model)
    callback.on_epoch_end(1, {"loss": 2.0})
    assert not messages(login) and pushed(callback.output_dir) == second
    going.set()
    callback._upload.result()
    assert messages(login) == ["Training in progress, epoch 1"]
    assert pushed() == first, "the upload mixed what was saved later into it"
    assert "| 2 |" not in login.files(NAME)[CARD].decode()
    last = change(model)
    callback.on_train_end()
    assert messages(login)[1:] == ["End of training"]
    assert pushed() == last and "| 2 |" in login.files(NAME)[CARD].decode()
    assert not list(callback.output_dir.glob(".*"))


def test_every_few_steps(login, model, tmp_path):
    callback = begun(model, tmp_path / "tiny", save_strategy="steps", save_steps=3)
    for epoch in range(2):
        for batch in range(4):
            callback.on_train_batch_end(batch)
            if callback._upload is not None:
                callback._upload.result()
            change(model)
        callback.on_epoch_end(epoch, {})
    callback.on_train_end()
    steps = [f"Training in progress, step {step}" for step in (3, 6)]
    assert messages(login) == [*steps, "End of training"]


def test_a_card_of_somebody_stays(login, model, tmp_path):
    login.put(NAME, {CARD: b"---\ntags:\n- own\n---\n# Mine\n"})
    callback = begun(model, tmp_path / "tiny", save_strategy="no")
    callback.on_epoch_end(0, {"loss": 1.0})
    assert not messages(login)[1:]
    callback.on_train_end()
    assert pushed() == weights(model) and b"# Mine" in login.files(NAME)[CARD]


def test_a_tokenizer_goes_along(login, model, tmp_path):
    class Tokenizer:
        def save_pretrained(self, folder):
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "tokenizer.json").write_text("{}")

    callback = begun(model, tmp_path / "x", hub_model_id="tiny", tokenizer=Tokenizer())
    callback.on_train_end()
    assert login.files(NAME)["tokenizer.json"] == b"{}"


def test_refusals(hub, model, tmp_path, monkeypatch):
    make = keraform.PushToHubCallback
    with pytest.raises(KeraformError, match="a token that may write to tiny"):
        make(tmp_path / "tiny")
    monkeypatch.setenv("HF_TOKEN", "hf_writer")
    for arguments, words in (
        ({"save_strategy": "never"}, "'no', 'epoch', 'steps'"),
        ({"save_strategy": "steps"}, "save_steps=None"),
        ({"save_strategy": "no", "checkpoint": True}, 'save_strategy="epoch"'),
    ):
        with pytest.raises(KeraformError, match=words):
            make(tmp_path / "tiny", **arguments)
    callback = make(tmp_path / "tiny")
    callback.set_model(keras.Sequential())
    with pytest.raises(KeraformError, match="got: Sequential"):
        callback.on_train_begin()
