"""Every example runs in its short form: it learns, and what it saves is complete."""

from __future__ import annotations

import importlib

import pytest

EXAMPLES = {
    "text_classification": "accuracy",
    "image_classification": "accuracy",
    "token_classification": "accuracy",
    "question_answering": "accuracy",
    "causal_lm": "perplexity",
    "translation": "accuracy",
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_short_form(name, tmp_path):
    result = importlib.import_module(name).main(["--short", "--out", str(tmp_path)])
    assert result["losses"][-1] < result["losses"][0]
    if EXAMPLES[name] == "accuracy":
        assert 0 <= result["accuracy"] <= 1
    else:
        assert 1 < result["perplexity"] < 2000  # tokens
    files = {"config.json", "model.safetensors"}
    if name != "image_classification":
        files |= {"tokenizer.json", "tokenizer_config.json"}
    assert files <= {path.name for path in tmp_path.iterdir()}
