"""Compiled decoding: torch's tokens from few programs, in room that grows, with current weights."""

from __future__ import annotations

import json
import threading

import fixed_calls
import keras
import numpy as np
import pytest
from fixed_calls import DTYPE, NEW_TOKENS, Pair, outcomes
from keras import ops
from transformers import LlamaConfig

from keraform import TFLlamaForCausalLM
from keraform.generation import room
from keraform.generation.programs import CannotBeCompiled, Programs, programs_of
from keraform.runtime.caches import StaticIndexedLayer, StaticLayer
from keraform.verify.port import keras_precision
from keraform.verify.rungs.speaks import left_padded

# With all sorts of caches: of attention, whole, in windows, chunks and latents; of scans and
# convolutions; of both; of encoder-decoders; and with images.
TYPES = (
    *("gpt2", "llama", "mistral", "gemma2", "gemma3", "qwen2", "qwen3", "qwen2_moe"),
    *("mixtral", "olmo2", "phi", "phi3", "opt", "bloom", "gpt_neox", "gptj", "falcon", "codegen"),
    *("stablelm", "cohere2", "granite", "starcoder2", "llama4", "deepseek_v3", "xglm", "biogpt"),
    *("mamba", "mamba2", "falcon_mamba", "jamba", "qwen3_next", "lfm2"),
    *("t5", "mt5", "bart", "mbart", "marian", "pegasus", "m2m_100"),
    *("llava", "qwen2_vl", "blip-2"),
)
# Of these upstream does not say that their graphs are whole. GPT-Neo's attention takes the room of
# a cache for its length; RecurrentGemma keeps its states outside of the cache.
CALL_BY_CALL = ("gpt_neo", "recurrent_gemma", "vision-encoder-decoder")
ON_JAX = ("llama", "mamba", "t5", "gemma3", "bart")
IDS = np.random.default_rng(0).integers(3, 90, (2, 40))


@pytest.fixture(scope="module")
def llama():
    return Pair("llama")


def test_lengths_have_buckets():
    lengths = (1, 16, 17, 33, 64, 65, 500)
    assert [room.bucket(each) for each in lengths] == [16, 16, 32, 64, 64, 128, 512]
    assert [room.bucket(each, limit=40) for each in (17, 33, 50)] == [32, 40, 50]
    assert [room.whole_part(each) for each in lengths] == [1, 16, 16, 32, 64, 64, 448]


def test_room_doubles_where_much_more_may_come_than_there_is():
    assert room.room_for(16, 64) == 64
    assert room.room_for(16, 4096) == 512
    assert room.room_for(512, 4096) == 1024
    assert room.room_for(2048, 4096) == 4096


@pytest.mark.parametrize("make", [StaticLayer, StaticIndexedLayer])
def test_a_static_layer_grows(make):
    layer, grown = make(4), make(8)
    states = ops.convert_to_tensor(np.arange(12.0).reshape(1, 2, 3, 2))
    for each in (layer, grown):
        each.update(states, states + 1)
        if make is StaticIndexedLayer:
            each.update_indexer(states[:, 0])
    layer.grow(8)
    for name, value in vars(grown).items():
        assert np.array_equal(getattr(layer, name), value), name


def test_prompts_of_a_bucket_share_two_programs(llama):
    prompts = [{"input_ids": IDS[:, :length]} for length in (5, 12, 7)]
    for prompt in (*prompts, left_padded(llama.torch, prompts[1])[0]):
        assert np.array_equal(llama.got(prompt), llama.wanted(prompt))
        assert llama.programs() == 2
    found = {"input_ids": IDS[:, :7]}
    assert np.array_equal(llama.got(found, max_new_tokens=3), llama.wanted(found)[:, :10])
    assert llama.programs() == 2


def test_programs_read_the_weights_of_the_moment(llama):
    prompt = {"input_ids": IDS[:, :5]}
    before, programs = llama.got(prompt), llama.programs()
    was = [each + 0 for each in llama.keras.weights]
    for each in llama.keras.weights:
        each.assign(ops.flip(each, axis=0))
    after = llama.got(prompt)
    assert not np.array_equal(after, before)
    assert np.array_equal(after, llama.got(prompt, disable_compile=True))
    assert llama.programs() == programs
    for each, value in zip(llama.keras.weights, was, strict=True):
        each.assign(value)
    assert np.array_equal(llama.got(prompt), before)


def test_two_threads_generate_at_once(llama):
    prompts = [{"input_ids": IDS[:, :length]} for length in (4, 6, 8, 10)]
    wanted = [llama.wanted(prompt) for prompt in prompts]
    found = {}

    def run(number):
        tokens = llama.keras.generate(
            prompts[number]["input_ids"], max_new_tokens=NEW_TOKENS, do_sample=False
        )
        found[number] = np.array(tokens)

    with keras_precision(DTYPE, True):
        threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for number, tokens in enumerate(wanted):
        assert np.array_equal(found[number], tokens)


