"""What the steps leave behind, as the output of `generate`."""

from __future__ import annotations

from typing import Any

from transformers import GenerationConfig

from keraform.generation.outputs import (
    GenerateBeamDecoderOnlyOutput,
    GenerateBeamEncoderDecoderOutput,
    GenerateDecoderOnlyOutput,
    GenerateEncoderDecoderOutput,
)
from keraform.generation.preparation import CACHES
from keraform.generation.sampling import Record, State

_OF_DECODERS = {
    "attentions": "attentions",
    "hidden_states": "hidden_states",
}
_OF_ENCODER_DECODERS = {
    "decoder_attentions": "attentions",
    "cross_attentions": "attentions",
    "decoder_hidden_states": "hidden_states",
}


class Recorder:
    """Collects what the caller asked for, step by step.

    Args:
        model: the model.
        config: the options of the call.
        encoder_outputs: what the encoder gave, of an encoder-decoder.
    """

    def __init__(self, model: Any, config: GenerationConfig, encoder_outputs: Any = None) -> None:
        self.config = config
        self.is_encoder_decoder = model.config.is_encoder_decoder
        self.encoder_outputs = encoder_outputs
        fields = _OF_ENCODER_DECODERS if self.is_encoder_decoder else _OF_DECODERS
        wanted = [name for name in ("scores", "logits") if getattr(config, f"output_{name}")]
        self._of_outputs = [
            field for field, option in fields.items() if getattr(config, f"output_{option}")
        ]
        names = [*wanted, *self._of_outputs] if config.return_dict_in_generate else []
        self.found: dict[str, list[Any]] = {name: [] for name in names}

    def __call__(self, record: Record) -> None:
        """Takes what a step left."""
        for name, values in self.found.items():
            source = record["outputs"] if name in self._of_outputs else record
            values.append(source[name])

    def output(self, sequences: Any, state: State, **beams: Any) -> Any:
        """The tokens, or with `return_dict_in_generate` an output with all that was collected.

        Args:
            sequences: [b, n], the tokens.
            state: the last state, whose arguments hold the cache.
            **beams: of a beam search, `sequences_scores` and `beam_indices`.
        """
        if not self.config.return_dict_in_generate:
            return sequences
        found: dict[str, Any] = {name: tuple(values) for name, values in self.found.items()}
        arguments = state["arguments"]
        caches = [arguments[name] for name in CACHES.values() if arguments.get(name) is not None]
        found["past_key_values"] = caches[0] if caches else None
        if self.is_encoder_decoder:
            for option in ("attentions", "hidden_states"):
                if getattr(self.config, f"output_{option}"):
                    found[f"encoder_{option}"] = self.encoder_outputs.get(option)
            cls: Any = GenerateBeamEncoderDecoderOutput if beams else GenerateEncoderDecoderOutput
        else:
            cls = GenerateBeamDecoderOnlyOutput if beams else GenerateDecoderOnlyOutput
        return cls(sequences=sequences, **found, **beams)
