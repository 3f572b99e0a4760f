"""Contrastive search chooses what Transformers 4.57.6 chose; see `record_contrastive.py`."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import keraform
from generation.contrastive_models import write

RECORD = json.loads((Path(__file__).parent / "contrastive.json").read_text())
CASES = RECORD["found"]
OPTIONS = {"penalty_alpha": 0.6, "top_k": 4, "max_new_tokens": 4, "disable_compile": True}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    @cache
    def load(name: str) -> Any:
        folder = tmp_path_factory.mktemp(name)
        write(name, folder)
        return getattr(keraform, f"TF{name}").from_pretrained(folder)

    return load


def assert_as_recorded(model: Any, case: Any, new: int, **more: Any) -> None:
    prompt = np.array(RECORD["prompt"])
    found = model.generate(prompt, max_new_tokens=new, **case["options"], **more)
    begun = 1 if model.config.is_encoder_decoder else prompt.shape[1]
    assert found.numpy().tolist() == [row[: begun + new] for row in case["tokens"]]


@pytest.mark.parametrize("number", [1, pytest.param(9, marks=pytest.mark.slow)])
def test_begins_as_recorded(models, number):
    case = CASES[number]
    assert_as_recorded(models(case["class"]), case, 5, disable_compile=True)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=range(len(CASES)))
@pytest.mark.parametrize("more", [{"disable_compile": True}, {}], ids=["eager", "compiled"])
def test_as_recorded(models, case, more):
    assert_as_recorded(models(case["class"]), case, 16, **more)


def test_padding_is_no_context(models):
    model = models("GPT2LMHeadModel")
    ids = np.array(RECORD["prompt"][:1])
    padded = np.concatenate([np.full((1, 3), 9), ids], axis=1)
    mask = np.array([[0, 0, 0, 1, 1, 1, 1, 1, 1]])
    found = model.generate(padded, attention_mask=mask, **OPTIONS)
    assert np.array_equal(found[:, 3:], model.generate(ids, **OPTIONS))


@pytest.mark.slow
def test_outputs_are_of_the_token_that_was_kept(models):
    model = models("GPT2LMHeadModel")
    ids = np.array(RECORD["prompt"])
    out = model.generate(
        ids, return_dict_in_generate=True, output_logits=True, output_hidden_states=True, **OPTIONS
    )
    call = model(out.sequences, output_hidden_states=True)
    assert len(out.logits) == len(out.hidden_states) == 4
    for step in range(1, 4):
        place = ids.shape[1] + step - 1
        np.testing.assert_allclose(out.logits[step], call.logits[:, place], atol=1e-4)
        hidden = out.hidden_states[step][-1][:, 0]
        np.testing.assert_allclose(hidden, call.hidden_states[-1][:, place], atol=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"use_cache": False}, "use_cache=False"),
        ({"do_sample": True}, "do_sample=False, with penalty_alpha"),
        ({"top_k": 1}, "top_k above 1"),
    ],
)
def test_what_it_cannot_do_is_refused(models, options, message):
    with pytest.raises(ValueError, match=message):
        models("GPT2LMHeadModel").generate(np.array(RECORD["prompt"]), **{**OPTIONS, **options})
