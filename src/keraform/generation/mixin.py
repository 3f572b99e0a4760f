"""`generate`: what the mixin of all generating classes does, from arguments to sequences."""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from keras import ops
from transformers import GenerationConfig
from transformers.generation.configuration_utils import GenerationMode

from keraform.errors import explain
from keraform.generation import compiling, running, settings
from keraform.generation.exporting import export_generate
from keraform.generation.feeding import Fixed, Growing
from keraform.generation.preparation import Preparation, pad_token
from keraform.generation.processors.select import get_logits_processor
from keraform.generation.recording import Recorder
from keraform.generation.room import widened
from keraform.generation.sampling import Record, Sampling, State
from keraform.generation.seeds import seed_of
from keraform.generation.stopping import get_stopping_criteria
from keraform.runtime.given import as_dict, as_tensor, is_mapping
from keraform.runtime.layers import Tensor
from keraform.runtime.tracing import is_known

_WAYS = {
    GenerationMode.GREEDY_SEARCH: "_sample",
    GenerationMode.SAMPLE: "_sample",
    GenerationMode.BEAM_SEARCH: "_beam_search",
    GenerationMode.BEAM_SAMPLE: "_beam_search",
    GenerationMode.ASSISTED_GENERATION: "_assisted_decoding",
    GenerationMode.CONTRASTIVE_SEARCH: "_contrastive_search",
}


