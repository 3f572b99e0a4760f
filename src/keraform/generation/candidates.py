"""Where candidates for the next tokens come from: a smaller model, or the text so far."""

from __future__ import annotations

import copy
import inspect
from typing import Any, NamedTuple

import numpy as np
from keras import ops
from numpy.lib.stride_tricks import sliding_window_view
from transformers import GenerationConfig
from transformers.generation.configuration_utils import GenerationMode

from keraform.generation.feeding import Arguments, Growing, Programmed
from keraform.generation.preparation import CACHES, eos_tokens
from keraform.generation.sampling import State
from keraform.generation.seeds import drawn, other_seed
from keraform.generation.settings import OF_ASSISTANTS
from keraform.runtime.layers import Tensor

# Arguments that only the model itself is called with.
_OF_ONE_MODEL = {
    *CACHES.values(),
    *("encoder_outputs", "position_ids", "output_attentions", "output_hidden_states"),
}


class Candidate(NamedTuple):
    """A token that may come next.

    Args:
        token: the token.
        scores: [1, v], what it was chosen by; None where it was found.
    """

    token: int
    scores: Tensor | None


class Candidates(NamedTuple):
    """Tokens that may come next, one row.

    Args:
        tokens: the n tokens.
        scores: for each of them [1, v], what it was chosen by; none where they were found.
    """

    tokens: list[int]
    scores: tuple[Tensor, ...] = ()

    def at(self, place: int) -> Candidate | None:
        """One of them, None behind the last."""
        if place >= len(self.tokens):
            return None
        return Candidate(self.tokens[place], self.scores[place] if self.scores else None)


class PromptLookup:
    """Finds the last tokens earlier in the text, and takes what came after them there.

    Args:
        config: the options of the call.
    """

    def __init__(self, config: GenerationConfig) -> None:
        self.count = int(config.prompt_lookup_num_tokens)
        self.longest = int(config.max_matching_ngram_size or 2)
        self.ends = eos_tokens(config)

    def __call__(self, state: State, most: int) -> Candidates:
        """At most `most` candidates for what comes behind the first `length` of `input_ids`."""
        ids = ops.convert_to_numpy(state["input_ids"])[0, : state["length"]]
        return Candidates(self._found(ids)[: max(most, 0)])

    def _found(self, ids: np.ndarray) -> list[int]:
        for size in range(min(self.longest, len(ids) - 1), 0, -1):
            equal = (sliding_window_view(ids, size) == ids[-size:]).all(axis=1)
            for place in np.flatnonzero(equal)[:-1]:  # the last is where the text ends
                found = ids[place + size : place + size + self.count].tolist()
                end = next((i for i, token in enumerate(found) if token in self.ends), len(found))
                return found[:end]
        return []

    def learn(self, candidates: Candidates, matches: int) -> None:
        """Nothing depends on how many were right."""


