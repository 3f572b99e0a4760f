"""The first call of a generation: with the prompt, or with what a cache does not hold of it yet."""

from __future__ import annotations

from typing import Any

from keras import ops
from transformers import GenerationConfig

from keraform.errors import explain
from keraform.generation.preparation import inputs_of_the_prompt, shortened
from keraform.runtime.layers import Tensor
from keraform.runtime.tracing import known_value


class Prefill:
    """The hook `_prefill` of `GenerationMixin`, under upstream's name."""

    def _prefill(
        self: Any,
        input_ids: Tensor,
        generation_config: GenerationConfig,
        model_kwargs: dict[str, Any],
        is_first_iteration: bool = True,
    ) -> Any:
        """The call with the prompt; on a cache that holds tokens, with those that are new."""
        count = None
        cache = model_kwargs.get("past_key_values")
        prefix = "decoder_" if self.config.is_encoder_decoder else ""
        embeds = None if prefix or not is_first_iteration else model_kwargs.get("inputs_embeds")
        if cache is not None and hasattr(cache, "get_seq_length"):
            past = _as_number(cache.get_seq_length())
            mask = model_kwargs.get(f"{prefix}attention_mask")
            covered = (
                mask.shape[1]
                if mask is not None
                else getattr(generation_config, "_mask_length", -1)
            )
            if embeds is not None:
                count = ops.shape(embeds)[1] - past
            elif covered == input_ids.shape[1]:
                count = input_ids.shape[1] - past
        if generation_config.prefill_chunk_size is not None:
            whole = count or ops.shape(input_ids if embeds is None else embeds)[1]
            return self._prefill_in_chunks(
                input_ids[:, -whole:] if embeds is None else input_ids,
                whole,
                generation_config.prefill_chunk_size,
                model_kwargs,
                is_first_iteration,
            )
        inputs = self.prepare_inputs_for_generation(
            input_ids,
            next_sequence_length=count,
            is_first_iteration=is_first_iteration,
            **model_kwargs,
        )
        return self(**inputs, return_dict=True)

    def _prefill_in_chunks(
        self: Any,
        input_ids: Tensor,
        count: int,
        size: int,
        model_kwargs: dict[str, Any],
        is_first_iteration: bool,
    ) -> Any:
        """The calls with `size` of the prompt's `count` tokens each; what the last one gives."""
        raw = [name for name in inputs_of_the_prompt() if model_kwargs.get(name) is not None]
        if model_kwargs.get("past_key_values") is None or (raw and count > size):
            raise ValueError(
                explain(
                    "a cache, and a prompt of tokens alone, for prefill_chunk_size",
                    f"{', '.join(raw)}" if raw else "no cache",
                    "generate(..., prefill_chunk_size=None)",
                )
            )
        for end in range(size, count + size, size):
            last = min(end, count)
            given = shortened(model_kwargs, count - last, self.config.is_encoder_decoder)
            has_ids = input_ids.shape[1] > 0
            inputs = self.prepare_inputs_for_generation(
                input_ids[:, end - size : last] if has_ids else input_ids,
                next_sequence_length=last - (end - size),
                is_first_iteration=is_first_iteration,
                **given,
            )
            outputs = self(**inputs, return_dict=True)
            model_kwargs["past_key_values"] = outputs.past_key_values
        return outputs


def _as_number(length: Any) -> Any:
    """A length as an int where it is known."""
    known = known_value(length)
    return length if known is None else int(known)
