"""Beam search and beam sampling against torch's: sequences, scores, beam indices, records."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import torch
from keras import ops
from transformers import GenerationConfig

from generation import beam_programs
from generation.option_sets import OPTION_SETS
from generation.pairs import CALL_BY_CALL, as_numbers, options_of, pair, prompt
from keraform.generation import running
from keraform.generation.beams import OUT, BeamSearch, best
from keraform.generation.seeds import seed_of
from keraform.verify.lift import torch_precision
from keraform.verify.port import keras_precision, keras_values
from keraform.verify.rungs.speaks import DTYPE

OUTPUTS = {
    "return_dict_in_generate": True,
    "output_scores": True,
    "output_logits": True,
    "output_attentions": True,
    "output_hidden_states": True,
}


def ending(name: str) -> dict[str, Any]:
    """Options of a search whose beams end at different places."""
    return options_of(pair(name), prompt(padded=True), OPTION_SETS["beams, several sequences"])


def both(name: str, **options: Any) -> tuple[Any, Any]:
    """Torch's output and ours."""
    sides, inputs = pair(name), prompt(padded=True)
    with torch_precision(DTYPE, True), torch.no_grad():
        given = {key: torch.tensor(value) for key, value in inputs.items()}
        wanted = sides.torch.generate(**given, **options)
    with keras_precision(DTYPE, True):
        got = sides.keras.generate(**keras_values(inputs, DTYPE), **options)
    return wanted, got


def assert_same(got: Any, wanted: Any, words: str) -> None:
    if isinstance(wanted, tuple):
        assert len(got) == len(wanted), words
        for index, pair_of in enumerate(zip(got, wanted, strict=True)):
            assert_same(*pair_of, f"{words}[{index}]")
    elif wanted is None:
        assert got is None, words
    elif hasattr(wanted, "shape"):
        np.testing.assert_allclose(
            as_numbers(got), as_numbers(wanted), rtol=1e-9, atol=1e-9, err_msg=words
        )


@pytest.mark.parametrize(
    ("name", "early_stopping"),
    [
        ("llama", "never"),
        ("bart", True),
        *(
            pytest.param(name, rule, marks=pytest.mark.slow)
            for name, rule in (("llama", True), ("llama", False), ("bart", False))
        ),
    ],
)
def test_outputs(name: str, early_stopping: bool | str) -> None:
    """All that torch's output holds, where several tokens end a sequence."""
    options = ending(name) | {"early_stopping": early_stopping}
    wanted, got = both(name, **options, **OUTPUTS, **CALL_BY_CALL)
    lengths = np.sum(as_numbers(wanted.beam_indices) >= 0, axis=-1)
    assert len(set(lengths)) > 1, "the beams have to end at different places"
    assert type(got).__name__ == type(wanted).__name__
    for field in sorted(set(wanted) - {"past_key_values"}):
        assert_same(got[field], wanted[field], field)


@pytest.mark.slow
def test_only_what_was_asked_for() -> None:
    """Without `output_scores` there are beam indices, and no scores of sequences."""
    wanted, got = both("llama", **ending("llama"), return_dict_in_generate=True, **CALL_BY_CALL)
    assert wanted.sequences_scores is None and got.sequences_scores is None
    assert got.scores is None
    assert_same(got.beam_indices, wanted.beam_indices, "beam_indices")


def test_transition_scores() -> None:
    """Of beams and of a greedy search, as they are and as log probabilities; of beams they add up
    to the scores of the sequences.
    """
    asked = {"return_dict_in_generate": True, "output_scores": True} | CALL_BY_CALL
    for options in (
        ending("llama") | {"length_penalty": 0.0},
        {"max_new_tokens": 4, "do_sample": False},
    ):
        wanted, got = both("llama", **options, **asked)
        for normalize in (False, True):
            theirs, ours = (
                sides.compute_transition_scores(
                    found.sequences, found.scores, found.get("beam_indices"), normalize
                )
                for sides, found in (
                    (pair("llama").torch, wanted),
                    (pair("llama").keras, got),
                )
            )
            assert_same(ours, theirs, f"normalize_logits={normalize}")
        if "num_beams" in options:
            sums = as_numbers(theirs).sum(-1)
            np.testing.assert_allclose(sums, as_numbers(got.sequences_scores), rtol=1e-9)


