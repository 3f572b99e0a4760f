"""A function of the user's that says which tokens may come."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from keras import ops

from keraform.errors import explain
from keraform.generation.processors.base import LogitsProcessor
from keraform.runtime.layers import Tensor


class PrefixConstrainedLogitsProcessor(LogitsProcessor):
    """Allows the tokens that a function names, and no others.

    Args:
        prefix_allowed_tokens_fn: Takes the number of a row of the batch and its tokens so far, a
            NumPy vector; returns ids.
        num_beams: Beams of each row.

    Raises:
        ValueError: when called, the function names no token.
    """

    def __init__(
        self, prefix_allowed_tokens_fn: Callable[[int, np.ndarray], Sequence[int]], num_beams: int
    ) -> None:
        self._prefix_allowed_tokens_fn = prefix_allowed_tokens_fn
        self._num_beams = num_beams

    def __call__(self, input_ids: Tensor, scores: Tensor, cur_len: Any = None) -> Tensor:
        tokens = ops.convert_to_numpy(input_ids)[:, :cur_len]
        allowed = np.zeros(scores.shape, "bool")
        for row, sentence in enumerate(tokens):
            batch = row // self._num_beams
            ids = self._prefix_allowed_tokens_fn(batch, sentence)
            if len(ids) == 0:
                raise ValueError(
                    explain(
                        "one allowed token at least",
                        f"none from prefix_allowed_tokens_fn({batch}, {sentence.tolist()})",
                        "return [eos_token_id] where nothing else may come",
                    )
                )
            allowed[row, np.asarray(ids)] = True
        kept = ops.where(allowed, scores, -np.inf)
        # where no beam of a row has an allowed token left, they come with a score of 0
        best = ops.max(ops.reshape(kept, (-1, self._num_beams * kept.shape[-1])), axis=-1)
        lost = ops.repeat(best == -np.inf, self._num_beams)[:, None]  # [b, 1]
        return ops.where(lost & allowed, 0.0, kept)
