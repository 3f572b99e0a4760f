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


@dataclass
class GenerateEncoderDecoderOutput(ModelOutput):
    """Of an encoder and a decoder, without beams.

    Args:
        sequences: [b, n], the decoder's tokens, those it began with included (int).
        scores: for each generated token [b, v], what it was chosen by.
        logits: for each generated token [b, v], as the model gave them.
        encoder_attentions: for each layer of the encoder [b, heads, s, s].
        encoder_hidden_states: for each layer of the encoder [b, s, m].
        decoder_attentions: for each generated token and layer [b, heads, q, k].
        cross_attentions: for each generated token and layer [b, heads, q, s].
        decoder_hidden_states: for each generated token and layer [b, q, m].
        past_key_values: the decoder's cache.
    """

    sequences: Tensor | None = None
    scores: tuple[Tensor, ...] | None = None
    logits: tuple[Tensor, ...] | None = None
    encoder_attentions: tuple[Tensor, ...] | None = None
    encoder_hidden_states: tuple[Tensor, ...] | None = None
    decoder_attentions: Steps | None = None
    cross_attentions: Steps | None = None
    decoder_hidden_states: Steps | None = None
    past_key_values: Any = None


@dataclass
class GenerateBeamDecoderOnlyOutput(ModelOutput):
    """Of a decoder with beams; r is `num_return_sequences`, k is `num_beams`.

    Args:
        sequences: [b r, n], the tokens, those of the prompt included (int).
        sequences_scores: [b r], the sum of the tokens' scores, with the length penalty.
        scores: for each generated token [b k, v], its log probabilities after the processors.
        logits: for each generated token [b k, v], as the model gave them.
        beam_indices: [b r, n], the beam that each generated token came from, -1 after the end.
        attentions: for each generated token and layer [b k, heads, q, s].
        hidden_states: for each generated token and layer [b k, q, m].
        past_key_values: the model's cache.
    """

    sequences: Tensor | None = None
    sequences_scores: Tensor | None = None
    scores: tuple[Tensor, ...] | None = None
    logits: tuple[Tensor, ...] | None = None
    beam_indices: Tensor | None = None
    attentions: Steps | None = None
    hidden_states: Steps | None = None
    past_key_values: Any = None


@dataclass
class GenerateBeamEncoderDecoderOutput(ModelOutput):
    """Of an encoder and a decoder with beams; r is `num_return_sequences`, k is `num_beams`.

    Args:
        sequences: [b r, n], the decoder's tokens, those it began with included (int).
        sequences_scores: [b r], the sum of the tokens' scores, with the length penalty.
        scores: for each generated token [b k, v], its log probabilities after the processors.
        logits: for each generated token [b k, v], as the model gave them.
        beam_indices: [b r, n], the beam that each generated token came from, -1 after the end.
        encoder_attentions: for each layer of the encoder [b, heads, s, s].
        encoder_hidden_states: for each layer of the encoder [b, s, m].
        decoder_attentions: for each generated token and layer [b k, heads, q, n].
        cross_attentions: for each generated token and layer [b k, heads, q, s].
        decoder_hidden_states: for each generated token and layer [b k, q, m].
        past_key_values: the decoder's cache.
    """

    sequences: Tensor | None = None
    sequences_scores: Tensor | None = None
    scores: tuple[Tensor, ...] | None = None
    logits: tuple[Tensor, ...] | None = None
    beam_indices: Tensor | None = None
    encoder_attentions: tuple[Tensor, ...] | None = None
    encoder_hidden_states: tuple[Tensor, ...] | None = None
    decoder_attentions: Steps | None = None
    cross_attentions: Steps | None = None
    decoder_hidden_states: Steps | None = None
    past_key_values: Any = None


GenerateNonBeamOutput = GenerateDecoderOnlyOutput | GenerateEncoderDecoderOutput
GenerateBeamOutput = GenerateBeamDecoderOnlyOutput | GenerateBeamEncoderDecoderOutput
GenerateOutput = GenerateNonBeamOutput | GenerateBeamOutput
