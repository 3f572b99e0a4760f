"""The data of the examples: the strings of Django's interface, which come in many languages."""

from __future__ import annotations

import gettext
import random
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import django
from tokenizers.implementations import ByteLevelBPETokenizer
from transformers import PreTrainedTokenizerFast

LANGUAGES = {
    "de": "German",
    "es": "Spanish",
    "fr": "French",
    "it": "Italian",
    "nl": "Dutch",
    "sv": "Swedish",
}
IGNORED = -100  # a label that no loss counts


@cache
def translations(language: str) -> dict[str, str]:
    """English strings and what they are in another language, of all of Django's applications.

    Args:
        language: Django's code of the language.
    """
    found: dict[str, str] = {}
    for path in sorted(Path(django.__file__).parent.rglob(f"locale/{language}/**/django.mo")):
        with path.open("rb") as file:
            catalogue = gettext.GNUTranslations(file)._catalog  # the only list of its strings
        for key, translated in catalogue.items():
            if isinstance(key, str) and key and translated:  # no plurals, no header
                english = key.rpartition("\x04")[2]  # without the context, which tells uses apart
                found[english] = translated
    return found


def common_strings(catalogues: Iterable[dict[str, str]]) -> set[str]:
    """English strings that several languages have a translation of.

    Args:
        catalogues: `translations` of each language.
    """
    return set.intersection(*map(set, catalogues))


def split(strings: Iterable[str], short: bool) -> tuple[list[str], list[str]]:
    """Nine tenths of English strings to train with and the rest to test with, always the same.

    Args:
        strings: English strings.
        short: Four and three of them only.
    """
    shuffled = sorted(strings)
    random.Random(0).shuffle(shuffled)
    held_out = len(shuffled) // 10
    train, test = shuffled[held_out:], shuffled[:held_out]
    return (train[:4], test[:3]) if short else (train, test)


def train_tokenizer(texts: Iterable[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """A tokenizer of byte pairs, with `<pad>` and `</s>`.

    Args:
        texts: What it learns from.
        vocabulary: How many tokens it has at most.
    """
    pairs = ByteLevelBPETokenizer()
    special = ["<pad>", "</s>"]
    pairs.train_from_iterator(texts, vocabulary, special_tokens=special, show_progress=False)
    return PreTrainedTokenizerFast(
        tokenizer_object=pairs._tokenizer, pad_token="<pad>", eos_token="</s>"
    )
