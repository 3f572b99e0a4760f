"""Where the tokens of a vocabulary fit into stop strings, as one table of integers.

A stop string of n characters (or bytes) is read from its end. A token fits at place i when it can
stand i characters before that end: all of it that lies within the string agrees with the string; it
may run over the beginning. The last token may also run over the end: then it overlaps with 1 to n
characters.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from keraform.errors import explain

Text = str | bytes

# Text that is written before a token, so that it is decoded as one inside of a sentence.
BEFORE = "abcdef"


class StopTable(NamedTuple):
    """What is known of each token; a row [t] more stands for those outside of the vocabulary.

    Args:
        lengths: [t], its characters.
        places: [t, strings, n], where it fits; -1 fills up.
        overlaps: [t, strings, n], with how many characters it overlaps as the last; -1 fills up.
        targets: [strings], their lengths.
    """

    lengths: np.ndarray
    places: np.ndarray
    overlaps: np.ndarray
    targets: np.ndarray


def stop_table(tokenizer: Any, stop_strings: tuple[str, ...]) -> StopTable:
    """The table of a tokenizer and some strings. The last ones are kept, since it takes seconds.

    Raises:
        ValueError: no token can end any of the strings.
    """
    tokens = tuple(tokenizer.get_vocab().items())
    return _table(_Vocabulary(tokens, bytes_of(tokenizer), tokenizer), stop_strings)


@dataclass(frozen=True)
class _Vocabulary:
    tokens: tuple[tuple[str, int], ...]
    bytes_of: str | None
    tokenizer: Any = field(compare=False)


@lru_cache(maxsize=8)
def _table(vocabulary: _Vocabulary, stop_strings: tuple[str, ...]) -> StopTable:
    texts = written_tokens(vocabulary.tokenizer, vocabulary.bytes_of)
    strings: list[Text] = [
        each if vocabulary.bytes_of is None else each.encode() for each in stop_strings
    ]
    rows = max(texts) + 2
    lengths = np.full(rows, -1, "int32")
    for token, text in texts.items():
        lengths[token] = len(text)
    places = [{t: inner_places(text, each) for t, text in texts.items()} for each in strings]
    overlaps = [{t: end_overlaps(text, each) for t, text in texts.items()} for each in strings]
    if not any(found for each in overlaps for found in each.values()):
        raise ValueError(
            explain(
                "stop strings that tokens of the vocabulary can end",
                f"stop_strings={list(stop_strings)}",
                'stop_strings=["."], of characters that the tokenizer knows',
            )
        )
    targets = np.array([len(each) for each in strings], "int32")
    return StopTable(lengths, _filled(places, rows), _filled(overlaps, rows), targets)


def _filled(by_string: list[dict[int, list[int]]], rows: int) -> np.ndarray:
    """Lists of integers by string and token as an array [rows, strings, n], filled up with -1."""
    width = max([1, *(len(found) for each in by_string for found in each.values())])
    array = np.full((rows, len(by_string), width), -1, "int32")
    for column, each in enumerate(by_string):
        for token, found in each.items():
            array[token, column, : len(found)] = found
    return array


def inner_places(token: Text, string: Text) -> list[int]:
    """How many characters of the string may follow the token, 1 at least."""
    return [i for i in range(1, len(string)) if _agree(token, string[: len(string) - i])]


def end_overlaps(token: Text, string: Text) -> list[int]:
    """With how many of its first characters the token can stand at the string's end."""
    begins = (token[:n] for n in range(1, len(token) + 1))
    return [min(len(each), len(string)) for each in begins if _agree(each, string)]


def _agree(one: Any, other: Any) -> bool:
    """Whether one of two texts ends with the other."""
    return one.endswith(other) or other.endswith(one)


def written_tokens(tokenizer: Any, bytes_of: str | None) -> dict[int, Text]:
    """What each token writes inside of a text, by its id: bytes, or characters where `bytes_of` is
    None.
    """
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    byte_of = {char: byte for byte, char in bytes_to_unicode().items()}
    ids = tokenizer(BEFORE, add_special_tokens=False)["input_ids"]
    before = tokenizer.convert_ids_to_tokens(ids)
    written: dict[int, Text] = {}
    for token, index in tokenizer.get_vocab().items():
        if bytes_of == "byte_level" and all(char in byte_of for char in token):
            written[index] = bytes(byte_of[char] for char in token)
        elif bytes_of == "byte_fallback" and (byte := _fallback_byte(token)) is not None:
            written[index] = byte
        else:
            text = tokenizer.convert_tokens_to_string([*before, token])
            text = text[text.index(BEFORE) + len(BEFORE) :]
            written[index] = text if bytes_of is None else text.encode()
    return written


def _fallback_byte(token: str) -> bytes | None:
    """The byte that a token like "<0x0A>" stands for."""
    digits = token[3:5]
    if token != f"<0x{digits}>" or not all(each in "0123456789abcdefABCDEF" for each in digits):
        return None
    return bytes.fromhex(digits) if len(digits) == 2 else None


def bytes_of(tokenizer: Any) -> str | None:
    """Whether tokens are parts of bytes, so that strings must be compared by bytes: "byte_level",
    "byte_fallback" (a token for each byte beside others), or None.
    """
    decoder = getattr(getattr(tokenizer, "backend_tokenizer", None), "decoder", None)
    if type(decoder).__name__ == "ByteLevel":
        return "byte_level"
    try:
        types = set(_types(json.loads(decoder.__getstate__())))
    except (AttributeError, TypeError, ValueError):  # a decoder that does not tell what it is
        return None
    if "ByteFallback" in types:
        return "byte_fallback"
    return "byte_level" if "ByteLevel" in types else None


def _types(state: Any) -> list[str]:
    """The types of a decoder and of all decoders in it."""
    if isinstance(state, list):
        return [name for each in state for name in _types(each)]
    if isinstance(state, dict):
        own = [state["type"]] if isinstance(state.get("type"), str) else []
        return own + _types(list(state.values()))
    return []
