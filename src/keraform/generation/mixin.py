"""`generate`: what the mixin of all generating classes does, from arguments to sequences."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from keras import ops
from transformers import GenerationConfig
from transformers.generation.configuration_utils import GenerationMode

from keraform.errors import explain
from keraform.generation import settings
from keraform.generation.assisted import AssistedDecoding
from keraform.generation.contrastive import ContrastiveSearch
from keraform.generation.decoding import Decoding
from keraform.generation.exporting import export_generate
from keraform.generation.healing import healed
from keraform.generation.prefill import Prefill
from keraform.generation.preparation import Preparation
from keraform.generation.rules import Rules
from keraform.runtime.given import as_dict, as_tensor, integer_dtype, is_mapping
from keraform.runtime.layers import Tensor
from keraform.runtime.tracing import is_known

GENERATION_MODES_MAPPING = {
    GenerationMode.GREEDY_SEARCH: "_sample",
    GenerationMode.SAMPLE: "_sample",
    GenerationMode.BEAM_SEARCH: "_beam_search",
    GenerationMode.BEAM_SAMPLE: "_beam_search",
    GenerationMode.ASSISTED_GENERATION: "_assisted_decoding",
    GenerationMode.CONTRASTIVE_SEARCH: "_contrastive_search",
}


class GenerationMixin(Decoding, AssistedDecoding, ContrastiveSearch, Prefill, Preparation):
    """Gives a class `generate`: of text, or of whatever its tokens stand for."""

    _is_stateful: ClassVar[bool] = False

    @classmethod
    def can_generate(cls) -> bool:
        """True: the architecture generates."""
        return True

    def generate(
        self,
        inputs: Any = None,
        generation_config: GenerationConfig | None = None,
        logits_processor: Any = None,
        stopping_criteria: Any = None,
        prefix_allowed_tokens_fn: Callable[[int, Any], list[int]] | None = None,
        synced_gpus: bool | None = None,
        assistant_model: Any = None,
        streamer: Any = None,
        negative_prompt_ids: Any = None,
        negative_prompt_attention_mask: Any = None,
        custom_generate: Any = None,
        seed: Any = None,
        **kwargs: Any,
    ) -> Any:
        """Generates token ids, as Transformers' `generate` does.

        Where the architecture allows it, this is a compiled program (of XLA): the first call of a
        length takes seconds to compile, later ones run it. `disable_compile=True` runs call by
        call. Inside of a `tf.function` it becomes part of the function's graph.

        Args:
            inputs: the prompt: ids [b, n], what a tokenizer or processor returned, or the main
                input of an encoder. None begins with the begin token.
            generation_config: options; what is not set in it is taken from
                `self.generation_config`.
            logits_processor: processors of one's own, after those of the options.
            stopping_criteria: criteria of one's own, after those of the options.
            prefix_allowed_tokens_fn: of a row's number and its tokens, the ids that may follow.
            synced_gpus: refused if true: it serves torch's FSDP.
            assistant_model: a smaller model whose guesses this one checks.
            streamer: gets the tokens as they come (`put`, `end`).
            negative_prompt_ids: [b, n], the unconditional prompt of `guidance_scale`.
            negative_prompt_attention_mask: [b, n], its mask.
            custom_generate: refused: code of a repository.
            seed: of sampling, an int or two; the same seed draws the same tokens.
            **kwargs: options of `GenerationConfig`, and arguments of the model.

        Returns:
            The ids [b * num_return_sequences, length] (int32), the prompt's included (of an
            encoder-decoder, the decoder's); an output with more with `return_dict_in_generate`.

        Raises:
            NotImplementedError: an option is not heeded here; the message names it.
            ValueError: arguments that contradict each other or that nothing takes.
        """
        if synced_gpus or custom_generate is not None:
            name = "synced_gpus" if synced_gpus else "custom_generate"
            raise NotImplementedError(
                explain("the modes of GenerationConfig", f"{name}", f"generate() without {name}")
            )
        kwargs.pop("trust_remote_code", None)
        if is_mapping(inputs):
            inputs, kwargs = None, {**as_dict(inputs), **kwargs}
        inputs = self._given(inputs)
        tools = {name: kwargs.pop(name, None) for name in ("tokenizer", "assistant_tokenizer")}
        own = self.generation_config
        is_default = {
            name: settings.has_default(name, generation_config, own, kwargs)
            for name in ("max_length", "min_length")
        }
        config, arguments = self._prepare_generation_config(generation_config, **kwargs)
        arguments = {name: self._given(value) for name, value in arguments.items()}
        for name in ("attention_mask", "decoder_attention_mask"):
            if arguments.get(name) is not None:  # hooks compute with it
                arguments[name] = ops.cast(arguments[name], integer_dtype())
        config.seed = seed
        mode = settings.mode_of(config, assistant_model)
        if negative_prompt_ids is not None and config.guidance_scale is None:
            raise ValueError(
                explain(
                    "a guidance_scale, which negative_prompt_ids are for",
                    "none",
                    "generate(..., guidance_scale=1.5)",
                )
            )
        self._validate_generation_mode(mode, config, {"streamer": streamer})
        self._validate_model_kwargs(dict(arguments))
        inputs, name, arguments = self._prepare_model_inputs(inputs, config.bos_token_id, arguments)
        if name == "input_ids" and len(inputs.shape) < 2:
            raise ValueError(
                explain(
                    "token ids [batch, length]",
                    f"ids of shape {tuple(inputs.shape)}",
                    "generate([ids]) for one row of ids",
                )
            )
        batch = ops.shape(inputs)[0]
        self._prepare_special_tokens(config)
        arguments = self._with_mask_and_positions(inputs, name, config, arguments)
        arguments = self._encoded(inputs, arguments, name, config)
        if self.config.is_encoder_decoder:
            start = config.decoder_start_token_id
            input_ids, arguments = self._prepare_decoder_input_ids_for_generation(
                batch_size=batch,
                model_input_name=name,
                model_kwargs=arguments,
                decoder_start_token_id=config.bos_token_id if start is None else start,
            )
        else:
            input_ids = inputs if name == "input_ids" else arguments.pop("input_ids")
        input_ids, arguments = self._expand_inputs_for_generation(
            input_ids=input_ids,
            expand_size=max(config.num_beams, config.num_return_sequences),
            is_encoder_decoder=self.config.is_encoder_decoder,
            **arguments,
        )
        if config.token_healing:
            input_ids = healed(self, input_ids, tools["tokenizer"])
        if streamer is not None:
            streamer.put(ops.convert_to_numpy(input_ids))
        length = ops.shape(input_ids)[1]
        config = self._prepare_generated_length(
            generation_config=config,
            has_default_max_length=is_default["max_length"],
            has_default_min_length=is_default["min_length"],
            model_input_name=name,
            inputs_tensor=inputs,
            input_ids_length=length,
        )
        self._validate_generated_length(config, length, is_default["max_length"])
        if self._supports_logits_to_keep():
            arguments.setdefault("logits_to_keep", 1)
        self._prepare_cache_for_generation(config, arguments, mode, batch, config.max_length - 1)
        arguments["use_cache"] = config.use_cache
        mask = arguments.get("attention_mask")
        rules = Rules(
            self,
            config,
            encoder_input_ids=inputs,
            prefix_allowed_tokens_fn=prefix_allowed_tokens_fn,
            logits_processor=logits_processor,
            negative_prompt_ids=self._given(negative_prompt_ids),
            negative_prompt_attention_mask=self._given(negative_prompt_attention_mask),
            attention_mask=None if self.config.is_encoder_decoder else mask,
            stopping_criteria=stopping_criteria,
            tokenizer=tools["tokenizer"],
        )
        method = GENERATION_MODES_MAPPING[mode]
        way = getattr(type(self), method)
        if way is not getattr(GenerationMixin, method):  # the class's own, as upstream's
            processors, criteria = rules(length, config.max_length)
            arguments |= {"logits_processor": processors, "stopping_criteria": criteria}
        else:
            arguments["rules"] = rules
        if mode == GenerationMode.ASSISTED_GENERATION:
            arguments |= {"assistant_model": assistant_model, "inputs_tensor": inputs}
            arguments["assistant_tokenizer"] = tools["assistant_tokenizer"]
        return way(self, input_ids, generation_config=config, streamer=streamer, **arguments)

    generate.autograph_info__ = {}  # noqa: RUF012 - AutoGraph leaves alone what carries it

    def export_generate(
        self,
        filepath: Any,
        input_signature: Mapping[str, Any] | None = None,
        verbose: bool | None = None,
        **options: Any,
    ) -> None:
        """Writes `generate` as a SavedModel: the loop, the model and its weights, once.

        Plain TensorFlow serves it, without Keraform: `serve` of `tf.saved_model.load(filepath)`
        takes a dict of tensors and returns `{"sequences": ids}` (int32). Batch and length are open.
        Ids are [b, n] (int64), and so is `attention_mask`, with 1 for tokens; with `do_sample`,
        `seed` [2] (int32) is an input, too.

        Args:
            filepath: where to write, a directory.
            input_signature: `keras.InputSpec` by the name of an argument of `generate`, in place of
                those of the model. Shapes that are all known make `generate` static.
            verbose: whether Keras prints the signature; by its own default.
            **options: of `generate`, `generation_config` among them.

        Raises:
            NotImplementedError: the backend is not TensorFlow, or an option needs Python at each
                token.
        """
        export_generate(self, filepath, input_signature, verbose, **options)

    def _given(self, value: Any) -> Any:
        """An array or a list of numbers as a tensor."""
        return value if isinstance(value, (int, float)) else as_tensor(value, self.compute_dtype)

    def _with_mask_and_positions(
        self, inputs: Tensor, name: str, config: GenerationConfig, arguments: dict[str, Any]
    ) -> dict[str, Any]:
        """Adds the mask and the positions that the model takes and the caller did not give."""
        taken = inspect.signature(self.call).parameters
        decodes = self.config.is_encoder_decoder
        mask = arguments.get("attention_mask")
        if name == "inputs_embeds" and not decodes:
            config.use_cache = True
        if mask is None and "attention_mask" in taken and not decodes:
            mask = self._prepare_attention_mask_for_generation(inputs, config, arguments)
            arguments["attention_mask"] = mask
        elif mask is not None and name == "input_ids" and len(mask.shape) > 2:
            raise ValueError(
                explain(
                    "an attention_mask [batch, length]",
                    f"one of shape {tuple(mask.shape)}",
                    "generate(..., attention_mask=mask) with 1 for tokens and 0 for padding",
                )
            )
        if not decodes and arguments.get("position_ids") is None and "position_ids" in taken:
            arguments["position_ids"] = self._prepare_position_ids_for_generation(inputs, arguments)
        if not decodes and mask is not None and is_known(mask) and bool(ops.all(mask == 1)):
            config._mask_length = mask.shape[1]
            arguments["attention_mask"] = None
        return arguments
