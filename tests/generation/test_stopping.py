"""Each criterion ends the rows that torch's ends: eagerly and compiled."""

from __future__ import annotations

import random
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import torch
from keras import ops
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GenerationConfig, PreTrainedTokenizerFast
from transformers.generation import stopping_criteria as theirs
from transformers.generation.utils import GenerationMixin as TorchMixin

from keraform.generation import stopping as ours
from keraform.generation.stopping import StoppingCriteriaList, get_stopping_criteria
from keraform.generation.streamers import TextIteratorStreamer, TextStreamer

ROWS, LENGTH, VOCAB = 5, 9, 20
WORDS = ("stop", "top", "opera", "st", "é", "ab", "abcdef", ".")
RANDOM = np.random.default_rng(3)
IDS = RANDOM.integers(0, 6, (ROWS, LENGTH), "int32")
SCORES = (RANDOM.normal(size=(ROWS, VOCAB)),)

# (how it is made, lengths at which its answers differ)
CASES: dict[str, tuple[Callable[[Any], Any], tuple[int, ...]]] = {
    "max_length": (lambda p: p.MaxLengthCriteria(5), (4, 5, 6)),
    "one_end": (lambda p: p.EosTokenCriteria(2), (1, 5, LENGTH)),
    "ends": (lambda p: p.EosTokenCriteria([2, 4, 5]), (1, 5, LENGTH)),
    "confidence": (lambda p: p.ConfidenceCriteria(0.05), (1, 2, 3, 4, 5, LENGTH)),
}


def torch_ids(ids: Any) -> torch.Tensor:
    return torch.tensor(np.asarray(ids, "int64"))


def of_torch(criterion: Any, length: int) -> np.ndarray:
    scores = tuple(torch.tensor(each) for each in SCORES)
    # a list makes one answer for all rows one for each
    return theirs.StoppingCriteriaList([criterion])(torch_ids(IDS[:, :length]), scores).numpy()


@pytest.mark.parametrize("name", CASES)
def test_criteria(name: str) -> None:
    make, lengths = CASES[name]
    criterion = make(ours)
    assert criterion.in_graph
    compiled = tf.function(criterion, jit_compile=True)
    wanted = [of_torch(make(theirs), length) for length in lengths]
    assert np.unique(wanted).tolist() == [False, True]
    for length, each in zip(lengths, wanted, strict=True):
        ids, scores = ops.convert_to_tensor(IDS), tuple(map(ops.convert_to_tensor, SCORES))
        for got in (
            criterion(ids[:, :length], scores),
            criterion(ids, scores, length),
            compiled(ids, scores, tf.constant(length)),
        ):
            assert got.shape == (ROWS,)
            np.testing.assert_array_equal(ops.convert_to_numpy(got), each)


def test_several_last_tokens_are_looked_at() -> None:
    wanted = theirs.EosTokenCriteria([2])(torch_ids(IDS[:, :6]), None, new_token_length=3)
    got = ours.EosTokenCriteria(2)(ops.convert_to_tensor(IDS), None, 6, new_token_length=3)
    np.testing.assert_array_equal(ops.convert_to_numpy(got), wanted.numpy())


def test_time_and_length_end_all_rows() -> None:
    assert not ours.MaxTimeCriteria.in_graph
    assert ops.convert_to_numpy(ours.MaxTimeCriteria(1.0, 0.0)(IDS, None)).tolist() == [True] * ROWS
    assert not ops.convert_to_numpy(ours.MaxTimeCriteria(60.0)(IDS, None)).any()
    longest = ours.MaxLengthCriteria(9, max_position_embeddings=6)
    with pytest.warns(UserWarning, match="longer than the 6 positions"):
        assert not ops.convert_to_numpy(longest(IDS, None, 7)).any()


def test_lists() -> None:
    def plain(input_ids: Any, scores: Any, **kwargs: Any) -> Any:
        return ops.convert_to_tensor([input_ids.shape[1] == 5] + [False] * (ROWS - 1))

    criteria = StoppingCriteriaList([ours.EosTokenCriteria([2]), plain])
    got = ops.convert_to_numpy(criteria(ops.convert_to_tensor(IDS), None, 5))
    wanted = IDS[:, 4] == 2
    wanted[0] = True
    np.testing.assert_array_equal(got, wanted)
    assert not criteria.in_graph
    assert StoppingCriteriaList(criteria[:1]).in_graph
    assert criteria.max_length is None
    assert StoppingCriteriaList([ours.MaxLengthCriteria(4)]).max_length == 4


