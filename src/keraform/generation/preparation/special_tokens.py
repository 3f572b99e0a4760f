"""The tokens that end a sequence, and that stand behind the end."""

from __future__ import annotations

import numpy as np
from transformers import GenerationConfig


def eos_tokens(config: GenerationConfig) -> list[int]:
    """The tokens that end a sequence."""
    found = config.eos_token_id
    return [] if found is None else [int(each) for each in np.ravel(found)]


def pad_token(config: GenerationConfig) -> int | None:
    """The token behind the end: the pad token, or else the first that ends a sequence."""
    if config.pad_token_id is not None:
        return int(config.pad_token_id)
    return next(iter(eos_tokens(config)), None)
