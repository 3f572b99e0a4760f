"""A small tokenizer of words, made here, so that no test needs files."""

from __future__ import annotations

from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

WORDS = ["[PAD]", "[CLS]", "[SEP]", "[MASK]", "[UNK]", *"abcdefghijklmnopqrstuvwxyz"]
PIECES = [f"##{letter}" for letter in "abcdefghijklmnopqrstuvwxyz"]


def tiny_tokenizer(**changes) -> PreTrainedTokenizerFast:
    """WordPiece on letters: a word is its first letter and a piece for each other one."""
    vocabulary = {word: number for number, word in enumerate([*WORDS, *PIECES])}
    backend = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    names = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "cls", "sep", "mask", "unk")}
    return PreTrainedTokenizerFast(tokenizer_object=backend, **{**names, **changes})