class GenerationMixin(Preparation):
    """Gives a class `generate`: of text, or of whatever its tokens stand for."""

    _is_stateful: ClassVar[bool] = False
    _can_compile_fullgraph: ClassVar[bool] = False
    _supported_generation_modes: ClassVar[list[GenerationMode] | None] = None

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
        kwargs = {name: self._given(value) for name, value in kwargs.items()}
        tools = {name: kwargs.pop(name, None) for name in ("tokenizer", "assistant_tokenizer")}
        own = self.generation_config
        is_default = {
            name: settings.has_default(name, generation_config, own, kwargs)
            for name in ("max_length", "min_length")
        }
        config, arguments = self._prepare_generation_config(generation_config, **kwargs)
        config.seed = seed
        mode = settings.mode_of(config, assistant_model)
        self._check_mode(mode, config, streamer)
        self._validate_model_kwargs(dict(arguments))
        inputs, name, arguments = self._prepare_model_inputs(inputs, config.bos_token_id, arguments)
        batch = ops.shape(inputs)[0]
        self._check_special_tokens(config)
        arguments = self._with_mask_and_positions(inputs, name, config, arguments)
        prepare_encoder = (
            functools.partial(compiling.encoded, self)
            if self._encodes_compiled(inputs, config, arguments)
            else self._maybe_prepare_encoder_kwargs_for_generation
        )
        arguments = prepare_encoder(inputs, arguments, name, config)
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
        if is_known(length):
            argument = "decoder_input_ids" if self.config.is_encoder_decoder else "input_ids"
            settings.check_lengths(config, length, is_default["max_length"], argument)
        if "logits_to_keep" in inspect.signature(self.call).parameters:
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
            attention_mask=None if self.config.is_encoder_decoder else mask,
            stopping_criteria=stopping_criteria,
            tokenizer=tools["tokenizer"],
        )
        way = getattr(type(self), _WAYS[mode])
        if way is not getattr(GenerationMixin, _WAYS[mode]):  # the class's own, as upstream's
            processors, criteria = rules(length, config.max_length)
            arguments |= {"logits_processor": processors, "stopping_criteria": criteria}
        else:
            arguments["rules"] = rules
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
        return (
            as_tensor(value, self.compute_dtype) if not isinstance(value, (int, float)) else value
        )

    def _check_mode(self, mode: GenerationMode, config: GenerationConfig, streamer: Any) -> None:
        supported = self._supported_generation_modes
        if supported is not None and mode not in supported:
            raise ValueError(
                explain(
                    f"a way of decoding that {type(self).__name__} has: {supported}",
                    str(mode),
                    "generate(..., num_beams=1, do_sample=False)",
                )
            )
        if streamer is not None and config.num_beams > 1:
            raise ValueError(
                explain("a streamer without beams", "both", "generate(..., num_beams=1)")
            )

    def _check_special_tokens(self, config: GenerationConfig) -> None:
        starts = (config.decoder_start_token_id, config.bos_token_id)
        if self.config.is_encoder_decoder and starts == (None, None):
            raise ValueError(
                explain(
                    "a decoder_start_token_id or bos_token_id, with which the decoder begins",
                    "neither",
                    "generate(..., decoder_start_token_id=0)",
                )
            )

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

    def _get_logits_processor(
        self,
        generation_config: GenerationConfig,
        input_ids_seq_length: Any = None,
        encoder_input_ids: Tensor | None = None,
        prefix_allowed_tokens_fn: Any = None,
        logits_processor: Any = None,
        attention_mask: Tensor | None = None,
        **kwargs: Any,
    ) -> Any:
        """The processors that the options ask for, and the caller's behind them."""
        return get_logits_processor(
            generation_config,
            input_ids_seq_length,
            encoder_input_ids=encoder_input_ids,
            prefix_allowed_tokens_fn=prefix_allowed_tokens_fn,
            logits_processor=logits_processor,
            attention_mask=attention_mask,
            vocab_size=getattr(self.config.get_text_config(), "vocab_size", None),
            is_encoder_decoder=self.config.is_encoder_decoder,
        )

    def _prefill(
        self,
        input_ids: Tensor,
        generation_config: GenerationConfig,
        model_kwargs: dict[str, Any],
        is_first_iteration: bool = True,
    ) -> Any:
        """The call with the prompt; on a cache that holds tokens, with those that are new."""
        count = None
        cache = model_kwargs.get("past_key_values")
        if cache is not None and hasattr(cache, "get_seq_length"):
            past = cache.get_seq_length()
            embeds = model_kwargs.get("inputs_embeds")
            prefix = "decoder_" if self.config.is_encoder_decoder else ""
            mask = model_kwargs.get(f"{prefix}attention_mask")
            covered = (
                mask.shape[1]
                if mask is not None
                else getattr(generation_config, "_mask_length", -1)
            )
            if not prefix and embeds is not None and is_first_iteration:
                count = ops.shape(embeds)[1] - past
            elif covered == input_ids.shape[1]:
                count = input_ids.shape[1] - past
        inputs = self.prepare_inputs_for_generation(
            input_ids,
            next_sequence_length=count,
            is_first_iteration=is_first_iteration,
            **model_kwargs,
        )
        return self(**inputs, return_dict=True)  # type: ignore[operator]

    def _sample(
        self,
        input_ids: Tensor,
        rules: Rules,
        generation_config: GenerationConfig,
        streamer: Any = None,
        **model_kwargs: Any,
    ) -> Any:
        """Greedy decoding, or sampling with `do_sample`."""
        recorder = Recorder(self, generation_config, model_kwargs.get("encoder_outputs"))

        def seen(state: State, record: Record) -> None:
            recorder(record)
            if streamer is not None:
                last = state["input_ids"][:, int(state["length"]) - 1]
                streamer.put(ops.convert_to_numpy(last))

        stepwise = streamer is not None or bool(recorder.found)
        state = self._run(
            Sampling, input_ids, rules, generation_config, model_kwargs, stepwise, seen
        )
        if streamer is not None:
            streamer.end()
        return recorder.output(running.tokens_of(state), state)

    def _run(
        self,
        way: type,
        input_ids: Tensor,
        rules: Rules,
        config: GenerationConfig,
        arguments: dict[str, Any],
        stepwise: bool,
        seen: Callable[[State, Record], None],
    ) -> State:
        """Runs a way of decoding: as a program, in the graph that is being built, or by Python."""
        seed = seed_of(config.seed if config.do_sample else 0)
        prompt = ops.shape(input_ids)[1]
        input_ids = ops.cast(input_ids, "int32")
        pad = pad_token(config) or 0
        if not is_known(input_ids):
            self._check_graph(config, rules, stepwise)
            total = prompt + config.max_new_tokens if config.max_new_tokens else config.max_length
            lengths = (ops.convert_to_tensor(each, "int32") for each in (prompt, total))
            start = (widened(input_ids, total, pad), *lengths, arguments, seed, rules.looked_at())
            return running.in_graph(way(Fixed(self, prompt, total), config, rules), start)
        if not self._is_compiled(config, arguments):
            total = config.max_length
            start = (widened(input_ids, total, pad), prompt, total, arguments, seed)
            return running.step_by_step(way(Growing(self, config), config, rules), start, seen)
        return compiling.run(self, way, input_ids, rules, config, arguments, seed, stepwise, seen)

    def _check_graph(self, config: GenerationConfig, rules: Rules, stepwise: bool) -> None:
        """Refuses what a graph has no place for: Python at each token."""
        if stepwise or not rules.in_graph():
            raise NotImplementedError(
                explain(
                    "options that need no Python between tokens, in a graph",
                    "a streamer, recorded scores or states, or processors or criteria with "
                    "in_graph = False",
                    "generate() outside of a graph, or without them",
                )
            )

    def _wants_programs(self, config: GenerationConfig) -> bool:
        """Whether the call is to be compiled, if the rest of it can be: upstream says of the class
        that its graph is whole, and the options do not ask otherwise.
        """
        return bool(
            self._can_compile_fullgraph
            and not config.disable_compile
            and config.use_cache
            and config.cache_implementation in (None, "static")
            and not config.output_attentions
            and not config.output_hidden_states
        )

    def _encodes_compiled(
        self, inputs: Tensor, config: GenerationConfig, arguments: dict[str, Any]
    ) -> bool:
        """Whether an encoder runs as a program: text's or speech's, as all encoders are run."""
        names = (
            "_maybe_prepare_encoder_kwargs_for_generation",
            "_prepare_text_encoder_decoder_kwargs_for_generation",
        )
        return bool(
            self.config.is_encoder_decoder
            and arguments.get("encoder_outputs") is None
            and is_known(inputs)
            and self._wants_programs(config)
            and not self._has_own(*names)
        )

    def _has_own(self, *names: str) -> bool:
        """Whether the class overrides one of these hooks."""
        return any(
            getattr(type(self), name) is not getattr(GenerationMixin, name) for name in names
        )

    def _is_compiled(self, config: GenerationConfig, arguments: dict[str, Any]) -> bool:
        """Whether the call becomes a program: it goes on from token to token as all do, with a
        cache that is new.
        """
        own = self._has_own("_update_model_kwargs_for_generation", "_prefill")
        cache = arguments.get("past_key_values", arguments.get("cache_params"))
        is_fresh = cache is not None and not any(
            getattr(layer, "is_initialized", False) for layer in getattr(cache, "layers", [])
        )
        return self._wants_programs(config) and is_fresh and not own


