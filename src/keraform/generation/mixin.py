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
from keraform.generation.assisted import AssistedDecoding
from keraform.generation.beams import BeamSearch, best
from keraform.generation.contrastive import ContrastiveSearch
from keraform.generation.exporting import export_generate
from keraform.generation.feeding import Fixed, Growing
from keraform.generation.healing import healed
from keraform.generation.prefill import Prefill
from keraform.generation.preparation import Preparation, pad_token
from keraform.generation.processors import LogitsProcessorList
from keraform.generation.recording import Recorder
from keraform.generation.room import widened
from keraform.generation.sampling import Record, Sampling, State
from keraform.generation.seeds import seed_of
from keraform.generation.stopping import StoppingCriteriaList
from keraform.generation.transitions import transition_scores
from keraform.runtime.given import as_dict, as_tensor, integer_dtype, is_mapping
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


class GenerationMixin(AssistedDecoding, ContrastiveSearch, Prefill, Preparation):
    """Gives a class `generate`: of text, or of whatever its tokens stand for."""

    _is_stateful: ClassVar[bool] = False
    _can_compile_fullgraph: ClassVar[bool] = False

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
        way = getattr(type(self), _WAYS[mode])
        if way is not getattr(GenerationMixin, _WAYS[mode]):  # the class's own, as upstream's
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

        Plain TensorFlow serves it, without Keraform: `tf.saved_model.load(filepath).serve(inputs)`
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

    def _sample(
        self,
        input_ids: Tensor,
        logits_processor: Any = None,
        stopping_criteria: Any = None,
        generation_config: Any = None,
        synced_gpus: bool = False,
        streamer: Any = None,
        rules: Any = None,
        **model_kwargs: Any,
    ) -> Any:
        """Greedy decoding, or sampling with `do_sample`.

        Models with a `generate` of their own call it as upstream's, with the processors and
        criteria; `rules` makes them for lengths that a program gets as tensors.
        """
        rules = rules if rules is not None else GivenRules(logits_processor, stopping_criteria)
        return self._one_by_one(
            Sampling, input_ids, rules, generation_config, streamer, **model_kwargs
        )

    def _one_by_one(
        self,
        way: type,
        input_ids: Tensor,
        rules: Rules,
        config: GenerationConfig,
        streamer: Any,
        **arguments: Any,
    ) -> Any:
        """Runs a way of decoding that writes a token a step, and gives what `generate` returns."""
        recorder = Recorder(self, config, arguments.get("encoder_outputs"))

        def seen(state: State, record: Record) -> None:
            recorder(record)
            if streamer is not None:
                last = state["input_ids"][:, int(state["length"]) - 1]
                streamer.put(ops.convert_to_numpy(last))

        stepwise = streamer is not None or bool(recorder.found)
        state = self._run(way, input_ids, rules, config, arguments, stepwise, seen)
        if streamer is not None:
            streamer.end()
        return recorder.output(running.tokens_of(state), state)

    def _beam_search(
        self,
        input_ids: Tensor,
        logits_processor: Any = None,
        stopping_criteria: Any = None,
        generation_config: Any = None,
        synced_gpus: bool = False,
        streamer: Any = None,
        rules: Any = None,
        **model_kwargs: Any,
    ) -> Any:
        """Beam search, or beam sampling with `do_sample`; `input_ids` has each row once a beam."""
        rules = rules if rules is not None else GivenRules(logits_processor, stopping_criteria)
        config, prompt = generation_config, ops.shape(input_ids)[1]
        recorder = Recorder(self, config, model_kwargs.get("encoder_outputs"))
        state = self._run(
            BeamSearch,
            input_ids,
            rules,
            config,
            model_kwargs,
            stepwise=bool(recorder.found),
            seen=lambda state, record: recorder(record),
        )
        found = best(state, config.num_return_sequences)
        end = prompt + ops.max(ops.sum(found["beams"] >= 0, axis=1))
        return recorder.output(
            found["tokens"][:, :end],
            state,
            sequences_scores=found["scores"] if config.output_scores else None,
            beam_indices=found["beams"][:, prompt:end],
        )

    def compute_transition_scores(
        self,
        sequences: Any,
        scores: tuple[Any, ...],
        beam_indices: Any = None,
        normalize_logits: bool = False,
    ) -> Tensor:
        """The scores of the tokens that were generated, from those of all tokens.

        Args:
            sequences: [b, n], what `generate` gave.
            scores: its scores, for each generated token [b, v]; with beams [b * num_beams, v].
            beam_indices: its `beam_indices`, with beams.
            normalize_logits: whether to make log probabilities of the scores.

        Returns:
            [b, generated] (the dtype of the scores); 0 behind the end of a beam.
        """
        return transition_scores(sequences, scores, beam_indices, normalize_logits)

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
        seed = seed_of(getattr(config, "seed", None) if config.do_sample else 0)
        prompt = ops.shape(input_ids)[1]
        input_ids = ops.cast(input_ids, "int32")
        pad = pad_token(config) or 0
        if not is_known(input_ids):
            self._check_graph(config, rules, stepwise)
            total = prompt + config.max_new_tokens if config.max_new_tokens else config.max_length
            lengths = (ops.convert_to_tensor(each, "int32") for each in (prompt, total))
            start = (widened(input_ids, total, pad), *lengths, arguments, seed, rules.looked_at())
            return running.in_graph(way(Fixed(self, prompt, total), config, rules), start)
        if isinstance(rules, GivenRules) or not self._is_compiled(config, arguments):
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
        """Whether the model can be compiled, and the options do not ask otherwise."""
        return bool(
            not config.disable_compile
            and config.use_cache
            and config.cache_implementation in (None, "static")
            and config.prefill_chunk_size is None
            and not config.output_attentions
            and not config.output_hidden_states
            and compiling.can_be_compiled(self)
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


class GivenRules:
    """Processors and criteria that a model has made itself.

    Args:
        processors: a LogitsProcessorList.
        criteria: a StoppingCriteriaList.
    """

    def __init__(self, processors: Any, criteria: Any) -> None:
        self.made = (
            LogitsProcessorList() if processors is None else processors,
            StoppingCriteriaList() if criteria is None else criteria,
        )

    def __call__(self, *lengths: Any) -> tuple[Any, Any]:
        """The processors and the criteria, whatever the lengths."""
        return self.made


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

    def of(self, model: Any, config: GenerationConfig) -> Rules:
        """The rules for another model, an assistant, by other options."""
        return Rules(model, config, self.stopping_criteria, self.tokenizer, **self.given)

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
        criteria = self.model._get_stopping_criteria(
            config, stopping_criteria=self.stopping_criteria, tokenizer=self.tokenizer
        )
        return processors, criteria

    def in_graph(self) -> bool:
        """Whether all of them can run in a graph."""
        processors, criteria = self(1, 2)
        return processors.in_graph and criteria.in_graph

    def key(self) -> Any:
        """What a program depends on: the options but for lengths, and the caller's own objects."""
        options = self.config.to_dict()
        for name in ("max_length", "min_length", "max_new_tokens", "seed"):
            options.pop(name, None)
        own = (
            *(self.given.get("logits_processor") or ()),
            *(self.stopping_criteria or ()),
        )
        return repr(sorted(options.items(), key=str)), own