def test_room_grows_while_tokens_come(llama, monkeypatch):
    monkeypatch.setattr(room, "FIRST_ROOM", 16)
    prompt = {"input_ids": IDS[:, :5]}
    before = llama.programs()
    got = llama.got(prompt, max_new_tokens=100)
    assert np.array_equal(got, llama.wanted(prompt, max_new_tokens=100))
    assert llama.programs() == before + 1  # room for 32 tokens is there, for 128 it is new


def test_what_cannot_be_compiled_is_refused_in_three_parts(llama):
    with pytest.raises(NotImplementedError) as refused:
        programs_of(llama.keras).run("a test", lambda value: float(value), (ops.ones(()),))
    expected, got, *_, tried = str(refused.value).split("\n")
    assert expected == "expected: a TFLlamaForCausalLM that can be compiled"
    assert got.startswith("got: ")
    assert tried == "try: generate(..., disable_compile=True)"


def test_a_model_that_cannot_be_compiled_goes_on_call_by_call(llama, monkeypatch, caplog):
    def refuse(programs, key, function, arguments):
        raise CannotBeCompiled("a size that the tokens decide")

    prompt = {"input_ids": IDS[:, :5]}
    monkeypatch.setattr(Programs, "run", refuse)
    try:
        assert np.array_equal(llama.got(prompt), llama.wanted(prompt))
        assert "call by call, which is slower. The reason: a size that" in caplog.text
        caplog.clear()
        assert np.array_equal(llama.got(prompt), llama.wanted(prompt))
        assert not caplog.text  # it is said once
    finally:
        llama.keras._has_no_programs = False


def test_text_of_an_encoder_has_buckets():
    pair = Pair("t5")
    for length in (5, 9):
        prompt = {"input_ids": IDS[:, :length]}
        got, wanted = (find(prompt, max_new_tokens=1) for find in (pair.got, pair.wanted))
        assert np.array_equal(got, wanted)
        assert pair.programs() == 2


@pytest.mark.slow
def test_a_scan_takes_prompts_in_two_parts():
    pair = Pair("mamba")
    for length in (5, 7, 4):
        prompt = {"input_ids": IDS[:, :length]}
        assert np.array_equal(pair.got(prompt), pair.wanted(prompt))
        assert pair.programs() == 2


@pytest.mark.slow
@pytest.mark.parametrize("change", ["enable_lora", "quantize"])
def test_other_variables_have_other_programs(change):
    config = LlamaConfig(
        vocab_size=97,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        bos_token_id=1,
        eos_token_id=None,
        pad_token_id=0,
    )
    model = TFLlamaForCausalLM(config)
    options = {"max_new_tokens": 8, "do_sample": False}
    before = np.array(model.generate(IDS[:, :5], **options))
    if change == "quantize":
        model.quantize("int8")
    else:
        model.enable_lora(rank=2, target_modules="all-linear")
        for number, weight in enumerate(model.trainable_variables):
            weight.assign(keras.random.normal(weight.shape, seed=number))
    after = np.array(model.generate(IDS[:, :5], **options))
    assert np.array_equal(after, model.generate(IDS[:, :5], disable_compile=True, **options))
    assert len(programs_of(model)) == 2
    assert change == "quantize" or not np.array_equal(after, before)


@pytest.mark.slow
def test_watched_steps_are_those_of_the_loop(llama, monkeypatch):
    monkeypatch.setattr(room, "FIRST_ROOM", 16)
    prompt, told = {"input_ids": IDS[:, :5]}, []
    wanted = llama.got(prompt, max_new_tokens=100)
    with keras_precision(DTYPE, True):
        found = llama.keras.generate(
            prompt["input_ids"],
            max_new_tokens=100,
            do_sample=False,
            return_dict_in_generate=True,
            output_scores=True,
        )
    assert np.array_equal(found.sequences, wanted)
    chosen = np.stack([np.argmax(scores, axis=-1) for scores in found.scores], axis=1)
    assert np.array_equal(chosen, wanted[:, 5:])

    def allowed(row, tokens):
        told.append((row, len(tokens)))
        return list(range(llama.keras.config.vocab_size))

    assert np.array_equal(llama.got(prompt, prefix_allowed_tokens_fn=allowed), wanted[:, :11])
    assert told == [(row, 5 + step) for step in range(NEW_TOKENS) for row in range(2)]


@pytest.mark.slow
@pytest.mark.parametrize("model_type", (*TYPES, *CALL_BY_CALL))
def test_tokens_are_torchs(model_type):
    found = outcomes(model_type)
    assert found["whole"] == ("equal" if model_type in TYPES else "equal, not compiled")
    wrong = [words for words in found.values() if not words.startswith(("equal", "torch: "))]
    assert not wrong


@pytest.mark.slow
def test_tokens_on_jax_are_torchs(run_on_jax):
    done = run_on_jax(fixed_calls.__file__, *ON_JAX)
    assert done.returncode == 0, done.stderr[-3000:]
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert [row.pop("type") for row in rows] == list(ON_JAX)
    assert {words for row in rows for words in row.values()} == {"equal"}