class Rules:
    """The processors and criteria of a call, for a prompt whose length may be a tensor.

    Args:
        model: the model.
        config: the options of the call.
        stopping_criteria: the caller's.
        tokenizer: for `stop_strings`.
        **given: other arguments of `_get_logits_processor`.
    """

    def __init__(
        self,
        model: Any,
        config: GenerationConfig,
        stopping_criteria: Any,
        tokenizer: Any,
        **given: Any,
    ) -> None:
        self.model = model
        self.config = config
        self.stopping_criteria = stopping_criteria
        self.tokenizer = tokenizer
        self.given = given
        self._known: dict[tuple[int, int], tuple[Any, Any]] = {}

    def __call__(
        self, prompt_length: Any, max_length: Any, looked_at: dict[str, Tensor] | None = None
    ) -> tuple[Any, Any]:
        """The processors and the criteria for these lengths (ints, or scalar tensors).

        Args:
            prompt_length: the tokens of the prompt.
            max_length: the most tokens in all.
            looked_at: what `looked_at()` gave, in a program that gets it as its argument.
        """
        lengths = (prompt_length, max_length)
        if not all(isinstance(length, int) for length in lengths):
            return self._made(*lengths, {**self.given, **(looked_at or {})})
        if lengths not in self._known:
            self._known[lengths] = self._made(*lengths, self.given)
        return self._known[lengths]

    def looked_at(self) -> dict[str, Tensor]:
        """The inputs that processors compare tokens with, which differ from call to call."""
        config = self.config
        names = []
        if config.encoder_repetition_penalty not in (None, 1.0) or (
            config.encoder_no_repeat_ngram_size
        ):
            names.append("encoder_input_ids")
        if config.repetition_penalty not in (None, 1.0):
            names.append("attention_mask")
        return {name: self.given[name] for name in names if self.given[name] is not None}

    def _made(self, prompt_length: Any, max_length: Any, given: dict[str, Any]) -> tuple[Any, Any]:
        config = copy.copy(self.config)
        config.max_length = max_length
        if config.min_new_tokens is not None:
            config.min_length = config.min_new_tokens + prompt_length
        processors = self.model._get_logits_processor(
            generation_config=config, input_ids_seq_length=prompt_length, **given
        )
        criteria = get_stopping_criteria(
            config, stopping_criteria=self.stopping_criteria, tokenizer=self.tokenizer
        )
        return processors, criteria

    def in_graph(self) -> bool:
        """Whether all of them can run in a graph."""
        processors, criteria = self(1, 2)
        return all(each.in_graph for each in (*processors, *criteria))

    def key(self) -> Any:
        """What a program depends on: the options but for lengths, and the caller's own objects."""
        options = self.config.to_dict()
        for name in ("max_length", "min_length", "max_new_tokens"):
            options.pop(name, None)
        own = (
            *(self.given.get("logits_processor") or ()),
            *(self.stopping_criteria or ()),
        )
        return repr(sorted(options.items(), key=str)), own