class Assistant:
    """A smaller model that writes ahead.

    Args:
        model: the model.
        config: the options of the call, those of the assistant among them.
        feeding: how it is called.
        arguments: its arguments for the call with the prompt.
        prompt: the tokens of the prompt.
        processors: what changes its scores.
    """

    def __init__(
        self,
        model: Any,
        config: GenerationConfig,
        feeding: Growing | Programmed,
        arguments: Arguments,
        prompt: int,
        processors: Any,
    ) -> None:
        self.model = model
        self.config = config
        self.feeding = feeding
        self.arguments = arguments
        self.prompt = prompt
        self.processors = processors
        self.count = config.num_assistant_tokens
        self.seen = 0  # the tokens that its cache holds
        self.ends = eos_tokens(config)

    def __call__(self, state: State, most: int) -> Candidates:
        """At most `most` candidates for what comes behind the first `length` of `input_ids`."""
        input_ids, length = state["input_ids"], state["length"]
        self._take_back(length - 1)
        tokens: list[int] = []
        scores: list[Tensor] = []
        for place in range(length, length + min(int(self.count), most)):
            logits = self._logits(input_ids, place)
            scores.append(self.processors(input_ids, logits, place))
            tokens.append(self._token(scores[-1], state["seed"], place))
            input_ids = ops.slice_update(
                input_ids, (0, place), ops.cast([[tokens[-1]]], input_ids.dtype)
            )
            if tokens[-1] in self.ends or self._is_unsure(scores[-1], tokens[-1]):
                break
        return Candidates(tokens, tuple(scores))

    def learn(self, candidates: Candidates, matches: int) -> None:
        """More candidates after all were right, fewer after some were not, where that is asked."""
        if self.config.num_assistant_tokens_schedule in ("heuristic", "heuristic_transient"):
            is_right = matches == len(candidates.tokens)
            self.count = self.count + 2 if is_right else max(1, self.count - 1)
        if self.config.num_assistant_tokens_schedule == "heuristic":
            self.model.generation_config.num_assistant_tokens = self.count

    def _logits(self, input_ids: Tensor, length: int) -> Tensor:
        """[1, v], for what comes behind the first `length` tokens."""
        if self.seen == 0:
            self.seen = self.prompt
            outputs, self.arguments = self.feeding.first(input_ids, self.prompt, self.arguments)
        new = length - self.seen
        if new:
            outputs, self.arguments = self.feeding.several(
                input_ids, self.seen, new, self.arguments
            )
        self.seen = length
        return ops.cast(outputs.logits[:, max(new, 1) - 1], "float32")

    def _take_back(self, length: int) -> None:
        """Forgets the tokens behind the first `length`, which were refused."""
        if self.seen:
            kept = min(self.seen, length)
            self.arguments = self.feeding.back(self.arguments, self.seen - kept)
            self.seen = kept

    def _token(self, scores: Tensor, seed: Tensor, place: int) -> int:
        if self.config.do_sample:
            return int(drawn(scores, other_seed(seed, 1), place)[0])
        return int(ops.argmax(scores, axis=-1)[0])

    def _is_unsure(self, scores: Tensor, token: int) -> bool:
        least = self.config.assistant_confidence_threshold
        return bool(least) and float(ops.softmax(scores)[0, token]) < least


def options_of_assistant(config: GenerationConfig, assistant: Any) -> GenerationConfig:
    """The options by which an assistant writes: the call's, and what it leaves open its own."""
    found = copy.copy(config)
    found.min_length = found.min_new_tokens = None  # the model itself sees to these
    found.is_assistant = True
    found.output_attentions = found.output_hidden_states = False
    defaults = GenerationConfig._get_default_generation_params()
    for name in OF_ASSISTANTS:
        for source in (getattr(assistant.generation_config, name, None), defaults.get(name)):
            if getattr(found, name) is None:
                setattr(found, name, source)
    return found


def arguments_of_assistant(
    model: Any,
    assistant: Any,
    config: GenerationConfig,
    input_ids: Tensor,
    inputs: Tensor,
    arguments: Arguments,
) -> Arguments:
    """The arguments with which an assistant reads the prompt.

    Args:
        model: the model that it helps.
        assistant: the assistant.
        config: the options by which the assistant writes.
        input_ids: [1, n], the prompt, of an encoder-decoder the decoder's.
        inputs: the main input, of an encoder-decoder the encoder's.
        arguments: those of the model.
    """
    taken = inspect.signature(assistant.call).parameters
    given = {
        name: value
        for name, value in arguments.items()
        if name in taken and name not in _OF_ONE_MODEL
    }
    if assistant.config.is_encoder_decoder:
        mask = given.get("attention_mask")
        if mask is not None and len(inputs.shape) == 2:  # of ids that were padded for a program
            given["attention_mask"] = mask[:, : inputs.shape[1]]
        tensor, name, given = assistant._prepare_model_inputs(inputs, None, given)
        given = assistant._maybe_prepare_encoder_kwargs_for_generation(tensor, given, name, config)
    elif model.config.is_encoder_decoder:
        given["encoder_outputs"] = arguments["encoder_outputs"]
        given["attention_mask"] = arguments.get("decoder_attention_mask")
    given = assistant._with_mask_and_positions(input_ids, "input_ids", copy.copy(config), given)
    if "logits_to_keep" in taken:
        given["logits_to_keep"] = 1
    mode = GenerationMode.ASSISTED_GENERATION
    assistant._prepare_cache_for_generation(config, given, mode, 1, config.max_length - 1)
    return {**given, "use_cache": True}
