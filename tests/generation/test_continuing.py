"""What `generate` is given besides ids: a cache, embeddings, a negative prompt, own criteria."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from generation.tiny import VOCABULARY, ours, torch_model

RNG = np.random.default_rng(0)
IDS = RNG.integers(2, VOCABULARY, (2, 7))
MASK = np.array([[1] * 7, [0, 0, 0, 1, 1, 1, 1]])
MORE = RNG.integers(2, VOCABULARY, (2, 2))
NEGATIVE = RNG.integers(2, VOCABULARY, (2, 4))
GREEDY = {"max_new_tokens": 3, "do_sample": False}
EAGER = {**GREEDY, "disable_compile": True}


@pytest.fixture(scope="module")
def theirs():
    return torch_model()


@pytest.fixture(scope="module")
def model(theirs):
    return ours(theirs)


def as_torch(arguments: dict[str, Any]) -> dict[str, Any]:
    """Arrays as tensors of torch."""
    return {
        name: torch.tensor(value) if isinstance(value, np.ndarray) else value
        for name, value in arguments.items()
    }


def assert_same(model: Any, theirs: Any, **arguments: Any) -> None:
    wanted = theirs.generate(**as_torch(arguments), **GREEDY)
    assert np.array_equal(model.generate(**arguments, **EAGER), wanted)


def continued(model: Any, cast: Any, whole: bool, options: dict[str, Any]) -> Any:
    """Tokens of a second turn, on the cache of the first."""
    first = model.generate(
        cast(IDS), attention_mask=cast(MASK), return_dict_in_generate=True, **options
    )
    text = np.concatenate([np.asarray(first.sequences), MORE], axis=1)
    mask = np.concatenate([MASK, np.ones((2, text.shape[1] - 7), int)], axis=1)
    start = 0 if whole else first.past_key_values.get_seq_length()
    return model.generate(
        cast(text[:, start:]),
        attention_mask=cast(mask),
        past_key_values=first.past_key_values,
        **options,
    )


@pytest.mark.parametrize("whole", [True, False], ids=["all-ids", "new-ids"])
def test_a_conversation_goes_on_from_its_cache(model, theirs, whole):
    wanted = continued(theirs, torch.tensor, whole, GREEDY)
    assert np.array_equal(continued(model, np.asarray, whole, EAGER), wanted)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["LlamaForCausalLM", "MistralForCausalLM", "Qwen3NextForCausalLM"])
def test_a_conversation_goes_on_from_a_compiled_turn(name):
    sizes = {"linear_key_head_dim": 8, "linear_value_head_dim": 8, "linear_num_key_heads": 2}
    small = {"linear_num_value_heads": 2, "moe_intermediate_size": 8}
    small |= {"num_experts": 2, "num_experts_per_tok": 2}
    kinds = {"layer_types": ["linear_attention", "full_attention"], "num_hidden_layers": 2}
    options = {
        "LlamaForCausalLM": {},
        "MistralForCausalLM": {"sliding_window": 4},
        "Qwen3NextForCausalLM": {**sizes, **small, **kinds, "shared_expert_intermediate_size": 8},
    }
    theirs = torch_model(name, head_dim=6, **options[name])
    wanted = continued(theirs, torch.tensor, True, GREEDY)
    assert np.array_equal(continued(ours(theirs), np.asarray, True, GREEDY), wanted)


@pytest.mark.parametrize("size", [3, 20])
def test_a_prompt_in_chunks_is_the_same_prompt(model, theirs, size):
    assert_same(model, theirs, input_ids=IDS, attention_mask=MASK, prefill_chunk_size=size)


def test_chunks_need_a_cache(model):
    with pytest.raises(ValueError, match="no cache"):
        model.generate(IDS, prefill_chunk_size=3, use_cache=False, **EAGER)


def test_embeddings_in_place_of_ids(model, theirs):
    embeds = model.get_input_embeddings()(IDS).numpy()
    assert_same(model, theirs, inputs_embeds=embeds, attention_mask=MASK)
    assert_same(model, theirs, inputs_embeds=embeds, input_ids=IDS)
    alone = model.generate(inputs_embeds=embeds, **EAGER)
    assert alone.shape == (2, 3)  # without the prompt, of which there are no ids
    in_chunks = model.generate(inputs_embeds=embeds, prefill_chunk_size=3, **EAGER)
    assert np.array_equal(in_chunks, alone)


@pytest.mark.parametrize(
    "negative",
    [
        {},
        {
            "negative_prompt_ids": NEGATIVE,
            "negative_prompt_attention_mask": np.array([[1] * 4, [0, 1, 1, 1]]),
        },
        {"negative_prompt_ids": NEGATIVE, "use_cache": False},
    ],
    ids=["last-token", "masked", "without-cache"],
)
def test_guidance(model, theirs, negative):
    assert_same(model, theirs, input_ids=IDS, guidance_scale=1.7, **negative)


@pytest.mark.slow
def test_guidance_goes_on_through_candidates(model):
    """The unconditional part is called once for each token, whatever is refused."""
    text = np.concatenate([IDS[:1]] * 2, axis=1)
    guided = {"guidance_scale": 1.7, "negative_prompt_ids": NEGATIVE[:1], **EAGER}
    alone = model.generate(text, **guided)
    assert np.array_equal(model.generate(text, prompt_lookup_num_tokens=2, **guided), alone)


class Only:
    """A processor in upstream's signature: a single token may come."""

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        found = np.full(scores.shape, -np.inf, "float32")
        found[:, 7 + input_ids.shape[1]] = 0
        return found


class Longer:
    """A criterion in upstream's signature."""

    def __call__(self, input_ids: Any, scores: Any, **kwargs: Any) -> Any:
        return np.full(input_ids.shape[0], input_ids.shape[1] >= 9)


@pytest.mark.parametrize(
    "more", [{"disable_compile": True}, pytest.param({}, marks=pytest.mark.slow)]
)
def test_processors_and_criteria_of_ones_own(model, more):
    out = model.generate(
        IDS, logits_processor=[Only()], stopping_criteria=[Longer()], **GREEDY, **more
    )
    assert out.numpy()[:, 7:].tolist() == [[14, 15], [14, 15]]


def test_time_is_up(model):
    out = model.generate(IDS, max_new_tokens=500, max_time=0.0, disable_compile=True)
    assert out.shape == (2, 8)
