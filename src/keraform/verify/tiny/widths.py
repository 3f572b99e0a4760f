"""Widths: which fields of a config say how wide something is that the model itself makes, and their
division by one number, which keeps equal ones equal.
"""

from __future__ import annotations

import re
from typing import Any

WIDTH = re.compile(
    r"(.*_)?(hidden_sizes?|d_model|n_embd|d_ff|d_inner|n_inner|intermediate_size|embedding_size"
    r"|emb_size|feature_size|bottleneck_size|channels?|filters|units|feats|features|latents?|dimension|width|dims?)"
)
# Sizes of what is given, of heads, and counts.
NO_WIDTH = re.compile(
    r"(num_|input_|in_|image_|audio_|output_num_)?channels|num_.*(features|latents|channels)"
    r"|(mel|input|model_in|feature_projection_input|visual_feat)_dim|.*head_dim|rotary_dim"
)
WIDE = 128
DIVISOR = 16


def is_width(name: str) -> bool:
    """Whether a field is a width that the model itself makes."""
    return bool(WIDTH.fullmatch(name)) and not NO_WIDTH.fullmatch(name)


def numbers(value: Any) -> list[int]:
    """The integers of a field, of a list all."""
    if isinstance(value, list | tuple):
        return [number for each in value for number in numbers(each)]
    return [value] if isinstance(value, int) and not isinstance(value, bool) else []


def divided(value: Any, divisor: int, lowest: int = 1) -> Any:
    """The integers that are divisible, divided; anything else as it is."""
    if isinstance(value, list | tuple):
        return [divided(each, divisor, lowest) for each in value]
    if isinstance(value, int) and not isinstance(value, bool) and value % divisor == 0:
        return max(lowest, value // divisor) if value else value
    return value


def narrow(name: str, default: Any) -> Any:
    """A wide field of no known size, divided; None where it stays."""
    wide = is_width(name) or (name == "in_channels" and isinstance(default, list | tuple))
    if not wide or max(numbers(default), default=0) < WIDE:
        return None
    return divided(default, DIVISOR)
