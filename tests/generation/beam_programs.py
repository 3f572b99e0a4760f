"""Beam search without a model: run call by call, in a graph, compiled, with a cache and without.

As a script, on the backend that Keras has: `python beam_programs.py answers.npz`.
"""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
from keras import ops
from transformers import GenerationConfig

from keraform.generation import running
from keraform.generation.beams import BeamSearch, best
from keraform.generation.processors import LogitsProcessorList
from keraform.generation.programs import Programs
from keraform.generation.seeds import seed_of
from keraform.generation.stopping import get_stopping_criteria
from keraform.runtime.caches.state import CacheState

WORDS, ROOM, PROMPT, LONGEST = 13, 16, 3, 11
TABLE = np.random.default_rng(1).normal(size=(53, WORDS)).astype("float32") * 3
PROMPTS = np.random.default_rng(2).integers(0, WORDS, (4, PROMPT)).astype("int32")
CONFIGS: dict[str, dict[str, Any]] = {
    "first": {"num_beams": 3, "eos_token_id": [4, 7], "early_stopping": True},
    "estimate": {"num_beams": 3, "eos_token_id": [4, 7], "num_return_sequences": 2},
    "never": {"num_beams": 2, "eos_token_id": 4, "early_stopping": "never"},
    "drawn": {"num_beams": 3, "eos_token_id": [1, 4, 7, 9], "do_sample": True},
}
DEFAULTS = {
    "num_return_sequences": 1,
    "early_stopping": False,
    "length_penalty": 1.0,
    "do_sample": False,
    "pad_token_id": 2,
}


class Sums(CacheState):
    """A cache: the sum [b] of the tokens before the last one."""

    def __init__(self, sums: Any) -> None:
        self.sums = sums

    def reorder_cache(self, rows: Any) -> None:
        """As a model's cache does."""
        self.sums = ops.take(self.sums, rows, axis=0)


class Speaker:
    """Calls of a model that goes by the last token and the sum of those before.

    Args:
        is_cached: whether the sum comes from a cache, or is computed of all tokens again.
    """

    model = SimpleNamespace(variables=[])

    def __init__(self, is_cached: bool) -> None:
        self.is_cached = is_cached

    def first(self, input_ids: Any, length: Any, arguments: dict[str, Any]) -> Any:
        """The call with all tokens."""
        before = ops.arange(ROOM, dtype="int32") < length - 1
        sums = ops.sum(ops.where(before, input_ids, 0), axis=1)
        return self._said(input_ids, length, Sums(sums))

    def next(self, input_ids: Any, length: Any, arguments: dict[str, Any]) -> Any:
        """The call with one token more."""
        if not self.is_cached:
            return self.first(input_ids, length, arguments)
        cache = arguments["past_key_values"]
        cache.sums = cache.sums + ops.take(input_ids, length - 2, axis=1)
        return self._said(input_ids, length, cache)

    def _said(self, input_ids: Any, length: Any, cache: Sums) -> Any:
        last = ops.take(input_ids, length - 1, axis=1)
        logits = ops.take(TABLE, (7 * last + cache.sums) % len(TABLE), axis=0)
        return SimpleNamespace(logits=logits[:, None]), {"past_key_values": cache}


def search(name: str, is_cached: bool = True) -> BeamSearch:
    """A way of decoding with the options of this name."""
    config = GenerationConfig(**DEFAULTS | CONFIGS[name])

    def rules(prompt_length: Any, max_length: Any, looked_at: Any) -> tuple[Any, Any]:
        return LogitsProcessorList(), get_stopping_criteria(config, max_length=max_length)

    return BeamSearch(Speaker(is_cached), config, rules)


def start(method: BeamSearch, prompts: Any, lengths: Any = int) -> tuple[Any, ...]:
    """Its arguments, with lengths as ints or tensors."""
    rows = ops.repeat(ops.convert_to_tensor(prompts), method.beams, axis=0)
    junk = ops.full_like(rows[:, :1], 5)
    room = ops.concatenate([rows, ops.repeat(junk, ROOM - PROMPT, axis=1)], axis=1)
    return room, lengths(PROMPT), lengths(LONGEST), {}, seed_of(7)


def found(method: BeamSearch, state: Any) -> dict[str, np.ndarray]:
    """Tokens, beams and scores of what was found."""
    beams = best(state, method.config.num_return_sequences)
    return {key: np.asarray(ops.convert_to_numpy(value)) for key, value in beams.items()}


def step_by_step(name: str, is_cached: bool = True) -> dict[str, np.ndarray]:
    """By Python."""
    method = search(name, is_cached)
    state = running.step_by_step(method, start(method, PROMPTS), lambda state, record: None)
    return found(method, state)


def compiled(name: str) -> dict[str, np.ndarray]:
    """As two programs."""
    method = search(name)
    arguments = start(method, PROMPTS, lambda length: ops.convert_to_tensor(length, "int32"))
    return found(method, running.compiled(method, arguments, Programs(Speaker.model), (name,)))


if __name__ == "__main__":
    answers = {
        f"{name} {way.__name__} {key}": value
        for name in CONFIGS
        for way in (step_by_step, compiled)
        for key, value in way(name).items()
    }
    np.savez(sys.argv[1], **answers)
