"""How much two paths of names are alike: words, their synonyms and abbreviations, and numbers."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from functools import lru_cache

# The first of each line stands for all.
SYNONYMS = {
    word: words[0]
    for words in (
        ("query", "q", "wq", "que"),
        ("key", "k", "wk"),
        ("value", "v", "wv", "val"),
        ("out", "o", "wo", "output"),
        ("attention", "attn", "att", "mha", "mhsa", "selfattn", "selfattention"),
        ("norm", "ln", "layernorm", "bn", "batchnorm", "normalization", "rmsnorm", "groupnorm"),
        ("embedding", "emb", "embed", "embeddings", "embedder", "te", "wte", "wpe"),
        ("position", "pos", "positional", "positions", "wpe"),
        ("token", "tok", "tokens", "word", "vocab", "wte"),
        ("dense", "fc", "linear", "lin", "proj", "projection", "affine"),
        ("mlp", "ffn", "ff", "feedforward", "feed"),
        ("head", "classifier", "cls", "logits"),
        ("conv", "convolution", "cnn"),
        ("backward", "reverse", "bwd", "rev"),
        ("recurrent", "hh"),
        ("hidden", "inner", "intermediate"),
    )
    for word in words
}
# Words that say nothing about which of several layers it is.
WEAK = frozenset(
    "layer layers block blocks h model module self cell forward weight kernel dense conv".split()
)
WEAK_SHARE, NUMBER_SHARE = 0.3, 0.8

Words = tuple[str, ...]


@lru_cache(maxsize=65536)
def words_of(path: str) -> Words:
    """`encoder.layer_0.selfAttn.qProj` as (encoder, layer, 0, self, attention, query, dense)."""
    text = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", path).lower()
    return tuple(
        SYNONYMS.get(word, word) for word in re.findall(r"[a-z]+|\d+", text) if word not in ("d",)
    )


def ranked(paths: Iterable[str]) -> dict[str, Words]:
    """The words of each path, each number replaced by its rank among those in its place.

    So it does not matter whether a side counts from 0 or from 1, or goes on counting where another
    model has stopped (Keras's `dense_9`).
    """
    words = {path: words_of(path) for path in paths}
    seen: dict[Words, set[int]] = {}
    for each in words.values():
        for index, word in enumerate(each):
            if word.isdigit():
                seen.setdefault(_context(each, index), set()).add(int(word))
    ranks = {place: sorted(numbers) for place, numbers in seen.items()}
    return {
        path: tuple(
            str(ranks[_context(each, i)].index(int(word))) if word.isdigit() else word
            for i, word in enumerate(each)
        )
        for path, each in words.items()
    }


def _context(words: Words, index: int) -> Words:
    return words[:index]


@lru_cache(maxsize=262144)
def alike(one: Words, other: Words) -> float:
    """From 0 to 1: the weight of the words that both have, in any order."""
    total = sum(map(_share, one)) + sum(map(_share, other))
    if not total:
        return 1.0
    left = list(other)
    common = 0.0
    for word in one:
        best = max(left, key=lambda each: _same(word, each), default=None)
        if best is not None and (likeness := _same(word, best)) > 0:
            common += likeness * (_share(word) + _share(best))
            left.remove(best)
    return common / total


def _share(word: str) -> float:
    if word.isdigit():
        return NUMBER_SHARE
    return WEAK_SHARE if word in WEAK else 1.0


@lru_cache(maxsize=65536)
def _same(one: str, other: str) -> float:
    """1 for the same word, less for one that begins with the other or is nearly it."""
    if one == other:
        return 1.0
    if one.isdigit() or other.isdigit():
        return 0.0
    short, long = sorted((one, other), key=len)
    if len(short) >= 3 and short in long:
        return 0.8
    ratio = difflib.SequenceMatcher(None, one, other).ratio()
    return ratio if ratio > 0.75 else 0.0
