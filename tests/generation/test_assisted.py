"""Assisted decoding gives what the model gives alone, from fewer calls."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from keras import ops
from transformers import GenerationConfig

from generation.tiny import VOCABULARY, ours, torch_model
from keraform.generation.assisted import Assisted
from keraform.generation.candidates import Assistant, Candidate, Candidates, PromptLookup
from keraform.generation.seeds import seed_of
from keraform.runtime.caches import DynamicCache

IDS = np.random.default_rng(0).integers(2, VOCABULARY, (1, 7))
NEW = {"max_new_tokens": 7, "do_sample": False, "disable_compile": True}


@pytest.fixture(scope="module")
def theirs():
    return torch_model()


@pytest.fixture(scope="module")
def model(theirs):
    return ours(theirs)


@pytest.fixture(scope="module")
def assistant(theirs):
    """The model with noise: it is right now and then."""
    other = copy.deepcopy(theirs)
    for number, parameter in enumerate(other.parameters()):
        torch.manual_seed(number)
        parameter.data += torch.randn_like(parameter) * 0.06
    return ours(other)


@pytest.fixture(scope="module")
def expected(theirs):
    output = {"return_dict_in_generate": True, "output_scores": True, "output_logits": True}
    layers = {"output_hidden_states": True, "output_attentions": True}
    options = {"max_new_tokens": 7, "do_sample": False}
    return theirs.generate(torch.tensor(IDS), **options, **output, **layers)


@pytest.fixture
def rounds(monkeypatch):
    """How many candidates each call checked, and how many of them were kept."""
    found: list[tuple[int, int]] = []
    real = Assisted.go_on_with

    def counted(self: Any, candidates: Candidates, *rest: Any) -> Any:
        state, matches = real(self, candidates, *rest)
        found.append((len(candidates.tokens), matches))
        return state, matches

    monkeypatch.setattr(Assisted, "go_on_with", counted)
    return found


def test_an_assistant_changes_no_token_score_or_state(model, assistant, expected, rounds):
    found = model.generate(
        IDS,
        assistant_model=assistant,
        num_assistant_tokens=3,
        assistant_confidence_threshold=0.0,
        return_dict_in_generate=True,
        output_scores=True,
        output_logits=True,
        output_hidden_states=True,
        output_attentions=True,
        **NEW,
    )
    assert np.array_equal(found.sequences, expected.sequences)
    for name in ("scores", "logits"):
        for ours_, theirs_ in zip(found[name], expected[name], strict=True):
            np.testing.assert_allclose(ours_, theirs_, atol=2e-5)
    for name in ("hidden_states", "attentions"):
        for ours_, theirs_ in zip(found[name], expected[name], strict=True):
            for layer, their_layer in zip(ours_, theirs_, strict=True):
                np.testing.assert_allclose(layer, their_layer, atol=2e-5)
    assert found.past_key_values.get_seq_length() == IDS.shape[1] + 6
    assert any(0 < matches < tried for tried, matches in rounds)  # some were right, some not


def test_the_model_as_its_own_assistant_is_always_right(model, expected, rounds):
    found = model.generate(
        IDS, assistant_model=model, num_assistant_tokens=3, assistant_confidence_threshold=0, **NEW
    )
    assert np.array_equal(found, expected.sequences)
    assert rounds == [(3, 3), (1, 1)]  # the first token comes with the prompt


def test_an_assistant_that_is_not_sure_stops(model, assistant, expected, rounds):
    found = model.generate(
        IDS, assistant_model=assistant, assistant_confidence_threshold=1.0, **NEW
    )
    assert np.array_equal(found, expected.sequences)
    assert {tried for tried, _ in rounds} <= {0, 1}


def test_prompt_lookup_finds_what_stood_there(model, rounds):
    text = np.concatenate([IDS, IDS, IDS], axis=1)
    alone = model.generate(text, **NEW)
    found = model.generate(text, prompt_lookup_num_tokens=2, max_matching_ngram_size=3, **NEW)
    assert np.array_equal(found, alone)
    assert rounds and max(tried for tried, _ in rounds) == 2


def test_prompt_lookup_that_samples_draws_what_the_model_draws(model):
    text = np.concatenate([IDS, IDS], axis=1)
    options = {"max_new_tokens": 5, "do_sample": True, "seed": 3, "disable_compile": True}
    alone = model.generate(text, **options)
    assert np.array_equal(model.generate(text, prompt_lookup_num_tokens=2, **options), alone)


def test_lookup_takes_the_first_match_of_the_longest_ngram_up_to_an_end():
    config = GenerationConfig(
        prompt_lookup_num_tokens=4, max_matching_ngram_size=2, eos_token_id=[50, 51]
    )
    lookup = PromptLookup(config)

    def found(*ids: int, most: int = 10) -> list[int]:
        state = {"input_ids": ops.convert_to_tensor([[*ids, 0, 0]]), "length": len(ids)}
        return lookup(state, most).tokens

    assert found(7, 8, 1, 2, 3, 4, 5, 8, 9, 7, 8) == [1, 2, 3, 4]
    assert found(7, 8, 1, 51, 3, 7, 8) == [1]
    assert found(6, 8, 1, 2, 7, 8) == [1, 2, 7, 8]  # one token, as two do not match
    assert found(7, 8, 1, 2, 3, 4, 7, 8, most=1) == [1]
    assert found(1, 2, 3) == []


def test_schedules_learn_how_many_candidates_are_worth_it(assistant):
    def counts(schedule: str) -> list[float]:
        config = GenerationConfig(num_assistant_tokens=4, num_assistant_tokens_schedule=schedule)
        guess = Assistant(assistant, config, None, {}, 1, None)
        found = []
        for matches in (4, 1, 0):
            guess.learn(Candidates([1, 2, 3, 4]), matches)
            found.append(guess.count)
        return found

    assert counts("constant") == [4, 4, 4]
    assert counts("heuristic_transient") == [6, 5, 4]
    assert assistant.generation_config.num_assistant_tokens is None
    assert counts("heuristic") == [6, 5, 4]
    assert assistant.generation_config.num_assistant_tokens == 4
    assistant.generation_config.num_assistant_tokens = None


@pytest.mark.parametrize("weight", [None, 0.5])
def test_speculative_sampling_keeps_the_distribution(weight):
    """Algorithm 1 of arXiv:2211.17192: the candidates are of q, the tokens of p."""
    p, q = np.array([[0.1, 0.2, 0.7]]), np.array([[0.8, 0.15, 0.05]])
    config = GenerationConfig(do_sample=True, assistant_ensemble_weight=weight)
    method = Assisted(None, config, None)
    rng, draws = np.random.default_rng(0), 50
    counts = np.zeros(3)
    for draw in range(draws):
        offered = Candidate(int(rng.choice(3, p=q[0])), ops.log(q.astype("float32")))
        state = {"offered": offered, "seed": seed_of([draw, 7]), "length": draw}
        counts[int(method._tokens(ops.log(p.astype("float32")), state)[0])] += 1
    wanted = p[0] if weight is None else weight * p[0] + (1 - weight) * q[0]
    deviation = np.sqrt(wanted * (1 - wanted) / draws)
    assert (np.abs(counts / draws - wanted) < 4 * deviation).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"input_ids": np.repeat(IDS, 2, axis=0)}, "one row"),
        ({"use_cache": False}, "use_cache=True"),
        ({"do_sample": True, "num_return_sequences": 2}, "num_return_sequences=1"),
        ({"num_beams": 2}, "num_beams=1"),
        ({"penalty_alpha": 0.5, "top_k": 3}, "no penalty_alpha"),
        ({"assistant_ensemble_weight": 0.5}, "an assistant_model"),
        ({"inputs_embeds": np.zeros((1, 7, 24), "float32")}, "input_ids"),
    ],
)
def test_what_it_cannot_do_is_refused(model, options, message):
    with pytest.raises(ValueError, match=message):
        model.generate(**{"input_ids": IDS, "prompt_lookup_num_tokens": 2, **NEW, **options})


def test_other_vocabularies_and_states_are_refused(model, assistant, monkeypatch):
    with pytest.raises(NotImplementedError, match="assistant_tokenizer"):
        model.generate(IDS, assistant_model=assistant, assistant_tokenizer=object(), **NEW)
    monkeypatch.setattr(assistant.config, "vocab_size", 50)
    with pytest.raises(NotImplementedError, match="50 tokens"):
        model.generate(IDS, assistant_model=assistant, **NEW)
    monkeypatch.setattr(type(model), "_is_stateful", True)
    with pytest.raises(ValueError, match="whose state holds all of them"):
        model.generate(IDS, prompt_lookup_num_tokens=2, **NEW)


def test_recurrent_states_are_refused(model, monkeypatch):
    monkeypatch.setattr(DynamicCache, "is_croppable", False)  # as such states make it
    with pytest.raises(ValueError, match="recurrent states"):
        model.generate(IDS, prompt_lookup_num_tokens=2, **NEW)


@pytest.mark.slow
@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("LlamaForCausalLM", {}),
        ("MistralForCausalLM", {"sliding_window": 4, "head_dim": 6}),
        (
            "T5ForConditionalGeneration",
            {"d_model": 24, "d_kv": 6, "num_heads": 4, "num_decoder_layers": 1},
        ),
    ],
)
def test_every_kind_of_cache_takes_tokens_back(name, options, compiled):
    start = {"decoder_start_token_id": 0} if name.startswith("T5") else {}
    theirs = torch_model(name, **options, **start)
    model = ours(theirs)
    smaller = ours(torch_model(name, 1, **options, **start))
    new = {"max_new_tokens": 20, "do_sample": False}
    for mask in (None, np.array([[0, 0, 1, 1, 1, 1, 1]])):
        given = {} if mask is None else {"attention_mask": mask}
        as_torch = {key: torch.tensor(value) for key, value in given.items()}
        wanted = theirs.generate(torch.tensor(IDS), **as_torch, **new)
        for helped in (
            {"prompt_lookup_num_tokens": 3},
            {"assistant_model": smaller, "num_assistant_tokens": 4},
            {"assistant_model": model, "assistant_confidence_threshold": 0.0},
        ):
            found = model.generate(IDS, **given, **new, **helped, disable_compile=not compiled)
            assert np.array_equal(found, wanted)
