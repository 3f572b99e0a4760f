"""Greedy decoding and sampling: one token a row, by the scores that the processors leave."""

from __future__ import annotations

from typing import Any

from keras import ops
from transformers import GenerationConfig

from keraform.generation.choosing import highest
from keraform.generation.feeding import Arguments, Fixed, Growing, Programmed
from keraform.generation.preparation import eos_tokens, pad_token
from keraform.generation.room import widened
from keraform.generation.seeds import drawn
from keraform.runtime.caches.static import written
from keraform.runtime.layers import Tensor

State = dict[str, Any]
Record = dict[str, Any]


class Way:
    """What all ways of decoding share: how the model is called, by which options and rules.

    A way has `start`, which gives a state and a record, `goes_on`, which tells of a state whether
    it does, and `go_on`, which gives the next state and record. The state is a dict of tensors (and
    of caches and arguments made of them), in any case the `length` of the tokens so far,
    `prompt_length`, `max_length`, the model's `arguments`, `seed` [2], and what the processors have
    `looked_at`. A record is what a step leaves for `return_dict_in_generate`.

    Args:
        feeding: how the model is called.
        config: the options of the call.
        rules: `rules(prompt_length, max_length)` gives the processors and the criteria;
            `processors(input_ids, scores, length)` the scores [b, v] to choose by, and
            `criteria(input_ids, scores, length)` which rows [b] are done.
    """

    def __init__(
        self, feeding: Growing | Fixed | Programmed, config: GenerationConfig, rules: Any
    ) -> None:
        self.feeding = feeding
        self.config = config
        self.rules = rules

    def _begun(
        self,
        length: Any,
        max_length: Any,
        arguments: Arguments,
        seed: Tensor,
        looked_at: dict[str, Tensor] | None,
    ) -> State:
        """What every state has."""
        return {
            "length": length,
            "prompt_length": length,
            "max_length": max_length,
            "arguments": arguments,
            "seed": seed,
            "looked_at": looked_at or {},
        }

    def _rules(self, state: State) -> tuple[Any, Any]:
        """The processors and the criteria."""
        names = ("prompt_length", "max_length", "looked_at")
        return self.rules(*(state[name] for name in names))


class Sampling(Way):
    """A way of decoding that writes a token of each row a step.

    The state has besides `input_ids` [b, L], of which the first `length` count, and `unfinished`
    [b] (bool).
    """

    def start(
        self,
        input_ids: Tensor,
        length: Any,
        max_length: Any,
        arguments: Arguments,
        seed: Tensor,
        looked_at: dict[str, Tensor] | None = None,
    ) -> tuple[State, Record]:
        """The prompt, and the first token behind it."""
        outputs, arguments = self.feeding.first(input_ids, length, arguments)
        state = {
            **self._begun(length, max_length, arguments, seed, looked_at),
            "input_ids": input_ids,
            "unfinished": ops.ones((ops.shape(input_ids)[0],), dtype="bool"),
        }
        return self._chosen(outputs, state)

    def goes_on(self, state: State) -> Tensor:
        """Whether a row is unfinished, a scalar (bool)."""
        return ops.any(state["unfinished"])

    def is_full(self, state: State) -> Tensor:
        """Whether there is no room for another token, a scalar (bool)."""
        return state["length"] >= ops.shape(state["input_ids"])[1]

    def widened(self, state: State, total: int) -> State:
        """The state with room for `total` tokens."""
        pad = pad_token(self.config) or 0
        return {
            **state,
            "input_ids": widened(state["input_ids"], total, pad),
            "arguments": self.feeding.widened(state["arguments"], total),
        }

    def go_on(self, state: State) -> tuple[State, Record]:
        """One more token."""
        outputs, arguments = self.feeding.next(
            state["input_ids"], state["length"], state["arguments"]
        )
        return self._chosen(outputs, {**state, "arguments": arguments})

    def _chosen(self, outputs: Any, state: State) -> tuple[State, Record]:
        processors, _ = self._rules(state)
        logits = ops.cast(outputs.logits[:, -1], "float32")  # [b, v]
        scores = processors(state["input_ids"], logits, state["length"])
        following = self._with(self._tokens(scores, state), scores, state)
        return following, recorded(self.config, outputs, scores=scores, logits=logits)

    def _tokens(self, scores: Tensor, state: State) -> Tensor:
        """The next token of each row [b], of scores [b, v]."""
        if self.config.do_sample:
            return drawn(scores, state["seed"], state["length"])
        return highest(scores)

    def _with(self, tokens: Tensor, scores: Tensor, state: State) -> State:
        """The state with the next token of each row [b]; finished rows get the pad token."""
        input_ids, length, unfinished = (
            state[name] for name in ("input_ids", "length", "unfinished")
        )
        _, criteria = self._rules(state)
        tokens = ops.cast(tokens, input_ids.dtype)
        if eos_tokens(self.config):
            pad = ops.cast(pad_token(self.config), input_ids.dtype)
            tokens = ops.where(unfinished, tokens, pad)
        input_ids = written(input_ids, length, ops.expand_dims(tokens, -1), axis=1)
        length = length + 1
        done = criteria(input_ids, scores, length)
        return {
            **state,
            "input_ids": input_ids,
            "length": length,
            "unfinished": ops.logical_and(unfinished, ops.logical_not(done)),
        }


def recorded(config: GenerationConfig, outputs: Any, **tensors: Tensor) -> Record:
    """The record of a step: tensors, and where the caller asked for some of it, the output."""
    wanted = config.output_attentions or config.output_hidden_states
    return {**tensors, "outputs": outputs} if wanted else tensors
