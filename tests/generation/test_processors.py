"""Each processor gives the scores that torch's gives: eagerly, compiled, on JAX."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import torch
from keras import ops
from transformers import GenerationConfig, WatermarkingConfig
from transformers.generation import logits_process as theirs
from transformers.generation.configuration_utils import SynthIDTextWatermarkingConfig
from transformers.generation.utils import GenerationMixin as TorchMixin

from generation.processor_cases import (
    ANY,
    CASES,
    ENCODER,
    FEW,
    LENGTH,
    ROWS,
    SCORES,
    SPREAD,
    VOCAB,
    Case,
)
from keraform.generation import processors as ours
from keraform.generation.processors import get_logits_processor
from keraform.generation.processors.base import LogitsProcessor, LogitsProcessorList

# changes nothing between calls, but needs Python
IN_PYTHON = {
    "PrefixConstrainedLogitsProcessor",
    "UnbatchedClassifierFreeGuidanceLogitsProcessor",
    "DiaEOSDelayPatternLogitsProcessor",
    "WatermarkLogitsProcessor",
    "SynthIDTextWatermarkLogitsProcessor",
    "WhisperNoSpeechDetection",
}


def torch_ids(ids: Any) -> torch.Tensor:
    return torch.tensor(np.asarray(ids, "int64"))


def of_torch(case: Case, length: int) -> np.ndarray:
    """Torch's answer, of the tokens that count alone."""
    processor = case.make(theirs, torch_ids)
    return processor(torch_ids(case.ids[:, :length]), torch.tensor(case.scores)).numpy()


def same(got: Any, wanted: np.ndarray) -> None:
    got = ops.convert_to_numpy(got)
    assert got.dtype == wanted.dtype
    np.testing.assert_allclose(got, wanted, rtol=1e-12, atol=1e-12)


def test_every_processor_of_upstream_is_there() -> None:
    names = {
        name
        for name, value in vars(theirs).items()
        if isinstance(value, type) and value.__module__ == theirs.__name__
    } - {"SynthIDTextWatermarkState"}
    assert names <= set(ours.__all__)
    tried = {type(case.make(ours, ops.convert_to_tensor)).__name__ for case in CASES.values()}
    assert names == tried | IN_PYTHON | {"LogitsProcessor", "LogitsProcessorList"}
    assert all(getattr(ours, name).in_graph for name in tried)
    assert not any(getattr(ours, name).in_graph for name in IN_PYTHON)


@pytest.mark.parametrize("name", CASES)
def test_eager(name: str) -> None:
    case = CASES[name]
    for length in case.lengths:
        wanted = of_torch(case, length)
        processor = case.make(ours, ops.convert_to_tensor)
        ids, scores = ops.convert_to_tensor(case.ids), ops.convert_to_tensor(case.scores)
        same(processor(ids[:, :length], scores), wanted)
        same(processor(ops.convert_to_tensor(case.tokens(length)), scores, length), wanted)


@pytest.fixture(scope="module", params=["xla", "unknown batch"])
def in_graph(request: pytest.FixtureRequest) -> Callable[..., dict[str, Any]]:
    """All processors in one program, called with a length for each."""
    made = {name: case.make(ours, ops.convert_to_tensor) for name, case in CASES.items()}

    def run(tokens: Any, scores: Any, lengths: Any) -> dict[str, Any]:
        return {name: made[name](tokens[name], scores[name], lengths[name]) for name in made}

    if request.param == "xla":
        return tf.function(run, jit_compile=True)

    def each(*shape: int | None, dtype: str) -> dict[str, tf.TensorSpec]:
        return {name: tf.TensorSpec(shape, dtype) for name in made}

    signature = [
        each(None, LENGTH, dtype="int32"),
        each(None, VOCAB, dtype="float64"),
        each(dtype="int32"),
    ]
    return tf.function(run, input_signature=signature)


def test_in_a_graph(in_graph: Callable[..., dict[str, Any]]) -> None:
    for turn in range(max(len(case.lengths) for case in CASES.values())):
        lengths = {name: c.lengths[turn % len(c.lengths)] for name, c in CASES.items()}
        got = in_graph(
            {name: tf.constant(case.tokens(lengths[name])) for name, case in CASES.items()},
            {name: tf.constant(case.scores) for name, case in CASES.items()},
            {name: tf.constant(length) for name, length in lengths.items()},
        )
        for name, case in CASES.items():
            try:
                same(got[name], of_torch(case, lengths[name]))
            except AssertionError as error:
                raise AssertionError(f"{name} at length {lengths[name]}: {error}") from error
    assert in_graph.experimental_get_tracing_count() == 1


