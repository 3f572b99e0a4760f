"""The table of option sets with which `generate` has to say what torch's says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

NEW_TOKENS = 8

# A set is made of the tokens [b, NEW_TOKENS] that torch generates greedily from the prompt, so that
# each of them changes something: what ends a sequence, or may not be said, is what would be said.
Tokens = list[list[int]]
OptionSet = Callable[[Tokens], dict[str, Any]]


def _end(tokens: Tokens) -> int:
    return tokens[0][2]


def _ends(tokens: Tokens) -> list[int]:
    return [tokens[0][2], tokens[-1][4]]


def _allowed(tokens: Tokens) -> Callable[[int, Any], list[int]]:
    """Every other time the first row's tokens, else the last row's."""
    return lambda row, ids: sorted(set(tokens[(row + len(ids)) % 2 - 1]))


def _bias(tokens: Tokens) -> dict[tuple[int, ...], float]:
    row = tokens[0]
    return {(row[0],): -3.0, (row[1], row[2]): -8.0, (tokens[-1][3],): 1.5}


BEAMS = {"num_beams": 3}
OPTION_SETS: dict[str, OptionSet] = {
    "greedy": lambda t: {},
    "an end": lambda t: {"eos_token_id": _end(t)},
    "several ends": lambda t: {"eos_token_id": _ends(t), "pad_token_id": 1},
    "repetition penalty": lambda t: {"repetition_penalty": 1.7},
    "no repeated n-grams": lambda t: {"no_repeat_ngram_size": 2},
    "bad words": lambda t: {"bad_words_ids": [[t[0][0]], [t[0][1], t[0][2]]]},
    "sequence bias": lambda t: {"sequence_bias": _bias(t)},
    "suppressed tokens": lambda t: {
        "suppress_tokens": [t[0][1]],
        "begin_suppress_tokens": [t[0][0], t[-1][0]],
    },
    "forced tokens": lambda t: {"forced_bos_token_id": t[0][3], "forced_eos_token_id": t[0][1]},
    "a least length": lambda t: {"eos_token_id": t[0][0], "min_length": 9},
    "a least number of new tokens": lambda t: {"eos_token_id": _ends(t), "min_new_tokens": 6},
    "exponential decay": lambda t: {
        "eos_token_id": t[0][7],
        "exponential_decay_length_penalty": (2, 1.9),
    },
    "encoder's repetition penalty": lambda t: {"encoder_repetition_penalty": 2.5},
    "encoder's n-grams": lambda t: {"encoder_no_repeat_ngram_size": 1},
    "allowed tokens": lambda t: {"prefix_allowed_tokens_fn": _allowed(t)},
    "beams": lambda t: BEAMS,
    "beams, an end": lambda t: BEAMS | {"eos_token_id": _end(t)},
    "beams, the first that end": lambda t: (
        BEAMS | {"eos_token_id": _ends(t), "early_stopping": True}
    ),
    "beams, no estimate": lambda t: (
        BEAMS | {"eos_token_id": _end(t), "early_stopping": "never", "length_penalty": 0.0}
    ),
    "beams, longer ones": lambda t: (
        BEAMS | {"eos_token_id": _end(t), "early_stopping": "never", "length_penalty": 2.0}
    ),
    "beams, shorter ones": lambda t: BEAMS | {"eos_token_id": _ends(t), "length_penalty": -1.0},
    "beams, several sequences": lambda t: (
        {"num_beams": 4, "num_return_sequences": 3} | {"eos_token_id": _ends(t)}
    ),
    "beams, repetition penalty": lambda t: BEAMS | {"repetition_penalty": 1.3},
    "beams, no repeated n-grams": lambda t: BEAMS | {"no_repeat_ngram_size": 2},
    "beams, bad words": lambda t: BEAMS | {"bad_words_ids": [[t[0][0]], [t[0][1], t[0][2]]]},
    "beams, sequence bias": lambda t: BEAMS | {"sequence_bias": _bias(t)},
    "beams, suppressed tokens": lambda t: BEAMS | {"suppress_tokens": [t[0][1], t[-1][0]]},
    "beams, forced tokens": lambda t: (
        BEAMS | {"forced_bos_token_id": t[0][3], "forced_eos_token_id": t[0][1]}
    ),
    "beams, least length and decay": lambda t: (
        BEAMS
        | {
            "eos_token_id": _end(t),
            "min_new_tokens": 4,
            "exponential_decay_length_penalty": (5, 1.5),
        }
    ),
    "beams, allowed tokens": lambda t: (
        BEAMS | {"prefix_allowed_tokens_fn": _allowed(t), "renormalize_logits": True}
    ),
}
