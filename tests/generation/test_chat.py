"""From a tokenizer into `generate` and back: chat templates, streamers, stop strings, healing."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, TextIteratorStreamer, TextStreamer

from generation.tiny import ours, torch_model

TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}</s>"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
CHATS = [[{"role": "user", "content": each}] for each in ("hello the cat", "a hat")]
NEW = {"max_new_tokens": 4, "do_sample": False}
EAGER = {**NEW, "disable_compile": True}


@pytest.fixture(scope="module")
def tokenizer():
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    found = Tokenizer(models.BPE())
    found.pre_tokenizer, found.decoder = byte_level, decoders.ByteLevel()
    specials = ["<pad>", "<s>", "</s>", "<|user|>", "<|assistant|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=specials,
        initial_alphabet=byte_level.alphabet(),
        show_progress=False,
    )
    texts = ["the cat sat on the mat", "a cat can see a hat", "hello http://cats.org"]
    found.train_from_iterator(texts * 3, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=found,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        padding_side="left",
        chat_template=TEMPLATE,
    )


@pytest.fixture(scope="module")
def theirs(tokenizer):
    return torch_model(vocab_size=len(tokenizer), eos_token_id=2, seed=4)


@pytest.fixture(scope="module")
def model(theirs):
    return ours(theirs)


def encoded(tokenizer: Any, kind: str) -> Any:
    """Two chats, padded on the left."""
    return tokenizer.apply_chat_template(
        CHATS, add_generation_prompt=True, padding=True, return_tensors=kind, return_dict=True
    )


def test_a_chat_template_goes_straight_into_generate(model, theirs, tokenizer):
    wanted = theirs.generate(**encoded(tokenizer, "pt"), **NEW)
    inputs = encoded(tokenizer, "np")
    out = model.generate(**inputs, **EAGER)
    assert np.array_equal(out, wanted)
    assert np.array_equal(model.generate(inputs, **EAGER), wanted)
    texts = tokenizer.batch_decode(np.asarray(out), skip_special_tokens=True)
    assert texts == tokenizer.batch_decode(wanted, skip_special_tokens=True)
    assert tokenizer.decode(out[0]) == tokenizer.decode(wanted[0])


class Kept(TextStreamer):
    """Keeps what it would print."""

    def __init__(self, tokenizer: Any) -> None:
        super().__init__(tokenizer)
        self.parts: list[str] = []

    def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
        self.parts.append(text)


@pytest.mark.parametrize("more", [{}, {"prompt_lookup_num_tokens": 3}], ids=["alone", "assisted"])
def test_a_streamer_gets_what_torchs_gets(model, theirs, tokenizer, more):
    mine, other = Kept(tokenizer), Kept(tokenizer)
    for each, kind in ((mine, "np"), (other, "pt")):
        inputs = tokenizer("the cat the cat", return_tensors=kind)
        if kind == "np":
            model.generate(**inputs, streamer=each, **EAGER, **more)
        else:
            theirs.generate(**inputs, streamer=each, **NEW)
    assert "".join(mine.parts) == "".join(other.parts)


def test_a_streamer_in_another_thread(model, tokenizer):
    inputs = tokenizer(["the hat"], return_tensors="np")
    streamer = TextIteratorStreamer(tokenizer, skip_prompt=True)
    thread = threading.Thread(
        target=model.generate, kwargs={**inputs, "streamer": streamer, **EAGER}
    )
    thread.start()
    text = "".join(streamer)
    thread.join()
    out = model.generate(**inputs, **EAGER)
    assert text == tokenizer.decode(np.asarray(out)[0, inputs["input_ids"].shape[1] :])


@pytest.mark.parametrize("more", [{}, {"prompt_lookup_num_tokens": 3}], ids=["alone", "assisted"])
def test_a_stop_string_ends_candidates_too(model, tokenizer, more):
    inputs = tokenizer(["the cat the cat"], return_tensors="np")
    length = inputs["input_ids"].shape[1]
    words = {"suppress_tokens": list(range(261)), **EAGER}  # no single bytes
    new = np.asarray(model.generate(**inputs, **words))[0, length:]
    text = tokenizer.decode(new[1:3])
    out = model.generate(**inputs, stop_strings=[text], tokenizer=tokenizer, **words, **more)
    written = [tokenizer.decode(new[:count]) for count in range(len(new) + 1)]
    count = next(count for count, each in enumerate(written) if text in each)
    assert np.asarray(out)[0, length:].tolist() == new[:count].tolist()


def test_tokens_are_healed(model, theirs, tokenizer):
    texts = ["ht"]
    found, wanted = (
        each.generate(
            **tokenizer(texts, padding=True, return_tensors=kind),
            token_healing=True,
            tokenizer=tokenizer,
            **options,
        )
        for each, kind, options in ((model, "np", EAGER), (theirs, "pt", NEW))
    )
    assert np.array_equal(found, wanted)
    assert tokenizer.decode(np.asarray(found)[0, :-4]) == "htp"
    with pytest.raises(ValueError, match="tokenizer=tokenizer"):
        model.generate(**tokenizer(texts[:1], return_tensors="np"), token_healing=True, **EAGER)