@pytest.mark.slow
def test_on_jax(run_on_jax: Callable[..., Any], tmp_path: Path) -> None:
    script = Path(__file__).with_name("processor_cases.py")
    done = run_on_jax(str(script), str(tmp_path / "answers.npz"))
    assert done.returncode == 0, done.stderr[-2000:]
    answers = np.load(tmp_path / "answers.npz")
    for name, case in CASES.items():
        for answer, length in zip(answers[name], case.lengths, strict=True):
            same(answer, of_torch(case, length))


def test_dia_ends_its_channels_one_after_the_other() -> None:
    made = [p.DiaEOSDelayPatternLogitsProcessor([0, 2, 1], 5, 14) for p in (theirs, ours)]
    scores = np.random.default_rng(2).normal(size=(14, 6, 11))
    scores[4, 0, 5] = 9  # the first row ends by itself, the second at the limit
    for length in range(1, 14):
        ids = np.zeros((2, length), "int64")
        wanted = made[0](torch.tensor(ids), torch.tensor(scores[length]))
        buffer = ops.zeros((2, 20), dtype="int32")
        same(made[1](buffer, ops.convert_to_tensor(scores[length]), length), wanted.numpy())


@pytest.mark.parametrize("options", [{}, {"seeding_scheme": "selfhash", "context_width": 3}])
def test_watermark(options: dict[str, Any]) -> None:
    made = [p.WatermarkLogitsProcessor(VOCAB + 10, "cpu", **options) for p in (theirs, ours)]
    scores = np.random.default_rng(4).normal(size=(ROWS, VOCAB + 10))
    wanted = made[0](torch_ids(ANY[:, :6]), torch.tensor(scores)).numpy()
    assert (wanted != scores).any()
    same(made[1](ops.convert_to_tensor(ANY), ops.convert_to_tensor(scores), 6), wanted)


def test_a_watermark_needs_its_context() -> None:
    marks = ours.WatermarkLogitsProcessor(VOCAB, context_width=4, seeding_scheme="selfhash")
    with pytest.warns(UserWarning, match="4 tokens decide the watermark"):
        assert marks(ANY, SCORES, 3) is SCORES


@pytest.mark.parametrize("skip", [False, True])
def test_synthid(skip: bool) -> None:
    made = [
        p.SynthIDTextWatermarkLogitsProcessor(
            3, [654, 400, 836, 2**40], 64, 7, 4, "cpu", skip_first_ngram_calls=skip
        )
        for p in (theirs, ours)
    ]
    ids = np.array([[1, 2, 1, 2, 1, 2, 3], [4, 4, 4, 4, 4, 4, 4]])  # contexts that come again
    for length in range(3, 8):
        scores = np.random.default_rng(length).normal(size=(2, VOCAB))
        wanted = made[0](torch.tensor(ids[:, :length]), torch.tensor(scores)).numpy()
        same(made[1](ops.convert_to_tensor(ids), ops.convert_to_tensor(scores), length), wanted)


def test_allowed_tokens() -> None:
    def allowed(batch: int, sentence: Any) -> list[int]:
        return [5, 6] if batch else [int(sentence[-1]), 9]

    made = [p.PrefixConstrainedLogitsProcessor(allowed, 2) for p in (theirs, ours)]
    for lost in (slice(0, 0), slice(2, 4), slice(3, 4)):  # none of the allowed ones is left
        scores = SPREAD.copy()
        scores[lost, 5:7] = -np.inf
        wanted = made[0](torch_ids(FEW[:, :4]), torch.tensor(scores)).numpy()
        same(made[1](ops.convert_to_tensor(FEW), ops.convert_to_tensor(scores), 4), wanted)
    with pytest.raises(ValueError, match=r"expected: one allowed token at least\ngot: none from"):
        ours.PrefixConstrainedLogitsProcessor(lambda batch, sentence: [], 1)(FEW, SCORES, 4)


@pytest.mark.parametrize("scale", [1, 1.5])
def test_guidance_by_a_second_call(scale: float) -> None:
    without = SPREAD[::-1].copy()

    class Output(dict):
        logits = torch.tensor(without)[:, None]

    wanted = theirs.UnbatchedClassifierFreeGuidanceLogitsProcessor(
        scale, lambda *args, **kwargs: Output()
    )(torch_ids(FEW), torch.tensor(SPREAD))
    seen = []

    def logits(input_ids: Any, cur_len: Any) -> Any:
        seen.append(cur_len)
        return ops.convert_to_tensor(without)

    processor = ours.UnbatchedClassifierFreeGuidanceLogitsProcessor(scale, logits)
    same(processor(FEW, ops.convert_to_tensor(SPREAD), 5), wanted.numpy())
    assert seen == ([5] if scale > 1 else [])


