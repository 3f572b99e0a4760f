"""Assisted decoding: a call checks several candidates, and keeps those that the model itself would
have chosen, or (with an assistant that samples) those that keep its distribution.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops
from transformers import GenerationConfig

from keraform.errors import explain
from keraform.generation.candidates import (
    Assistant,
    Candidate,
    Candidates,
    PromptLookup,
    arguments_of_assistant,
    options_of_assistant,
)
from keraform.generation.compiling import with_all_room
from keraform.generation.feeding import Arguments, Growing, Programmed
from keraform.generation.preparation import pad_token
from keraform.generation.recording import Recorder
from keraform.generation.room import bucket, only_looks_back, widened
from keraform.generation.running import Seen, one_key_is_meant
from keraform.generation.sampling import Record, Sampling, State
from keraform.generation.seeds import other_seed, seed_of, uniform
from keraform.runtime.caches import Cache
from keraform.runtime.layers import Tensor
from keraform.runtime.outputs import ModelOutput
from keraform.runtime.tracing import is_known

_MOST = 31  # candidates a call, where calls have fixed shapes


class Assisted(Sampling):
    """Greedy decoding or sampling of one row, several tokens a call."""

    def go_on_with(self, candidates: Candidates, state: State, seen: Seen) -> tuple[State, int]:
        """One call, which gives a token more than there are candidates that are kept.

        Args:
            candidates: n tokens.
            state: see `Sampling`.
            seen: is told of each new token.

        Returns:
            The state, and how many candidates were kept.
        """
        tokens, length = candidates.tokens, state["length"]
        input_ids = state["input_ids"]
        if tokens:
            new = ops.cast([tokens], input_ids.dtype)
            input_ids = ops.slice_update(input_ids, (0, length), new)
        outputs, arguments = self.feeding.several(
            input_ids, length - 1, len(tokens) + 1, state["arguments"]
        )
        matches = 0
        while True:
            offered = candidates.at(matches)
            one = _of_token(outputs, matches, length + matches)
            state, record = self._chosen(one, {**state, "offered": offered})
            seen(state, record)
            if offered is None or int(state["input_ids"][0, length + matches]) != offered.token:
                break
            matches += 1
            if not bool(self.goes_on(state)):
                break
        given = self.feeding.back(arguments, length + len(tokens) + 1 - state["length"])
        return {**state, "arguments": given}, matches

    def _tokens(self, scores: Tensor, state: State) -> Tensor:
        offered = state.get("offered")
        if offered is None or offered.scores is None:
            return super()._tokens(scores, state)
        weight = self.config.assistant_ensemble_weight
        if self.config.do_sample:
            return self._speculated(scores, offered, weight, state)
        if weight is None:
            return super()._tokens(scores, state)
        mixed = weight * ops.softmax(scores) + (1.0 - weight) * ops.softmax(offered.scores)
        return ops.argmax(mixed, axis=-1)

    def _speculated(
        self, scores: Tensor, offered: Candidate, weight: float | None, state: State
    ) -> Tensor:
        """The candidate, with the probability that keeps the model's distribution, or another:
        algorithm 1 of arXiv:2211.17192, with a weight below 1 that of arXiv:2604.07622.
        """
        p, q = ops.softmax(scores), ops.softmax(offered.scores)  # [1, v]
        ratio = float(p[0, offered.token]) / float(q[0, offered.token])
        if weight is not None:
            ratio = 1.0 - weight + weight * ratio
        if float(uniform((), other_seed(state["seed"], 2), state["length"])) <= ratio:
            return ops.convert_to_tensor([offered.token])
        rest = ops.maximum(p - q, 0.0)
        if float(ops.sum(rest)) <= np.finfo("float32").tiny:
            rest = p
        return super()._tokens(ops.log(rest), state)


class AssistedDecoding:
    """What `generate` does with an `assistant_model` or `prompt_lookup_num_tokens`."""

    @one_key_is_meant()
    def _assisted_decoding(
        self: Any,
        input_ids: Tensor,
        rules: Any,
        generation_config: GenerationConfig,
        streamer: Any = None,
        inputs_tensor: Any = None,
        assistant_model: Any = None,
        assistant_tokenizer: Any = None,
        **model_kwargs: Any,
    ) -> Any:
        config = generation_config
        if assistant_tokenizer is not None:
            raise NotImplementedError(
                explain(
                    "an assistant_model with the model's own tokenizer",
                    "an assistant_tokenizer",
                    "generate(..., prompt_lookup_num_tokens=10)",
                )
            )
        _check(self, assistant_model, config, input_ids, model_kwargs)
        recorder = Recorder(self, config, model_kwargs.get("encoder_outputs"))
        guess: Any
        if assistant_model is None:
            guess = PromptLookup(config)
        else:
            options = options_of_assistant(config, assistant_model)
            own = arguments_of_assistant(
                self, assistant_model, options, input_ids, inputs_tensor, model_kwargs
            )
            calls, own = _calls(assistant_model, input_ids, options, own)
            prompt = input_ids.shape[1]
            processors, _ = rules.of(assistant_model, options)(prompt, config.max_length)
            guess = Assistant(assistant_model, options, calls, own, prompt, processors)
        calls, arguments = _calls(self, input_ids, config, model_kwargs)
        method = Assisted(calls, config, rules)
        new: list[int] = []

        def seen(state: State, record: Record) -> None:
            recorder(record)
            new.append(int(state["input_ids"][0, state["length"] - 1]))

        def show() -> None:
            if streamer is not None:
                streamer.put(np.asarray([new]))
            new.clear()

        state, record = method.start(
            widened(ops.cast(input_ids, "int32"), _room(input_ids, config), pad_token(config) or 0),
            input_ids.shape[1],
            config.max_length,
            arguments,
            seed_of(config.seed),
        )
        seen(state, record)
        _check_cache(self, state["arguments"])
        show()
        while bool(method.goes_on(state)):
            most = min(config.max_length - state["length"] - 1, _MOST)
            candidates = guess(state, most)
            state, matches = method.go_on_with(candidates, state, seen)
            guess.learn(candidates, matches)
            show()
        if streamer is not None:
            streamer.end()
        return recorder.output(state["input_ids"][:, : state["length"]], state)


def _calls(
    model: Any, input_ids: Tensor, config: GenerationConfig, arguments: Arguments
) -> tuple[Growing | Programmed, Arguments]:
    """How a model is called, and its arguments for the first call."""
    if model._is_compiled(config, arguments) and only_looks_back(model):
        return with_all_room(model, input_ids, config, arguments, more=_MOST)
    for cache in (each for each in arguments.values() if isinstance(each, Cache)):
        cache.activate_past_recording()  # so that tokens can be taken back
    return Growing(model, config), arguments


def _room(input_ids: Tensor, config: GenerationConfig) -> int:
    """Room for all tokens, those of buckets too."""
    prompt = input_ids.shape[1]
    most = max(config.max_length + _MOST, config.max_cache_len or 0)
    return bucket(bucket(prompt) + most - prompt)


def _of_token(outputs: Any, place: int, length: int) -> ModelOutput:
    """What a call of several tokens gives for one of them, as a call with that one would.

    Args:
        outputs: of the call.
        place: which of its tokens.
        length: how many tokens that one and those before it are.
    """
    found = type(outputs)(logits=outputs.logits[:, place : place + 1])
    for name, value in outputs.items():
        if value is None or not name.endswith(("attentions", "hidden_states")):
            continue
        if name.startswith("encoder_"):
            continue
        rows = [layer[..., place : place + 1, :] for layer in value]
        if name.endswith("attentions") and not name.startswith("cross"):
            rows = [layer[..., :length] for layer in rows]
        setattr(found, name, tuple(rows))
    return found


def _check(
    model: Any, assistant: Any, config: GenerationConfig, input_ids: Tensor, arguments: Arguments
) -> None:
    """Refuses what assisted decoding cannot do."""
    rows, name = input_ids.shape[0], type(model).__name__
    refusals = (
        (
            config.num_return_sequences > 1,
            "num_return_sequences=1",
            f"num_return_sequences={config.num_return_sequences}",
            "generate(..., num_return_sequences=1)",
        ),
        (rows != 1, "one row", f"{rows} rows", "generate() for each row"),
        (
            model._is_stateful,
            "a model that can take tokens back",
            f"{name}, whose state holds all of them at once",
            "generate() without assistant_model and prompt_lookup_num_tokens",
        ),
        (
            arguments.get("inputs_embeds") is not None,
            "input_ids, which candidates stand behind",
            "inputs_embeds",
            "generate(input_ids, ...)",
        ),
        (
            not is_known(input_ids),
            "ids whose values are there",
            "a symbolic tensor of a graph",
            "generate() outside of tf.function",
        ),
        (not config.use_cache, "use_cache=True", "False", "generate(..., use_cache=True)"),
    )
    for is_so, expected, got, instead in refusals:
        if is_so:
            raise ValueError(explain(f"{expected}, for assisted decoding", got, instead))
    if assistant is not None:
        _check_assistant(model, assistant)
    if not any(isinstance(each, Cache) for each in arguments.values()):
        raise ValueError(_needs_cache(name, "none of that kind"))


def _check_assistant(model: Any, assistant: Any) -> None:
    if "Assistant" in type(assistant).__name__:
        raise NotImplementedError(
            explain(
                "an assistant that generates by itself",
                f"{type(assistant).__name__}, which reads the other model's states",
                "generate(..., prompt_lookup_num_tokens=10)",
            )
        )
    sizes = [each.config.get_text_config().vocab_size for each in (model, assistant)]
    if sizes[0] != sizes[1]:
        raise NotImplementedError(
            explain(
                f"an assistant with the model's vocabulary of {sizes[0]} tokens",
                f"{type(assistant).__name__} with {sizes[1]} tokens",
                "an assistant_model with the same tokenizer",
            )
        )


def _check_cache(model: Any, arguments: Arguments) -> None:
    for cache in (each for each in arguments.values() if isinstance(each, Cache)):
        if not cache.is_croppable:
            raise ValueError(_needs_cache(type(model).__name__, "one with recurrent states"))


def _needs_cache(name: str, got: str) -> str:
    return explain(
        f"a model with a cache that can forget its last tokens, for assisted decoding; {name} has "
        f"another",
        got,
        "generate() without assistant_model and prompt_lookup_num_tokens",
    )
