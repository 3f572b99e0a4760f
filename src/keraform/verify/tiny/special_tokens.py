"""Special tokens: ids that fit a tiny vocabulary."""

from __future__ import annotations

from typing import Any

TEXT_PARTS = ("text_config", "language_config", "llm_config", "thinker_config", "decoder")
SPECIAL = ("_token_id", "_token_index")
PLACEHOLDERS = tuple(f"{part}{end}" for part in ("image", "video", "audio") for end in SPECIAL)


def special_tokens_of(values: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    """Ids that fit the vocabulary, equal where the defaults are equal; a padding id where there is
    none. Those of a composite model fit the vocabulary of its text part, and are none of that
    part's own.
    """
    for name in TEXT_PARTS:
        nested = getattr(values.get(name), "vocab_size", None)
        if isinstance(nested, int):
            return _special_tokens(defaults, nested, nested // 2)
    vocab = values.get("vocab_size", defaults.get("vocab_size"))
    return _special_tokens(defaults, vocab, vocab - 1) if isinstance(vocab, int) else {}


def _special_tokens(defaults: dict[str, Any], vocab: int, highest: int) -> dict[str, Any]:
    given = {
        name: value
        for name, value in defaults.items()
        if name.endswith(SPECIAL) and isinstance(value, int)
    }
    large = sorted({value for value in given.values() if value >= vocab}, reverse=True)
    moved = {value: highest - i for i, value in enumerate(large)}
    tokens: dict[str, Any] = {name: moved.get(value, value) for name, value in given.items()}
    if "pad_token_id" in defaults and defaults["pad_token_id"] is None:
        tokens["pad_token_id"] = highest - len(large)
    free = highest - len(large) - 1
    for name in (each for each in PLACEHOLDERS if each in defaults and defaults[each] is None):
        tokens[name] = free
        free -= 1
    for name, value in defaults.items():
        if name.endswith("suppress_tokens") and value:
            tokens[name] = [token for token in value if token < vocab]
    return tokens
