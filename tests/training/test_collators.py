"""Collators give NumPy arrays: padded, masked, and the same as Transformers' give with torch."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

import keraform
from keraform.auto.registry import TRAINING
from keraform.errors import KeraformError
from training.words import tiny_tokenizer

upstream = importlib.import_module("transformers.data.data_collator")
TOKENIZER = tiny_tokenizer()
ROWS = [{"input_ids": [1, 7, 2]}, {"input_ids": [1, 7, 8, 9, 2]}]


def labelled(*labels):
    return [{**row, "labels": label} for row, label in zip(ROWS, labels, strict=True)]


CHOICES = [
    {"input_ids": [[1, 7, 2], [1, 2]], "attention_mask": [[1, 1, 1], [1, 1]], "label": 1},
    {"input_ids": [[1, 7, 8, 2], [1, 9, 2]], "attention_mask": [[1] * 4, [1] * 3], "label": 0},
]
CASES = {
    "DefaultDataCollator": [{"x": [1.5, 2.0], "label": 3}, {"x": [0.0, 1.0], "label": 4}],
    "DataCollatorWithPadding": [{**row, "label": 1} for row in ROWS],
    "DataCollatorForTokenClassification": labelled([-100, 1, -100], [-100, 0, 1, 2, -100]),
    "DataCollatorForSeq2Seq": labelled([4, 5], [6, 7, 8]),
    "DataCollatorForMultipleChoice": CHOICES,
}


def collator(name, **arguments):
    if name != "DefaultDataCollator":
        arguments = {"tokenizer": TOKENIZER, **arguments}
    return getattr(keraform, name)(**arguments)


@pytest.mark.parametrize("name", CASES)
def test_as_transformers_with_torch(name):
    found = collator(name)(CASES[name])
    theirs = getattr(upstream, name)
    wanted = theirs() if name == "DefaultDataCollator" else theirs(TOKENIZER)
    wanted = wanted(CASES[name])
    assert list(found) == list(wanted)
    for key, value in wanted.items():
        assert type(found[key]) is np.ndarray
        np.testing.assert_array_equal(found[key], value.numpy())
    assert found["labels"].dtype == "int64"


@pytest.mark.parametrize("side", ["left", "right"])
def test_every_side_and_multiple(side):
    tokenizer = tiny_tokenizer(padding_side=side)
    make = keraform.DataCollatorForTokenClassification(tokenizer, pad_to_multiple_of=4)
    found = make(CASES["DataCollatorForTokenClassification"])
    assert found["input_ids"].shape == found["labels"].shape == (2, 8)
    kept = found["labels"][0, :3] if side == "right" else found["labels"][0, -3:]
    assert kept.tolist() == [-100, 1, -100]
    assert (found["labels"] == -100).sum() == 16 - 4


def test_tf_is_known():
    import tensorflow as tf

    for found in (
        collator("DataCollatorWithPadding", return_tensors="tf")(ROWS),
        collator("DataCollatorForSeq2Seq")(CASES["DataCollatorForSeq2Seq"], return_tensors="tf"),
        keraform.default_data_collator(CASES["DefaultDataCollator"], return_tensors="tf"),
    ):
        assert all(isinstance(value, tf.Tensor) for value in found.values())


def test_choices_without_labels():
    rows = [{k: v for k, v in row.items() if k != "label"} for row in CHOICES]
    found = collator("DataCollatorForMultipleChoice")(rows)
    assert {name: value.shape for name, value in found.items()} == {
        "input_ids": (2, 2, 4),
        "attention_mask": (2, 2, 4),
    }


def test_sequences_to_sequences():
    class Shifting:
        def prepare_decoder_input_ids_from_labels(self, labels):
            return np.roll(labels, 1, axis=1)

    found = collator("DataCollatorForSeq2Seq", model=Shifting())(CASES["DataCollatorForSeq2Seq"])
    assert found["decoder_input_ids"].tolist() == [[-100, 4, 5], [8, 6, 7]]
    assert "labels" not in collator("DataCollatorForSeq2Seq")(ROWS)


def long_rows(count=40, length=100):
    rng = np.random.default_rng(0)
    ids = rng.integers(5, 31, (count, length))
    ids[:, 0], ids[:, -1] = 1, 2
    return [{"input_ids": row.tolist()} for row in ids]


def test_a_masked_language_model_predicts_15_percent():
    rows = long_rows()
    found = collator("DataCollatorForLanguageModeling", seed=1)(rows)
    before = np.array([row["input_ids"] for row in rows])
    chosen = found["labels"] != -100
    assert 0.13 < chosen.mean() < 0.17 and not chosen[:, [0, -1]].any()
    np.testing.assert_array_equal(found["labels"][chosen], before[chosen])
    np.testing.assert_array_equal(found["input_ids"][~chosen], before[~chosen])
    masked = (found["input_ids"] == 3)[chosen].mean()
    kept = (found["input_ids"] == before)[chosen].mean()
    assert 0.75 < masked < 0.85 and 0.05 < kept < 0.15
    again = collator("DataCollatorForLanguageModeling", seed=1)
    np.testing.assert_array_equal(again(rows)["input_ids"], found["input_ids"])
    assert (again(rows)["input_ids"] != found["input_ids"]).any()
    causal = collator("DataCollatorForLanguageModeling", mlm=False)(ROWS)
    assert causal["labels"].tolist() == [[1, 7, 2, -100, -100], [1, 7, 8, 9, 2]]


@pytest.mark.parametrize("side", ["left", "right"])
def test_whole_words_are_masked(side):
    texts = ["abc de fghij k"] * 30 + ["abc"] * 2
    rows = TOKENIZER(texts, return_offsets_mapping=True, return_special_tokens_mask=True)
    rows = [{name: rows[name][n] for name in rows} for n in range(len(texts))]
    make = keraform.DataCollatorForWholeWordMask(
        tiny_tokenizer(padding_side=side), seed=0, mlm_probability=0.4, pad_to_multiple_of=4
    )
    found = make(rows)
    assert "offset_mapping" not in found and found["input_ids"].shape == (32, 16)
    found = {k: v[:, -13:] if side == "left" else v[:, :13] for k, v in found.items()}
    assert (found["input_ids"][30:] == 0).sum() > 14
    masked = found["input_ids"] == 3
    words = [[1, 2, 3], [4, 5], [6, 7, 8, 9, 10], [11]]
    for word in words:
        assert (masked[:30, word].all(axis=1) == masked[:30, word].any(axis=1)).all()
    assert 0.2 < masked[:30, 1].mean() < 0.6 and not masked[:, [0, -1]].any()
    with pytest.raises(KeraformError, match="return_offsets_mapping=True"):
        make(ROWS)


def test_permutations():
    found = collator("DataCollatorForPermutationLanguageModeling")(long_rows(2, 10))
    assert found["perm_mask"].shape == (2, 10, 10) and found["labels"].shape == (2, 10)


def test_all_names_are_public():
    for name in TRAINING:
        assert getattr(keraform, name).__module__.startswith("keraform.training.")
    assert set(TRAINING) <= set(dir(keraform))
