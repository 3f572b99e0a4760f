"""Each option of GenerationConfig is heeded or refused by its name; none is ignored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from transformers import CompileConfig, GenerationConfig

from generation.tiny import VOCABULARY, ours, torch_model
from keraform.generation.programs import programs_of
from keraform.generation.settings import merged, mode_of

IDS = np.random.default_rng(0).integers(2, VOCABULARY, (1, 5))
HERE = Path(__file__).parent

# Each option, and the file of the test that sees what it does.
HEEDED = {
    **dict.fromkeys(
        (
            *("max_length", "max_new_tokens", "min_length", "do_sample", "use_cache"),
            *("max_cache_len", "cache_implementation", "disable_compile", "num_return_sequences"),
            *("output_scores", "return_dict_in_generate", "pad_token_id", "bos_token_id"),
        ),
        "test_options.py",
    ),
    **dict.fromkeys(
        (
            *("temperature", "top_k", "top_p", "min_p", "top_h", "typical_p", "epsilon_cutoff"),
            *("eta_cutoff", "repetition_penalty", "encoder_repetition_penalty", "bad_words_ids"),
            *("no_repeat_ngram_size", "encoder_no_repeat_ngram_size", "renormalize_logits"),
            *("forced_bos_token_id", "forced_eos_token_id", "remove_invalid_values"),
            *("exponential_decay_length_penalty", "suppress_tokens", "begin_suppress_tokens"),
            *("sequence_bias", "watermarking_config", "min_new_tokens", "eos_token_id"),
        ),
        "test_processors.py",
    ),
    **dict.fromkeys(("max_time", "stop_strings"), "test_stopping.py"),
    **dict.fromkeys(
        (
            *("num_assistant_tokens", "num_assistant_tokens_schedule", "output_attentions"),
            *("assistant_confidence_threshold", "prompt_lookup_num_tokens", "output_logits"),
            *("max_matching_ngram_size", "assistant_ensemble_weight", "output_hidden_states"),
            *("decoder_start_token_id",),
        ),
        "test_assisted.py",
    ),
    "penalty_alpha": "test_contrastive.py",
    "guidance_scale": "test_continuing.py",
    "prefill_chunk_size": "test_continuing.py",
    "token_healing": "test_chat.py",
}
OF_BEAMS = {"num_beams", "early_stopping", "length_penalty"}
# What asks for something that is not there.
REFUSED = {
    "use_mtp": True,
    "assistant_early_exit": 1,
    "assistant_lookbehind": 3,
    "target_lookbehind": 3,
    "speculation_type": "dflash",
    "is_assistant": True,
    "low_memory": True,
    "cache_config": {"backend": "quanto"},
    "cache_implementation": "offloaded",
    "compile_config": CompileConfig(),
    "continuous_batching_config": {"page_size": 8},
    "diversity_penalty": 0.5,
    "num_beam_groups": 2,
    "dola_layers": "high",
    "constraints": [object()],
    "force_words_ids": [[5]],
}
# What says where a configuration comes from.
ORIGINS = {"_from_model_config", "transformers_version"}


@pytest.fixture(scope="module")
def model():
    return ours(torch_model())


def test_no_option_is_left_out():
    known = {*HEEDED, *OF_BEAMS, *REFUSED, *ORIGINS}
    assert set(vars(GenerationConfig())) == known


@pytest.mark.parametrize("file", sorted(set(HEEDED.values())))
def test_what_is_heeded_stands_in_its_test(file):
    text = (HERE / file).read_text() + (HERE / "processor_cases.py").read_text()
    assert [name for name, where in HEEDED.items() if where == file and name not in text] == []


@pytest.mark.parametrize("name", sorted(REFUSED))
@pytest.mark.filterwarnings("ignore:Passing ContinuousBatchingConfig:FutureWarning")
def test_what_is_refused_is_named(model, name):
    beams = {"num_beams": 4} if name in ("num_beam_groups", "diversity_penalty") else {}
    with pytest.raises(NotImplementedError, match=name):
        model.generate(IDS, **{name: REFUSED[name], **beams})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_new_tokens": 0}, "max_new_tokens"),
        ({"early_stopping": "soon"}, "early_stopping"),
        ({"num_return_sequences": 2}, "num_return_sequences"),
        ({"cache_implementation": "large"}, "cache_implementation"),
        ({"assistant_ensemble_weight": 1.5}, "assistant_ensemble_weight"),
        ({"tempature": 0.5}, "tempature"),
        ({"negative_prompt_ids": IDS}, "guidance_scale"),
    ],
)
def test_what_is_wrong_is_named(model, options, message):
    with pytest.raises(ValueError, match=message):
        model.generate(IDS, **options)


def test_what_the_caller_gives_goes_before_what_the_model_has(model):
    own = model.generation_config
    assert (own.do_sample, own.pad_token_id) == (None, 0)
    given = GenerationConfig(max_length=30, do_sample=True, temperature=0.5)
    config, rest = merged(model, given, {"temperature": 0.7, "position_ids": IDS})
    found = (config.max_length, config.do_sample, config.temperature, config.pad_token_id)
    assert found == (30, True, 0.7, 0)
    assert config.top_k == 50 and config.num_beams == 1  # nobody said anything
    assert list(rest) == ["position_ids"]
    assert mode_of(config).value == "sample"
    assert given.pad_token_id is None  # the caller's own stays as it was


def test_lengths(model):
    run = {"disable_compile": True}
    assert model.generate(IDS, max_new_tokens=2, **run).shape == (1, 7)
    assert model.generate(IDS, max_length=8, **run).shape == (1, 8)
    first = int(model.generate(IDS, max_new_tokens=1, **run)[0, -1])
    ends = {"eos_token_id": [first, 1], "max_length": 7, **run}
    assert model.generate(IDS, **ends).shape == (1, 6)
    assert model.generate(IDS, min_length=6, **ends).shape[1] == 7
    ids = np.repeat(IDS, 2, axis=0)
    ids[1] = ids[1, ::-1]
    out = model.generate(ids, max_new_tokens=3, pad_token_id=77, eos_token_id=first, **run)
    assert out.numpy()[0, 5:].tolist() == [first, 77, 77]


def test_a_begin_token_stands_in_for_a_prompt(model):
    out = model.generate(bos_token_id=3, max_new_tokens=1, disable_compile=True)
    assert out.shape == (1, 2) and int(out[0, 0]) == 3
    with pytest.raises(ValueError, match="ids of shape"):
        model.generate(IDS[0].tolist())


def test_several_sequences_and_scores(model):
    options = {"do_sample": True, "seed": 1, "max_new_tokens": 2, "num_return_sequences": 3}
    kept = {"return_dict_in_generate": True, "output_scores": True, "use_cache": False}
    out = model.generate(IDS, **options, **kept)
    assert out.sequences.shape == (3, 7) and len(out.scores) == 2
    assert out.scores[0].shape == (3, VOCABULARY) and out.past_key_values is None
    assert np.array_equal(out.sequences, model.generate(IDS, **options, disable_compile=True))


@pytest.mark.slow
def test_room_for_later_calls(model):
    """With `max_cache_len` one program serves calls of several lengths."""
    static = {"cache_implementation": "static", "max_cache_len": 100}
    counts = []
    for new in (3, 70):
        model.generate(IDS, max_new_tokens=new, **static)
        counts.append(len(programs_of(model)._made))
    assert counts[0] == counts[1] > 0
