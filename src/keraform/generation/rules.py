"""The processors and criteria of a call, for lengths that may be tensors."""

from __future__ import annotations

import copy
from typing import Any

from transformers import GenerationConfig

from keraform.generation.processors import LogitsProcessorList
from keraform.generation.stopping import StoppingCriteriaList
from keraform.runtime.layers import Tensor


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