@pytest.mark.parametrize("begin", [1, 3])
def test_silence(begin: int) -> None:
    logits = np.random.default_rng(1).normal(size=(ROWS, 3, VOCAB))
    made = [p.WhisperNoSpeechDetection(8, begin, scores_is_logprobs=True) for p in (theirs, ours)]
    for processor, tensor in zip(made, (torch.tensor, ops.convert_to_tensor), strict=True):

        def model(tensor: Any = tensor, **inputs: Any) -> Any:
            return SimpleNamespace(logits=tensor(logits))

        processor.model, processor.inputs = model, {}
        processor.set_begin_index(begin)
        scores = tensor(np.log(0.01 + np.abs(SPREAD) / 100))
        assert processor(tensor(FEW)[:, :begin], scores) is scores
        processor(tensor(FEW)[:, : begin + 1], scores * 2)
    same(made[1].no_speech_prob, made[0].no_speech_prob.numpy())


def test_users_processors_are_called_in_their_own_signature() -> None:
    seen: dict[str, Any] = {}

    def plain(input_ids: Any, scores: Any) -> Any:
        seen["plain"] = input_ids.shape
        return scores + 1

    class Guided(LogitsProcessor):
        def __call__(
            self, input_ids: Any, scores: Any, cur_len: Any = None, *, beam: int = 0, extra: Any
        ) -> Any:
            seen["guided"] = input_ids.shape, cur_len, extra
            return scores * 2

    processors = LogitsProcessorList([ours.TemperatureLogitsWarper(0.5), plain, Guided()])
    got = processors(ops.convert_to_tensor(FEW), ops.convert_to_tensor(SPREAD), 5, extra="x")
    same(got, (SPREAD / 0.5 + 1) * 2)
    assert seen == {"plain": (ROWS, 5), "guided": ((ROWS, LENGTH), 5, "x")}
    assert not processors.in_graph
    assert LogitsProcessorList(processors[:1]).in_graph
    with pytest.raises(ValueError, match="expected: extra, which Guided takes at each step"):
        processors(FEW, SPREAD)


REFUSED: dict[str, Callable[[], Any]] = {
    "temperature=0.0": lambda: ours.TemperatureLogitsWarper(0.0),
    "top_p=1.5": lambda: ours.TopPLogitsWarper(1.5),
    "top_k=0": lambda: ours.TopKLogitsWarper(0),
    "min_length=-1": lambda: ours.MinLengthLogitsProcessor(-1, 2),
    "penalty=1": lambda: ours.RepetitionPenaltyLogitsProcessor(1),
    "bad_words_ids=.3": lambda: ours.NoBadWordsLogitsProcessor([3]),
    r"sequence_bias=\{\}": lambda: ours.SequenceBiasLogitsProcessor({}),
    "sequence_bias=.40": lambda: ours.SequenceBiasLogitsProcessor({(40,): 1.0})(FEW, SCORES),
    "one for 3": lambda: ours.RepetitionPenaltyLogitsProcessor(1.2, np.ones(3))(FEW, SCORES),
    "scores of 4 rows": lambda: ours.ClassifierFreeGuidanceLogitsProcessor(2)(FEW, SCORES),
}


@pytest.mark.parametrize("got", REFUSED)
def test_refusals_say_what_came(got: str) -> None:
    with pytest.raises(ValueError, match=rf"expected: .*\ngot: .*{got}.*\ntry: "):
        REFUSED[got]()


