"""Rows of exceptions: a field, its value, and the reason.

A value may be a function of the values of the config's other fields.
"""

from __future__ import annotations

from typing import Any

Rows = tuple[tuple[str, Any, str], ...]


def four_widths(values: dict[str, Any]) -> int:
    """Four times the width."""
    return 4 * int(values["hidden_size"])


def merged_width(values: dict[str, Any]) -> int:
    """The width of several patches of an image side by side."""
    return int(values["vision_config"].merge_size ** 2 * values["vision_config"].hidden_size)


def tripled_width(values: dict[str, Any]) -> int:
    """The width of three layers side by side."""
    return 3 * int(values["hidden_size"])


def summed_width(values: dict[str, Any]) -> int:
    """The width of what two encoders of sound make."""
    return int(values["hidden_size"] + values["semantic_model_config"].hidden_size)


def text_width(values: dict[str, Any]) -> int:
    """The width of the part that reads text."""
    return int(values["text_config"].hidden_size)


def shared_width(values: dict[str, Any]) -> int:
    """The width shared by four heads."""
    return int(values["hidden_size"]) // 4