def tokenizer(kind: str) -> PreTrainedTokenizerFast:
    """A small one whose tokens overlap in many ways."""
    words = random.Random(5).choices(
        ["stop", "top", "opera", "st", "é", "ab", "abcdef", "."], k=600
    )
    if kind == "byte_level":
        made = Tokenizer(models.BPE())
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        made.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=330, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
        )
        made.train_from_iterator([" ".join(words), "".join(words)], trainer)
    else:
        made = Tokenizer(models.BPE(byte_fallback=kind == "byte_fallback", unk_token="<unk>"))
        made.pre_tokenizer = pre_tokenizers.Metaspace()
        fallback = [f"<0x{byte:02X}>" for byte in range(256)] if kind == "byte_fallback" else []
        trainer = trainers.BpeTrainer(vocab_size=80, special_tokens=["<unk>"])
        made.train_from_iterator([" ".join(words), "".join(words)], trainer)
        if fallback:
            made.add_tokens(fallback)
            parts = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
            made.decoder = decoders.Sequence(parts)
        else:
            made.decoder = decoders.Metaspace()
    return PreTrainedTokenizerFast(tokenizer_object=made)


@pytest.mark.parametrize("kind", ["byte_level", "byte_fallback", "characters"])
def test_stop_strings(kind: str) -> None:
    made = tokenizer(kind)
    size = len(made)
    strings = ["stop", "opé", "t", ".st.", "ab st"]
    pair = [p.StopStringCriteria(made, strings) for p in (theirs, ours)]
    # tokens of the vocabulary at random, and texts in which the strings stand
    rows = np.random.default_rng(7).integers(0, size + 3, (600, 8))
    texts = random.Random(8)
    for row in rows[:400]:
        text = "".join(texts.choices(["stop", "sto", "p", "op", "é", " ab", " st", "."], k=8))
        row[:] = (made(text, add_special_tokens=False)["input_ids"] * 8)[:8]
    compiled = tf.function(pair[1], jit_compile=True)
    for length in (1, 3, 8):
        wanted = pair[0](torch_ids(rows[:, :length]), None).numpy()
        assert 0.02 < wanted.mean() < 0.98
        buffer = tf.constant(rows, "int32")
        for got in (
            pair[1](buffer[:, :length], None),
            compiled(buffer, None, tf.constant(length)),
        ):
            np.testing.assert_array_equal(got.numpy(), wanted)


def test_a_string_that_no_token_ends() -> None:
    with pytest.raises(ValueError, match=r"got: stop_strings=\['漢'\]"):
        ours.StopStringCriteria(tokenizer("characters"), "漢")


def test_selection() -> None:
    made = tokenizer("characters")
    options = {"max_length": 9, "max_time": 60.0, "stop_strings": "stop", "eos_token_id": [2, 4]}
    config = GenerationConfig(**options)
    config.is_assistant, config.assistant_confidence_threshold = True, 0.4
    config._eos_token_tensor = torch_ids([2, 4])
    mixin = TorchMixin()
    mixin.config = SimpleNamespace(max_position_embeddings=20)
    custom = {p: [p.MaxTimeCriteria(5.0)] for p in (theirs, ours)}
    wanted = mixin._get_stopping_criteria(config, custom[theirs], tokenizer=made)
    with pytest.warns(UserWarning, match="Two of MaxTimeCriteria"):
        got = get_stopping_criteria(
            config, stopping_criteria=custom[ours], tokenizer=made, max_position_embeddings=20
        )
    assert [type(each).__name__ for each in got] == [type(each).__name__ for each in wanted]
    assert got[1] is custom[ours][0]
    assert got.max_length == 9
    with pytest.raises(ValueError, match=r"stop_strings='stop' and tokenizer=None"):
        get_stopping_criteria(config)
    assert len(get_stopping_criteria(GenerationConfig(max_length=None))) == 0


def test_streamers_take_numpy(capsys: pytest.CaptureFixture[str]) -> None:
    made = tokenizer("byte_level")
    tokens = np.array(made("stop opera top")["input_ids"])
    printing, queued = TextStreamer(made, skip_prompt=True), TextIteratorStreamer(made)
    for streamer in (printing, queued):
        streamer.put(tokens[None, :2])
        for token in tokens[2:]:
            streamer.put(token[None])
        streamer.end()
    assert "".join(queued) == "stop opera top"
    assert capsys.readouterr().out == made.decode(tokens[2:]) + "\n"