# Options, and what else upstream's generate knows when it selects.
ENDS = {"eos_token_id": [2, 7], "max_length": 9}
SELECTED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "nothing": ({}, {}),
    "all that is not sampling": (
        {
            **ENDS,
            "sequence_bias": {(3,): 1.5},
            "encoder_repetition_penalty": 1.2,
            "repetition_penalty": 1.3,
            "no_repeat_ngram_size": 2,
            "encoder_no_repeat_ngram_size": 3,
            "bad_words_ids": [[4]],
            "min_length": 7,
            "min_new_tokens": 2,
            "forced_bos_token_id": 6,
            "forced_eos_token_id": 2,
            "remove_invalid_values": True,
            "exponential_decay_length_penalty": (1, 1.1),
            "suppress_tokens": [3],
            "begin_suppress_tokens": [8],
            "renormalize_logits": True,
        },
        {"encoder_input_ids": ENCODER},
    ),
    "sampling": (
        {
            **ENDS,
            "do_sample": True,
            "temperature": 0.8,
            "top_h": 0.9,
            "top_k": 20,
            "top_p": 0.9,
            "min_p": 0.01,
            "typical_p": 0.9,
            "epsilon_cutoff": 3e-4,
            "eta_cutoff": 3e-4,
            "renormalize_logits": True,
        },
        {},
    ),
    "beam sampling": ({**ENDS, "do_sample": True, "num_beams": 2, "top_k": 1, "top_p": 0.1}, {}),
    "beam sampling without an end": ({"do_sample": True, "num_beams": 2, "top_p": 0.1}, {}),
    "not asked for": (
        {
            "do_sample": False,
            "temperature": 0.5,
            "top_k": 3,
            "repetition_penalty": 1.0,
            "min_length": 7,  # without an end
            "min_new_tokens": 3,
            "no_repeat_ngram_size": 0,
            "typical_p": 1.0,
        },
        {},
    ),
    "a watermark": ({"watermarking_config": WatermarkingConfig(bias=3.0)}, {}),
    "synthid": ({"watermarking_config": SynthIDTextWatermarkingConfig(3, [5, 6])}, {}),
    "allowed tokens": (
        {"num_beams": 2},
        {"prefix_allowed_tokens_fn": lambda batch, sentence: [1, 2 + batch]},
    ),
    "no tokens in the encoder": (
        {"encoder_repetition_penalty": 1.2, "encoder_no_repeat_ngram_size": 3},
        {"encoder_input_ids": np.full((ROWS, 3), -100)},
    ),
    "padding": (
        {"repetition_penalty": 1.3},
        {"attention_mask": np.array([[1, 1, 1], [0, 1, 1], [0, 0, 1], [1, 1, 0]])},
    ),
    "no tokens in the prompt": ({"repetition_penalty": 1.3, "no_repeat_ngram_size": 2}, {}),
}


def selected_by_torch(
    config: GenerationConfig, prompt_length: Any, given: dict[str, Any], custom: Any = None
) -> Any:
    ends = config.eos_token_id
    config._eos_token_tensor = None if ends is None else torch_ids(ends)
    given = {k: torch_ids(v) if isinstance(v, np.ndarray) else v for k, v in given.items()}
    mask = given.pop("attention_mask", None)
    mixin = TorchMixin()
    mixin.config = SimpleNamespace(
        is_encoder_decoder=False, get_text_config=lambda: SimpleNamespace(vocab_size=VOCAB)
    )
    return mixin._get_logits_processor(
        config,
        prompt_length,
        model_kwargs={} if mask is None else {"attention_mask": mask},
        logits_processor=custom,
        device="cpu",
        **given,
    )


@pytest.mark.parametrize("name", SELECTED)
def test_selection(name: str) -> None:
    options, given = SELECTED[name]
    prompt_length = 0 if name == "no tokens in the prompt" else 4
    config = GenerationConfig(**options)
    with warnings.catch_warnings(record=True) as torchs:
        warnings.simplefilter("always")
        wanted = selected_by_torch(config, prompt_length, given)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        got = get_logits_processor(config, prompt_length, vocab_size=VOCAB, **given)
    assert [type(each).__name__ for each in got] == [type(each).__name__ for each in wanted]
    assert len(caught) == len(torchs)
    for length in (4, 5, 6, 8):
        theirs_now = wanted(torch_ids(FEW[:, :length]), torch.tensor(SPREAD.copy())).numpy()
        same(got(ops.convert_to_tensor(FEW), ops.convert_to_tensor(SPREAD), length), theirs_now)


def test_selection_for_prompts_of_any_length() -> None:
    options, given = SELECTED["all that is not sampling"]
    config = GenerationConfig(**{**options, "min_length": 0})

    @tf.function
    def run(prompt_length: Any, cur_len: Any) -> Any:
        processors = get_logits_processor(
            config, prompt_length, max_length=prompt_length + 4, **given
        )
        return processors(tf.constant(FEW), tf.constant(SPREAD), cur_len)

    for prompt_length in (1, 3):
        config.max_length = prompt_length + 4
        wanted = selected_by_torch(config, prompt_length, given)
        for length in range(prompt_length, prompt_length + 4):
            theirs_now = wanted(torch_ids(FEW[:, :length]), torch.tensor(SPREAD.copy())).numpy()
            same(run(tf.constant(prompt_length), tf.constant(length)), theirs_now)
    assert run.experimental_get_tracing_count() == 1


def test_users_processors_come_in_upstreams_place() -> None:
    config = GenerationConfig(**ENDS, do_sample=True, top_k=3, min_length=5, bad_words_ids=[[4]])
    custom = {
        p: [p.MinLengthLogitsProcessor(8, [2]), p.TopKLogitsWarper(9)] for p in (theirs, ours)
    }
    wanted = selected_by_torch(config, 4, {}, custom[theirs])
    with pytest.warns(UserWarning, match="Two of MinLengthLogitsProcessor are asked for"):
        got = get_logits_processor(config, 4, logits_processor=custom[ours])
    assert [type(each).__name__ for each in got] == [type(each).__name__ for each in wanted]
    assert got[1] is custom[ours][0]