def test_beam_sampling_draws_without_repetition() -> None:
    """Of the first step all candidates continue the first beam, and are draws without repetition:
    pairs of tokens come as often as their probabilities say.
    """
    draws, chances = 20_000, np.array([0.5, 0.3, 0.15, 0.05])
    config = GenerationConfig(num_beams=2, do_sample=True)
    search = BeamSearch(None, config, None)
    empty = np.zeros((draws, 2, 1), "int32")
    running = {"tokens": empty, "beams": empty, "scores": np.array([[0.0, OUT]] * draws, "float32")}
    scores = np.log(np.array([chances] * 2 * draws, "float32"))
    state = {"seed": seed_of(3), "length": 0}
    found = search._continued(
        {name: ops.convert_to_tensor(value) for name, value in running.items()},
        ops.convert_to_tensor(scores),
        state,
    )
    tokens = as_numbers(found["tokens"])[:, :, 0]
    assert np.array_equal(as_numbers(found["beams"])[:, 0, 0], 2 * np.arange(draws))
    assert all(len(set(row)) == 4 for row in tokens.tolist())
    seen = Counter(map(tuple, tokens[:, :2].tolist()))
    for first, second in itertools.permutations(range(4), 2):
        chance = chances[first] * chances[second] / (1 - chances[first])
        deviation = (draws * chance * (1 - chance)) ** 0.5
        assert abs(seen[first, second] - draws * chance) < 4 * deviation


def test_a_seed_draws_the_same_beams() -> None:
    """Twice the same, and others with another seed."""
    sides = pair("llama")
    options = {"max_new_tokens": 3, "num_beams": 3, "do_sample": True} | CALL_BY_CALL
    with keras_precision(DTYPE, True):
        inputs = keras_values(prompt(), DTYPE)
        first, again, other = (
            as_numbers(sides.keras.generate(**inputs, seed=seed, **options)) for seed in (1, 1, 2)
        )
    assert (first == again).all()
    assert (first != other).any()


@pytest.mark.parametrize(
    "name",
    [
        name if name == "estimate" else pytest.param(name, marks=pytest.mark.slow)
        for name in beam_programs.CONFIGS
    ],
)
def test_a_program_finds_the_same(name: str) -> None:
    """Compiled, and without the cache, whose rows follow the beams."""
    wanted = beam_programs.step_by_step(name)
    assert len(set((wanted["beams"] >= 0).sum(axis=1))) > 1, "beams have to end at several places"
    assert_found(beam_programs.step_by_step(name, is_cached=False), wanted)
    assert_found(beam_programs.compiled(name), wanted)


@pytest.mark.slow
def test_a_graph_of_any_number_of_rows_finds_the_same() -> None:
    """As a graph that is exported has it."""
    method = beam_programs.search("estimate")

    @tf.function(
        input_signature=[tf.TensorSpec((None, beam_programs.PROMPT), "int32")], autograph=False
    )
    def run(prompts: tf.Tensor) -> dict[str, tf.Tensor]:
        arguments = beam_programs.start(method, prompts, tf.constant)
        state = running.in_graph(method, arguments)
        return best(state, method.config.num_return_sequences)

    assert_found(
        {name: value.numpy() for name, value in run(beam_programs.PROMPTS).items()},
        beam_programs.step_by_step("estimate"),
    )


@pytest.mark.slow
def test_on_jax(run_on_jax: Callable[..., Any], tmp_path: Path) -> None:
    """Step by step and compiled; what is drawn is JAX's own."""
    done = run_on_jax(beam_programs.__file__, str(tmp_path / "answers.npz"))
    assert done.returncode == 0, done.stderr[-2000:]
    answers = np.load(tmp_path / "answers.npz")
    for name in beam_programs.CONFIGS:
        ways = [
            {key: answers[f"{name} {way} {key}"] for key in ("tokens", "beams", "scores")}
            for way in ("step_by_step", "compiled")
        ]
        wanted = ways[0] if name == "drawn" else beam_programs.step_by_step(name)
        for got in ways:
            assert_found(got, wanted)


def assert_found(got: dict[str, np.ndarray], wanted: dict[str, np.ndarray]) -> None:
    np.testing.assert_array_equal(got["tokens"], wanted["tokens"])
    np.testing.assert_array_equal(got["beams"], wanted["beams"])
    np.testing.assert_allclose(got["scores"], wanted["scores"], rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["llama", "mistral", "gemma3", "mixtral"])
def test_a_compiled_model_says_the_same(name: str) -> None:
    """In one program, and step by step where scores are recorded."""
    sides, options = pair(name), ending(name)
    asked = options | {"return_dict_in_generate": True, "output_scores": True}
    with keras_precision(DTYPE, True):
        inputs = keras_values(prompt(padded=True), DTYPE)
        wanted = sides.keras.generate(**inputs, **asked, **CALL_BY_CALL)
        assert_same(sides.keras.generate(**inputs, **options), wanted.sequences, "sequences")
        got = sides.keras.generate(**inputs, **asked)
    for field in ("sequences", "scores", "sequences_scores", "beam_indices"):
        assert_same(got[field], wanted[field], field)


def test_a_cache_without_order_is_refused() -> None:
    """The message says what to do."""
    search = BeamSearch(SimpleNamespace(model=object()), GenerationConfig(num_beams=2), None)
    with pytest.raises(ValueError, match="use_cache=False"):
        search._reordered({"state": [np.zeros(3)]}, np.arange(3))
