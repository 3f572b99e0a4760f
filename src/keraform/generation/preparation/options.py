"""Options of a call: merged, checked, and made processors and criteria."""

from __future__ import annotations

import inspect
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar

from keras import ops
from transformers import GenerationConfig
from transformers.utils.generic import TransformersKwargs

from keraform.errors import explain
from keraform.generation import settings
from keraform.generation.guidance import Unconditional
from keraform.generation.preparation.inputs import arguments_of
from keraform.generation.preparation.special_tokens import eos_tokens, pad_token
from keraform.generation.processors.select import get_logits_processor
from keraform.generation.stopping import get_stopping_criteria
from keraform.runtime.given import integer_dtype
from keraform.runtime.layers import Tensor
from keraform.runtime.tracing import is_known


class Options:
    """The hooks of `GenerationMixin` about options, under upstream's names."""

    config: Any
    generation_config: GenerationConfig
    base_model_prefix: ClassVar[str]
    _supported_generation_modes: ClassVar[list[Any] | None] = None

    def _prepare_generation_config(
        self, generation_config: GenerationConfig | None, **kwargs: Any
    ) -> tuple[GenerationConfig, dict[str, Any]]:
        """The options of this call, and the arguments that are for the model."""
        return settings.merged(self, generation_config, kwargs)

    def _prepare_generated_length(
        self,
        generation_config: GenerationConfig,
        has_default_max_length: bool,
        has_default_min_length: bool,
        model_input_name: str,
        input_ids_length: int,
        inputs_tensor: Tensor,
    ) -> GenerationConfig:
        """Makes `max_length` and `min_length` totals, which count the prompt."""
        config = generation_config
        embedded = (
            inputs_tensor.shape[1]
            if model_input_name == "inputs_embeds"
            and input_ids_length != inputs_tensor.shape[1]
            and not self.config.is_encoder_decoder
            else 0
        )
        if config.max_new_tokens is not None:
            config.max_length = config.max_new_tokens + input_ids_length
        elif embedded and not has_default_max_length:
            config.max_length -= embedded
        elif has_default_max_length:
            most = getattr(self.config, "max_position_embeddings", None)
            config.max_length = config.max_length + input_ids_length
            if most is not None and is_known(config.max_length):
                config.max_length = min(config.max_length, most)
        if config.min_new_tokens is not None:
            config.min_length = config.min_new_tokens + input_ids_length
        elif embedded:
            config.min_length = max(config.min_length - embedded, 0)
        return config

    def _validate_model_kwargs(self, model_kwargs: dict[str, Any]) -> None:
        """Refuses arguments that no part of the model takes, typing mistakes among them."""
        taken = set(inspect.signature(self.prepare_inputs_for_generation).parameters)
        if taken & {"kwargs", "model_kwargs"}:
            taken |= set(arguments_of(self))
        if self.config.is_encoder_decoder:
            base = getattr(self, self.base_model_prefix, None)
            for name, prefix in (("encoder", ""), ("decoder", "decoder_")):
                part = getattr(self, name, None)
                part = part if part is not None else getattr(base, name, None)
                if part is not None:
                    taken |= {f"{prefix}{argument}" for argument in arguments_of(part)}
            taken.add("decoder_input_ids")
        taken |= TransformersKwargs.__optional_keys__ | {"mm_encoder_outputs"}
        unknown = [
            key for key, value in model_kwargs.items() if value is not None and key not in taken
        ]
        if unknown:
            raise ValueError(
                explain(
                    f"options of GenerationConfig and arguments of {type(self).__name__}",
                    ", ".join(unknown),
                    f"help({type(self).__name__}.call) for the arguments; check the spelling",
                )
            )

    def _extract_generation_mode_kwargs(
        self,
        custom_generate: Any,
        kwargs: dict[str, Any],
        synced_gpus: bool | None,
        assistant_model: Any,
        streamer: Any,
    ) -> dict[str, Any]:
        """The arguments that serve a way of decoding, taken out of `kwargs`."""
        found = {name: kwargs.pop(name, None) for name in ("tokenizer", "assistant_tokenizer")}
        found |= {"assistant_model": assistant_model, "streamer": streamer}
        return {name: value for name, value in found.items() if value is not None}

    def _validate_generation_mode(
        self, generation_mode: Any, generation_config: Any, generation_mode_kwargs: dict[str, Any]
    ) -> None:
        """Refuses ways of decoding that the class has not, and streamers of beams."""
        supported = self._supported_generation_modes
        if supported is not None and generation_mode not in supported:
            raise ValueError(
                explain(
                    f"a way of decoding that {type(self).__name__} has: {supported}",
                    str(generation_mode),
                    "generate(..., num_beams=1, do_sample=False)",
                )
            )
        streamer = generation_mode_kwargs.get("streamer")
        if streamer is not None and generation_config.num_beams > 1:
            raise ValueError(
                explain("a streamer without beams", "both", "generate(..., num_beams=1)")
            )

    def _prepare_special_tokens(
        self,
        generation_config: Any,
        kwargs_has_attention_mask: bool | None = None,
        device: Any = None,
        batch_size: Any = None,
    ) -> None:
        """Puts the special tokens into the options as tensors, under upstream's names."""
        config, decodes = generation_config, self.config.is_encoder_decoder
        if decodes and (config.decoder_start_token_id, config.bos_token_id) == (None, None):
            raise ValueError(
                explain(
                    "a decoder_start_token_id or bos_token_id, with which the decoder begins",
                    "neither",
                    "generate(..., decoder_start_token_id=0)",
                )
            )
        start = config.decoder_start_token_id
        tokens = {
            "bos": config.bos_token_id,
            "eos": eos_tokens(config) or None,
            "pad": pad_token(config),
            "decoder_start": config.bos_token_id if decodes and start is None else start,
        }
        for name, value in tokens.items():
            found = None if value is None else ops.convert_to_tensor(value, integer_dtype())
            setattr(config, f"_{name}_token_tensor", found)

    def _validate_generated_length(
        self, generation_config: Any, input_ids_length: Any, has_default_max_length: bool
    ) -> None:
        """Warns of lengths that contradict each other, and refuses a prompt that is too long."""
        if is_known(input_ids_length):
            name = "decoder_input_ids" if self.config.is_encoder_decoder else "input_ids"
            settings.check_lengths(
                generation_config, input_ids_length, has_default_max_length, name
            )

    def _supports_logits_to_keep(self) -> bool:
        """Whether the model can be asked for the logits of its last tokens alone."""
        return "logits_to_keep" in arguments_of(self)

    def _get_logits_processor(
        self,
        generation_config: GenerationConfig,
        input_ids_seq_length: Any = None,
        encoder_input_ids: Tensor | None = None,
        prefix_allowed_tokens_fn: Any = None,
        logits_processor: Any = None,
        negative_prompt_ids: Tensor | None = None,
        negative_prompt_attention_mask: Tensor | None = None,
        attention_mask: Tensor | None = None,
        **kwargs: Any,
    ) -> Any:
        """The processors that the options ask for, and the caller's behind them."""
        unconditional = Unconditional(
            self, negative_prompt_ids, negative_prompt_attention_mask, generation_config.use_cache
        )
        return get_logits_processor(
            generation_config,
            input_ids_seq_length,
            unconditional_logits=unconditional,
            encoder_input_ids=encoder_input_ids,
            prefix_allowed_tokens_fn=prefix_allowed_tokens_fn,
            logits_processor=logits_processor,
            attention_mask=attention_mask,
            vocab_size=getattr(self.config.get_text_config(), "vocab_size", None),
            is_encoder_decoder=self.config.is_encoder_decoder,
        )

    def _get_stopping_criteria(
        self,
        generation_config: GenerationConfig,
        stopping_criteria: Any = None,
        tokenizer: Any = None,
        **kwargs: Any,
    ) -> Any:
        """The criteria that the options ask for, and the caller's behind them."""
        return get_stopping_criteria(
            generation_config,
            stopping_criteria=stopping_criteria,
            tokenizer=tokenizer,
            max_position_embeddings=getattr(self.config, "max_position_embeddings", None),
        )

    def _has_unfinished_sequences(
        self, this_peer_finished: bool, synced_gpus: bool = False, device: Any = None
    ) -> bool:
        """Whether a loop goes on; upstream also asks other processes."""
        return not this_peer_finished

    def _valid_auto_compile_criteria(self, *args: Any, **kwargs: Any) -> bool:
        """False: loops that models bring call the model as it is."""
        return False

    def get_compiled_call(self, compile_config: Any = None) -> Any:
        """The call itself."""
        return self.__call__  # type: ignore[operator]

    def _optimize_model_for_decode(self) -> AbstractContextManager[None]:
        """Nothing: there is one implementation of experts."""
        return nullcontext()
