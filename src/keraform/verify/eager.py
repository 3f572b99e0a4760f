"""Eager attention and experts, which ports equal: a config asks for them."""

from __future__ import annotations

import copy
from typing import Any

from transformers import PreTrainedConfig

from keraform.verify.originals import attention_of


def eager(config: Any, class_name: str = "") -> Any:
    """A copy of the config that asks for eager attention and experts, in its parts too; for a class
    that has no eager attention, for the one that it has.
    """
    config = copy.deepcopy(config)
    ask_for_eager(config)
    config._attn_implementation = attention_of(class_name)
    return config


def ask_for_eager(config: Any) -> None:
    """Have a config and every config in it ask for eager attention and experts.

    Transformers hands the request on to the parts that a class names in `sub_configs`, and some
    keep their parts without (RAG).
    """
    config._attn_implementation = "eager"
    config._experts_implementation = "eager"
    for part in vars(config).values():
        if isinstance(part, PreTrainedConfig):
            ask_for_eager(part)
