"""Whisper generates as torch does: languages, tasks, timestamps, long recordings."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import transformers

import keraform

VOCABULARY = 200  # the last sixty are times
FRAMES = 100  # of a whole window
TOKENS = {
    "decoder_start_token_id": 2,
    "eos_token_id": 1,
    "pad_token_id": 1,
    "prev_sot_token_id": 98,
    "no_timestamps_token_id": 100,
    "is_multilingual": True,
    "lang_to_id": {"<|en|>": 90, "<|de|>": 91, "<|fr|>": 92},
    "task_to_id": {"transcribe": 95, "translate": 96},
    "max_initial_timestamp_index": 20,
    "suppress_tokens": [2, 90, 91, 92, 95, 96, 98],
    "begin_suppress_tokens": [3, 1],
    "alignment_heads": [[1, 0], [1, 1]],
    "max_length": 50,
}


@pytest.fixture(scope="module")
def pair(tmp_path_factory) -> tuple[Any, Any]:
    """A small Whisper with random weights, and its port."""
    torch.manual_seed(0)
    config = transformers.WhisperConfig(
        vocab_size=VOCABULARY,
        num_mel_bins=10,
        d_model=16,
        encoder_layers=1,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        max_source_positions=FRAMES // 2,
        max_target_positions=60,
        pad_token_id=1,
        bos_token_id=1,
        eos_token_id=1,
        decoder_start_token_id=2,
    )
    model = transformers.WhisperForConditionalGeneration(config).eval()
    for parameter in model.parameters():
        parameter.data = torch.randn_like(parameter) * 0.3
    model.generation_config = transformers.GenerationConfig(**TOKENS)
    directory = tmp_path_factory.mktemp("whisper")
    model.save_pretrained(directory)
    return model, keraform.TFWhisperForConditionalGeneration.from_pretrained(directory)


def recording(frames: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(2, 10, frames)).astype("float32")


def arrays(found: Any) -> Any:
    """Both sides' tensors, in whatever holds them, as arrays."""
    if isinstance(found, dict):
        return {name: arrays(value) for name, value in found.items()}
    if isinstance(found, (list, tuple)):
        return [arrays(value) for value in found]
    return found.numpy() if hasattr(found, "numpy") else found


def same(got: Any, wanted: Any) -> bool:
    if isinstance(wanted, dict):
        return all(same(got[name], wanted[name]) for name in wanted if name != "result")
    if isinstance(wanted, list):
        return len(got) == len(wanted) and all(map(same, got, wanted))
    return np.shape(got) == np.shape(wanted) and np.allclose(got, wanted, atol=1e-5)


def check(pair: tuple[Any, Any], features: np.ndarray, **options: Any) -> Any:
    model, port = pair
    given = {
        name: torch.tensor(value) if isinstance(value, np.ndarray) else value
        for name, value in options.items()
    }
    wanted = arrays(model.generate(torch.tensor(features), **given))
    got = arrays(port.generate(features, disable_compile=True, **options))
    assert same(got, wanted)
    return got


@pytest.mark.proofs
def test_a_language_a_task_and_times(pair):
    found = check(pair, recording(FRAMES), language="de", task="translate", return_timestamps=True)
    assert found.shape[0] == 2 and (found > TOKENS["no_timestamps_token_id"]).any()


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"task": "transcribe"},  # in the language that is heard
        {"language": "en", "num_beams": 3},
        {"language": "en", "prompt_ids": np.array([98, 5, 6, 7])},
        {"language": "en", "return_timestamps": True, "return_token_timestamps": True},
    ],
)
def test_short_recordings(pair, options):
    check(pair, recording(FRAMES), **options)


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {"return_segments": True},
        {"condition_on_prev_tokens": True},
        {
            "temperature": 0.0,
            "compression_ratio_threshold": 1.35,
            "logprob_threshold": -100.0,
            "no_speech_threshold": 0.9,
        },
    ],
)
def test_long_recordings_go_window_by_window(pair, options):
    mask = np.ones((2, 270), "int64")  # 1 where there is sound
    mask[1, 200:] = 0
    check(
        pair,
        recording(270),
        language="en",
        return_timestamps=True,
        attention_mask=mask,
        **options,
    )


@pytest.mark.proofs
def test_a_language_that_there_is_not_is_named(pair):
    with pytest.raises(ValueError, match="klingon"):
        pair[1].generate(recording(FRAMES), language="klingon")
