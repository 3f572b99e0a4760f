"""Ways of decoding a token a step or by beams, and whether they are compiled."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, ClassVar

from keras import ops
from transformers import GenerationConfig

from keraform.errors import explain
from keraform.generation import compiling, running
from keraform.generation.beams import BeamSearch, best
from keraform.generation.feeding import Fixed, Growing
from keraform.generation.preparation import pad_token
from keraform.generation.programs import CannotBeCompiled
from keraform.generation.recording import Recorder
from keraform.generation.room import widened
from keraform.generation.rules import GivenRules, Rules
from keraform.generation.sampling import Record, Sampling, State
from keraform.generation.seeds import seed_of
from keraform.generation.transitions import transition_scores
from keraform.runtime.layers import Tensor
from keraform.runtime.tracing import is_known

logger = logging.getLogger(__name__)


class Decoding:
    """What `GenerationMixin` has for each way of decoding."""

    _can_compile_fullgraph: ClassVar[bool] = False
    _has_no_programs: bool = False  # of a model that turned out not to be one for programs

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
        steps = 0

        def counted(state: State, record: Record) -> None:
            nonlocal steps
            steps += 1
            seen(state, record)

        given = (input_ids, rules, config, arguments, seed)
        try:
            return compiling.run(self, way, *given, stepwise, counted)
        except CannotBeCompiled as error:
            if steps:  # which the caller has seen
                raise
            self._go_on_without_programs(error)
        return self._run(way, input_ids, rules, config, arguments, stepwise, seen)

    def _go_on_without_programs(self, error: Exception) -> None:
        """Says once that this model is not compiled, and why; calls follow one by one."""
        self._has_no_programs = True
        logger.warning(
            "%s is not compiled, and generates call by call, which is slower. The reason: %s",
            type(self).__name__,
            error,
        )

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
            and not self._has_no_programs
            and compiling.can_be_compiled(self)
        )

    def _encoded(
        self, inputs: Tensor, arguments: dict[str, Any], name: str, config: GenerationConfig
    ) -> dict[str, Any]:
        """The arguments with what the encoder gives, where there is one."""
        if self._encodes_compiled(inputs, config, arguments):
            try:
                return compiling.encoded(self, inputs, arguments, name, config)
            except CannotBeCompiled as error:
                self._go_on_without_programs(error)
        return self._maybe_prepare_encoder_kwargs_for_generation(inputs, arguments, name, config)

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
            not getattr(type(self), name).__module__.startswith("keraform.generation.")
            for name in names
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
