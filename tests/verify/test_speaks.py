"""Rung 10 on a hand-written pair that generates: it passes, every seeded fault is named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from keras import ops
from torch import nn

from keraform.runtime import layers
from keraform.runtime.layers import Layer
from keraform.verify.cases import Case, Variant
from keraform.verify.files import load_by_tree
from keraform.verify.ladder import attempt
from keraform.verify.outcome import PASS, ClassReport
from keraform.verify.rungs.speaks import speaks
from keraform.verify.twin import twin_of

WORDS, WIDTH = 23, 6

# ids, mask and cache in; log-probabilities of the last position and the cache out.
Step = Callable[[np.ndarray, np.ndarray, Any], tuple[np.ndarray, np.ndarray]]


def search(step: Step, ids: Any, mask: Any, beams: int, length: int, use_cache: bool) -> np.ndarray:
    """Beam search without an end token; one beam is the greedy search."""
    mask = np.ones_like(ids) if mask is None else mask
    rows = []
    for row, seen in zip(np.asarray(ids), np.asarray(mask), strict=True):
        kept, scores, cache = row[None], np.zeros(1), None
        for _ in range(length):
            shown = kept[:, -1:] if cache is not None else kept
            open_ = np.pad(seen, (0, kept.shape[1] - len(seen)), constant_values=1)
            given = np.tile(open_, (len(kept), 1))[:, -shown.shape[1] :]
            logs, state = step(shown, given, cache)
            total = (scores[:, None] + logs).ravel()
            best = np.argsort(-total, kind="stable")[:beams]
            scores, parents = total[best], best // WORDS
            kept = np.concatenate([kept[parents], (best % WORDS)[:, None]], 1)
            cache = state[parents] if use_cache else None
        rows.append(kept[0])
    return np.stack(rows)


class Speaker(nn.Module):
    """A language model on the sum of all words so far, which is its cache."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(WORDS, WIDTH)
        self.mix = nn.Linear(WIDTH, WIDTH)
        self.head = nn.Linear(WIDTH, WORDS)

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        past_key_values: torch.Tensor | None = None,
        use_cache: bool = True,
    ) -> dict[str, Any]:
        x = self.embed(input_ids)
        state = torch.zeros_like(x[:, 0]) if past_key_values is None else past_key_values
        states = []
        for position in range(x.shape[1]):
            seen = 1 if attention_mask is None else attention_mask[:, position, None]
            state = state + seen * x[:, position]
            states.append(state)
        output = {"logits": self.head(torch.tanh(self.mix(torch.stack(states, 1))))}
        return output | ({"past_key_values": state} if use_cache else {})

    def can_generate(self) -> bool:
        return True

    def generate(
        self, input_ids, attention_mask=None, *, num_beams, use_cache, max_new_tokens, **options
    ):
        def step(ids, mask, cache):
            cache = None if cache is None else torch.from_numpy(cache)
            found = self(torch.from_numpy(ids), torch.from_numpy(mask), cache)
            return found["logits"][:, -1].log_softmax(-1).numpy(), found["past_key_values"].numpy()

        mask = None if attention_mask is None else attention_mask.numpy()
        tokens = search(step, input_ids.numpy(), mask, num_beams, max_new_tokens, use_cache)
        return torch.from_numpy(tokens)


class TFSilent(Layer):
    """The port of Speaker without `generate`; `fault` names one deliberate mistake."""

    def __init__(self, fault: str = "", **kwargs) -> None:
        super().__init__(**kwargs)
        self.fault = fault
        self.embed = layers.Embedding(WORDS, WIDTH, name="embed")
        self.mix = layers.Dense(WIDTH, WIDTH, name="mix")
        self.head = layers.Dense(WIDTH, WORDS, name="head")

    def call(self, input_ids, attention_mask=None, past_key_values=None, use_cache=True):
        x = self.embed(input_ids)
        forgets = past_key_values is None or self.fault == "forgets"
        state = ops.zeros_like(x[:, 0]) if forgets else past_key_values
        states = []
        for position in range(x.shape[1]):
            moved = x[:, position]
            if attention_mask is not None and self.fault != "mask":
                moved = moved * ops.cast(attention_mask[:, position, None], x.dtype)
            state = state + moved
            states.append(state)
        output = {"logits": self.head(ops.tanh(self.mix(ops.stack(states, 1))))}
        return output | ({"past_key_values": state} if use_cache else {})

    def generate(self, *args, **kwargs):
        raise NotImplementedError("Expected a release of Keraform with generation.")


class TFSpeaker(TFSilent):
    """The port of Speaker."""

    def generate(
        self, input_ids, attention_mask=None, *, num_beams, use_cache, max_new_tokens, **options
    ):
        def step(ids, mask, cache):
            cache = None if cache is None else ops.convert_to_tensor(cache)
            found = self(ops.convert_to_tensor(ids), ops.convert_to_tensor(mask), cache)
            logs = ops.log_softmax(found["logits"][:, -1])
            if self.fault == "sign" and cache is None and num_beams == 1 and not use_cache:
                logs = -logs
            return ops.convert_to_numpy(logs), ops.convert_to_numpy(found["past_key_values"])

        mask = None if attention_mask is None else ops.convert_to_numpy(attention_mask)
        if self.fault == "unmasked":
            mask = None
        beams = 1 if self.fault == "greedy" else num_beams
        ids = ops.convert_to_numpy(input_ids)
        tokens = search(step, ids, mask, beams, max_new_tokens, use_cache)
        return tokens[:, 1:] if self.fault == "short" else tokens


def speaker_case(port: type = TFSpeaker, fault: str = "") -> Case:
    """The pair as a case."""
    ids = np.random.default_rng(5).integers(0, WORDS, (3, 8))
    return Case(
        name="Speaker",
        make_twin=lambda: twin_of(Speaker),
        make_port=lambda: port(fault),
        load=load_by_tree,
        make_variants=lambda: (Variant("plain", {"input_ids": ids}),),
    )


def outcome_of(case: Case) -> str:
    return attempt(speaks, case, ClassReport("Speaker"))


def test_a_port_that_generates_passes():
    assert outcome_of(speaker_case()) == PASS


def test_a_port_without_generation_says_what_holds():
    assert outcome_of(speaker_case(TFSilent)) == (
        "fail: generated tokens equal torch's: the port refuses: Expected a release of Keraform "
        "with generation.; what holds: a cache continued equals uncached, left-padded rows equal "
        "single rows"
    )


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("forgets", "a cache continued equals uncached: positions 6 to 8 are off torch's by"),
        ("forgets", "what holds: left-padded rows equal single rows"),
        ("mask", "left-padded rows equal single rows: is off torch's by"),
        (
            "unmasked",
            "generated tokens equal torch's: greedy, cached, left-padded batch: row 1, token",
        ),
        ("greedy", "generated tokens equal torch's: 3 beams, cached: row"),
        ("sign", "generated tokens equal torch's: greedy, uncached: row 0, token 8 is"),
        ("short", "greedy, cached: shape (2, 13), torch gives (2, 14)"),
    ],
)
def test_a_fault_is_found_and_named(fault, words):
    outcome = outcome_of(speaker_case(fault=fault))
    assert outcome.startswith("fail: ")
    assert words in outcome


def test_a_class_that_does_not_generate():
    case = speaker_case()
    case.make_twin = lambda: twin_of(lambda: nn.Linear(2, 2))
    assert outcome_of(case).startswith("not applicable: the class does not generate")
