"""prepare_tf_dataset: the columns that a model takes, from wherever rows come, batch by batch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import datasets
import keras
import numpy as np
import pytest
import tensorflow as tf

import keraform
from keraform.errors import KeraformError
from modeling import mini_bert
from training.words import tiny_tokenizer

TOKENIZER = tiny_tokenizer()
COUNT = 20


@pytest.fixture(scope="module")
def model():
    config = mini_bert.tiny_config(num_hidden_layers=1)
    return mini_bert.TFBertForSequenceClassification(config)


def columns(count=COUNT):
    """Ids that say which row they are of, of different lengths, and columns that no model takes."""
    ids = [[1, row + 5, *[4] * (row % 5)] for row in range(count)]
    return {
        "text": ["some text"] * count,
        "input_ids": ids,
        "attention_mask": [[1] * len(row) for row in ids],
        "label": [row % 2 for row in range(count)],
    }


def even_columns():
    return {"input_ids": np.arange(5, 5 + 2 * COUNT).reshape(COUNT, 2), "labels": np.arange(COUNT)}


def rows_in(data):
    """The numbers of the rows, in the order in which they come."""
    found = []
    for x, _ in data:
        ids = x["input_ids"] if isinstance(x, dict) else x
        found += (ids.numpy()[:, 1] - 5).tolist()
    return found


def refused(function, *words):
    with pytest.raises(KeraformError) as error:
        function()
    for word in ("expected: ", "\ngot: ", "\ntry: ", *words):
        assert word in str(error.value), str(error.value)


def test_batches_of_a_dataset(model):
    data = datasets.Dataset.from_dict(columns())
    found = model.prepare_tf_dataset(data, 3, shuffle=False, tokenizer=TOKENIZER)
    assert found.cardinality() == 7 == len(list(found))
    x, y = next(iter(found))
    assert set(x) == {"input_ids", "attention_mask"}
    assert x["input_ids"].numpy().tolist() == [[1, 5, 0, 0], [1, 6, 4, 0], [1, 7, 4, 4]]
    assert x["attention_mask"].numpy().sum(axis=1).tolist() == [2, 3, 4]
    assert y.numpy().tolist() == [0, 1, 0] and y.dtype == tf.int64
    assert found.element_spec[0]["input_ids"].shape.as_list() == [None, None]
    assert rows_in(found) == list(range(COUNT))
    assert model.prepare_tf_dataset(data, 3, tokenizer=TOKENIZER).cardinality() == 6
    dropped = model.prepare_tf_dataset(data, 3, False, TOKENIZER, drop_remainder=True)
    assert dropped.cardinality() == 6 and dropped.element_spec[1].shape == (3,)


def test_each_epoch_has_an_order_of_its_own(model):
    data = datasets.Dataset.from_dict(columns())
    keras.utils.set_random_seed(3)
    found = model.prepare_tf_dataset(data, 4, tokenizer=TOKENIZER)
    one, two = rows_in(found), rows_in(found)
    assert sorted(one) == sorted(two) == list(range(COUNT)) and one != two
    keras.utils.set_random_seed(3)
    assert rows_in(model.prepare_tf_dataset(data, 4, tokenizer=TOKENIZER)) == one


def stream():
    for row in range(COUNT):
        yield {"input_ids": [1, row + 5], "labels": row, "text": "some"}


class Stream:
    """Something that can be iterated over again."""

    def __init__(self, start):
        self.start = start

    def __iter__(self):
        return self.start()


def lists():
    rows = list(stream())
    return {name: [row[name] for row in rows] for name in rows[0]}


INDEXED = {
    "lists": lists,
    "arrays": even_columns,
    "rows": lambda: list(stream()),
    "dataset": lambda: datasets.Dataset.from_list(list(stream())),
    "transformed": lambda: datasets.Dataset.from_dict({"n": range(COUNT)}).with_transform(
        lambda batch: {"input_ids": [[1, n + 5] for n in batch["n"]], "labels": batch["n"]}
    ),
}
STREAMS = {
    "iterable": lambda: Stream(stream),
    "iterable dataset": lambda: datasets.IterableDataset.from_generator(stream),
    "tf.data": lambda: tf.data.Dataset.from_generator(
        stream,
        output_signature={
            "input_ids": tf.TensorSpec([2], tf.int32),
            "labels": tf.TensorSpec([], tf.int32),
            "text": tf.TensorSpec([], tf.string),
        },
    ),
}


@pytest.mark.parametrize("name", [*INDEXED, *STREAMS])
def test_rows_come_from_anywhere(model, name):
    make = {**INDEXED, **STREAMS}[name]
    found = model.prepare_tf_dataset(make(), 8, shuffle=False)
    assert found.cardinality() == (3 if name in INDEXED else tf.data.UNKNOWN_CARDINALITY)
    x, y = zip(*found.as_numpy_iterator(), strict=True)
    assert [len(each) for each in y] == [8, 8, 4] and y[0].dtype == "int64"
    assert np.concatenate(y).tolist() == list(range(COUNT))
    if name != "arrays":
        assert np.concatenate(x)[:, 1].tolist() == list(range(5, COUNT + 5))
    shuffled = model.prepare_tf_dataset(make(), 10)
    orders = [np.concatenate([y for _, y in shuffled]).tolist() for _ in range(2)]
    assert orders[0] != orders[1] and sorted(orders[0]) == sorted(orders[1]) == list(range(COUNT))


def test_a_long_stream_is_shuffled_by_parts(model):
    numbers = Stream(lambda: iter({"input_ids": [1, 2], "labels": n} for n in range(3000)))
    order = np.concatenate([y for _, y in model.prepare_tf_dataset(numbers, 100)])
    assert sorted(order) == list(range(3000)) and order[:900].max() < 2000


def test_only_columns_of_the_model_are_read(model):
    class Column(list):
        def __getitem__(self, place):
            raise AssertionError("read although the model does not take it")

    data = {**even_columns(), "text": Column(["some"] * COUNT)}
    assert len(list(model.prepare_tf_dataset(data, 10))) == 2


def test_a_function_makes_inputs_of_other_columns(model):
    def collate(rows, offset):
        texts = [row["text"] for row in rows]
        return {
            "input_ids": np.array([[1, len(text) + offset] for text in texts]),
            "label": [0] * 2,
        }

    data = datasets.Dataset.from_dict({"text": ["one", "three"]})
    arguments = {"collate_fn": collate, "collate_fn_args": {"offset": 2}}
    x, y = next(iter(model.prepare_tf_dataset(data, 2, False, **arguments)))
    assert x.numpy().tolist() == [[1, 5], [1, 7]] and y.numpy().tolist() == [0, 0]


def test_labels_by_name_and_images_with_sizes():
    class Answers(mini_bert.TFBertModel):
        def call(self, pixel_values=None, start_positions=None, end_positions=None):
            return None

    answers = Answers(mini_bert.tiny_config(num_hidden_layers=1))
    answers.main_input_name = "pixel_values"
    images = np.zeros((4, 3, 8, 9))
    data = {"pixel_values": images, "start_positions": range(4), "end_positions": range(4)}
    x, y = answers.prepare_tf_dataset(data, 2).element_spec
    assert x.shape.as_list() == [2, 3, 8, 9] and x.dtype == tf.float32
    assert set(y) == {"start_positions", "end_positions"}
    assert answers.prepare_tf_dataset(images, 2).element_spec.shape == (2, 3, 8, 9)


def test_masked_language_models_mask_anew(model):
    masked = mini_bert.TFBertForMaskedLM(mini_bert.tiny_config(num_hidden_layers=1))
    collate = keraform.DataCollatorForLanguageModeling(TOKENIZER, mlm_probability=0.5, seed=0)
    data = datasets.Dataset.from_dict({"input_ids": [[1, *range(5, 15), 2]] * 8})
    found = masked.prepare_tf_dataset(data, 8, False, collate_fn=collate)
    one, two = (next(y.numpy() for _, y in found) for _ in range(2))
    assert one.shape == (8, 12) and (one == -100).any() and (one != two).any()
    offsets = {"offset_mapping": [[[n, n + 1] for n in range(12)]] * 8}
    words = datasets.Dataset.from_dict({**data[:], **offsets})
    collate = keraform.DataCollatorForWholeWordMask(TOKENIZER)
    x, _ = masked.prepare_tf_dataset(words, 8, collate_fn=collate).element_spec
    assert set(x) == {"input_ids", "attention_mask"}


def test_refusals(model):
    prepare = model.prepare_tf_dataset
    data = datasets.Dataset.from_dict(columns())
    takes = "TFBertForSequenceClassification takes: input_ids, attention_mask, token_type_ids"
    refused(lambda: prepare(data.select_columns(["text", "label"])), takes, "columns text, label")
    refused(lambda: prepare(data), "input_ids of lengths", "tokenizer=tokenizer")
    labels = data.remove_columns("label").add_column(
        "labels", [[1] * (n % 3) for n in range(COUNT)]
    )
    refused(
        lambda: prepare(labels, tokenizer=TOKENIZER),
        "labels of lengths",
        "DataCollatorForTokenClassification",
    )
    refused(lambda: prepare(datasets.DatasetDict(train=data)), "DatasetDict of train", "['train']")
    refused(lambda: prepare(stream()), "generator, which gives them once", "from_generator")
    refused(lambda: prepare(7), "got: int")
    refused(lambda: prepare(data.select([])), "at least one row")
    refused(lambda: prepare(even_columns(), 32), "batch of 32 rows", "20 rows", "batch_size")
    refused(lambda: prepare({"input_ids": [1], "labels": [1, 2]}), "input_ids of 1, labels of 2")
    refused(lambda: prepare([([1, 2], 0)]), "a row of type tuple")
    strings = {"input_ids": [["a"], ["b"]]}
    refused(lambda: prepare(strings, 2), "numbers in 'input_ids'")
    refused(lambda: prepare(data, collate_fn=lambda rows: {"x": [1]}), "columns x")


@pytest.mark.parametrize("eager", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_fit_takes_it(model, eager):
    """And what `to_tf_dataset` gives."""
    data = datasets.Dataset.from_dict(columns(12))
    train = model.prepare_tf_dataset(data, 6, tokenizer=TOKENIZER)
    collate = keraform.DataCollatorWithPadding(TOKENIZER)
    names = ["input_ids", "attention_mask"]
    valid = data.to_tf_dataset(8, columns=names, label_cols="labels", collate_fn=collate)
    model.compile("sgd", run_eagerly=eager)
    history = model.fit(train, epochs=2, validation_data=valid, verbose=0).history
    assert len(history["loss"]) == 2 and np.isfinite(history["val_loss"]).all()
    ours = model.prepare_tf_dataset(data, 8, shuffle=False, tokenizer=TOKENIZER)
    for (x, y), (a, b) in zip(ours, valid, strict=True):
        assert (y.numpy() == b.numpy()).all() and set(x) == set(a)
        assert all((x[name].numpy() == a[name].numpy()).all() for name in x)


@pytest.mark.slow
def test_fit_takes_it_on_jax(tmp_path):
    environment = {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    run("jax", tmp_path, environment)


@pytest.mark.slow
def test_a_large_dataset_stays_on_disk(tmp_path):
    """300 MB of rows, in any order, and not 60 MB more memory."""
    run("large", tmp_path, {})


def run(name, folder, environment):
    import os

    here = Path(__file__)
    path = os.pathsep.join([str(here.parent.parent), *filter(None, sys.path)])
    done = subprocess.run(
        [sys.executable, here.with_name("data_runs.py"), name, folder],
        env={**os.environ, "PYTHONPATH": path, **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.endswith("passed\n")
