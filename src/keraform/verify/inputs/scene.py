"""Scenes: one class, its config, and the sizes of the inputs that are made for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from transformers import PreTrainedConfig

BATCH = 3
CHOICES = 4
TEXT = 13
DECODER_TEXT = 8
SAMPLES = 301

Inputs = dict[str, Any]

# Parts of a composite config by what they are called, and what they take.
PARTS = {
    "text": ("text", "language", "llm", "thinker", "decoder", "talker"),
    "image": ("vision", "image", "visual", "vit", "encoder", "backbone"),
    "audio": ("audio", "speech", "sound", "encoder"),
}


@dataclass
class Scene:
    """What the makers need to know.

    Args:
        class_name: the torch class.
        config: its config.
        names: the arguments of its forward pass.
        required: those of them that have no default.
        batch: rows.
        length: tokens of a row.
        decoder_length: tokens of a decoder's row.
        samples: of audio.
        masks: whether masks are made.
        forms: which form of an argument is made, where it has several (`makers.MAKERS`).
        placeholders: how many tokens of each row stand for something that is not text, by their id.
        width: of hidden states, where the config does not say it.
    """

    class_name: str
    config: PreTrainedConfig
    names: tuple[str, ...]
    required: frozenset[str] = frozenset()
    batch: int = BATCH
    length: int = TEXT
    decoder_length: int = DECODER_TEXT
    samples: int = SAMPLES
    masks: bool = True
    forms: dict[str, int] = field(default_factory=dict)
    placeholders: dict[int, int] = field(default_factory=dict)
    width: int | None = None
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(7))

    def get(self, name: str, default: Any = None) -> Any:
        """A field of the config; `default` where it has none, or None."""
        value = getattr(self.config, name, None)
        return default if value is None else value

    def find(self, part: str, *names: str, default: Any = None) -> Any:
        """The first of some fields that a part of the config has, the likeliest part first."""
        for config in parts(self.config, part):
            for name in names:
                value = getattr(config, name, None)
                if value is not None:
                    return value
        return default

    @property
    def text_config(self) -> PreTrainedConfig:
        """The part that has a vocabulary."""
        for config in parts(self.config, "text"):
            if isinstance(getattr(config, "vocab_size", None), int):
                return config
        return self.config

    @property
    def takes_states(self) -> bool:
        """Whether a part of a model may be run on what another part has made."""
        return bool({"hidden_states", "inputs_embeds"} & set(self.names))

    @property
    def encoder_decoder(self) -> bool:
        """Whether a decoder's tokens are given."""
        return "decoder_input_ids" in self.names


Maker = Callable[[Scene], Any]


def parts(config: PreTrainedConfig, part: str) -> Iterator[PreTrainedConfig]:
    """A config and those nested in it; those that are called like `part` first, then the outermost.

    Args:
        config: the outermost.
        part: of `PARTS`.
    """
    nested = list(_nested(config))
    words = PARTS[part]
    named = [(i, each) for name, each in nested for i, word in enumerate(words) if word in name]
    chosen = [each for _, each in sorted(named, key=lambda pair: pair[0])]
    others = [each for _, each in nested if all(each is not one for one in chosen)]
    yield from (*chosen, config, *others)


def _nested(config: PreTrainedConfig) -> Iterator[tuple[str, PreTrainedConfig]]:
    for name, value in vars(config).items():
        if isinstance(value, PreTrainedConfig):
            yield name, value
            yield from ((f"{name}.{inner}", each) for inner, each in _nested(value))


def padding(batch: int, length: int) -> np.ndarray:
    """Mask of the three rows, 1 = a real token; further rows are whole."""
    mask = np.ones((batch, length), "int64")
    pad = max(1, length // 4)
    if batch > 0:
        mask[0, length - pad :] = 0
    if batch > 1:
        mask[1, : pad + 1] = 0
    if batch > 2:
        mask[2] = 0
    return mask
