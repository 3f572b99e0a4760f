"""What `generate` gives with `return_dict_in_generate=True`: upstream's outputs, by its names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from keraform.runtime.layers import Tensor
from keraform.runtime.outputs import ModelOutput

# For each generated token a tuple, of one tensor for each layer.
Steps = tuple[tuple[Tensor, ...], ...]


@dataclass
class GenerateDecoderOnlyOutput(ModelOutput):
    """Of a decoder, without beams.

    Args:
        sequences: [b, n], the tokens, those of the prompt included (int).
        scores: for each generated token [b, v], what it was chosen by.
        logits: for each generated token [b, v], as the model gave them.
        attentions: for each generated token and layer [b, heads, q, k].
        hidden_states: for each generated token and layer [b, q, m].
        past_key_values: the model's cache.
    """

    sequences: Tensor | None = None
    scores: tuple[Tensor, ...] | None = None
    logits: tuple[Tensor, ...] | None = None
    attentions: Steps | None = None
    hidden_states: Steps | None = None
    past_key_values: Any = None
