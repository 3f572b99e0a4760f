"""Beam search and beam sampling: the continuations of a row that are best as a whole."""

from __future__ import annotations

from typing import Any

from keras import ops
from transformers import GenerationConfig

from keraform.errors import explain
from keraform.generation.feeding import Arguments, Fixed, Growing, Programmed
from keraform.generation.preparation import CACHES, eos_tokens, pad_token
from keraform.generation.sampling import Record, State, Way, recorded
from keraform.generation.seeds import noise
from keraform.runtime.layers import Tensor

OUT = -1e9  # added to the score of what must not be chosen
# Tensors of several continuations a row, n of them: `tokens` [b, n, L], `beams` [b, n, L] (the row
# of the model's call that each token came from, -1 where there is none), `scores` [b, n] (sums of
# log probabilities), of finished ones `is_done` [b, n] (whether there is one).
Beams = dict[str, Tensor]


class BeamSearch(Way):
    """A way of decoding that goes on with `num_beams` continuations of each row.

    The state has `running` beams, and the best `finished` ones found so far, whose scores have the
    length penalty; `can_improve` [b, 1] tells whether a running beam may still become better than
    a row's finished ones, `goes_on` whether there is anything left to do. The rows of the model's
    calls are b * num_beams, the beams of a row one after the other.
    """

    def __init__(
        self, feeding: Growing | Fixed | Programmed, config: GenerationConfig, rules: Any
    ) -> None:
        super().__init__(feeding, config, rules)
        self.ends = eos_tokens(config)
        self.beams = config.num_beams
        # continuations of a row that are looked at: enough are left if all tokens that end a
        # sequence are among the best
        self.candidates = max(2, 1 + len(self.ends)) * self.beams

    def start(
        self,
        input_ids: Tensor,
        length: Any,
        max_length: Any,
        arguments: Arguments,
        seed: Tensor,
        looked_at: dict[str, Tensor] | None = None,
    ) -> tuple[State, Record]:
        """The prompts, each `num_beams` times, and the first token behind them."""
        outputs, arguments = self.feeding.first(input_ids, length, arguments)
        scores = self._by_row(ops.zeros_like(ops.cast(outputs.logits[:, -1, 0], "float32")))
        # all beams of a row begin alike, so that only the first may be continued
        lead = ops.cast(ops.arange(self.beams) > 0, scores.dtype) * OUT
        # upstream's rule, by which a pad token of 0 is none
        fill = (pad_token(self.config) or self.ends[0]) if self.ends else -1
        is_prompt = ops.arange(ops.shape(input_ids)[1], dtype="int32") < length
        tokens = self._by_row(ops.where(is_prompt, input_ids, fill))
        running = {
            "tokens": tokens,
            "beams": ops.full_like(tokens, -1),
            "scores": scores + lead,
        }
        is_done = ops.zeros_like(scores, dtype="bool")
        state = {
            **self._begun(length, max_length, arguments, seed, looked_at),
            "running": running,
            "finished": {**running, "scores": scores + OUT, "is_done": is_done},
            "can_improve": ops.ones_like(scores[:, :1], dtype="bool"),
        }
        return self._chosen(outputs, state)

    def goes_on(self, state: State) -> Tensor:
        """Whether the result may still change, a scalar (bool)."""
        return state["goes_on"]

    def go_on(self, state: State) -> tuple[State, Record]:
        """One more token for each running beam."""
        tokens = _flat(state["running"]["tokens"])
        outputs, arguments = self.feeding.next(tokens, state["length"], state["arguments"])
        return self._chosen(outputs, {**state, "arguments": arguments})

    def _chosen(self, outputs: Any, state: State) -> tuple[State, Record]:
        processors, criteria = self._rules(state)
        running, length = state["running"], state["length"]
        logits = ops.cast(outputs.logits[:, -1], "float32")  # [b k, v]
        scores = processors(_flat(running["tokens"]), ops.log_softmax(logits), length)
        candidates = self._continued(running, scores, state)
        following = {**state, "length": length + 1}
        done = criteria(_flat(candidates["tokens"]), scores, length + 1)
        done = ops.reshape(done, (-1, self.candidates))
        running = _without(candidates, done)
        running = _taken(running, ops.top_k(running["scores"], self.beams)[1])
        last = ops.take(running["beams"], length, axis=-1)
        following |= {
            "running": running,
            "finished": self._finished(candidates, done, following),
            "arguments": self._reordered(state["arguments"], ops.reshape(last, (-1,))),
        }
        following["can_improve"] = self._can_improve(following)
        goes_on = ops.any(following["can_improve"]) & ~ops.all(done)
        if self.config.early_stopping is True:
            goes_on = goes_on & ~ops.all(following["finished"]["is_done"])
        following["goes_on"] = goes_on
        return following, recorded(self.config, outputs, scores=scores, logits=logits)

    def _continued(self, running: Beams, scores: Tensor, state: State) -> Beams:
        """The best (or drawn) continuations of each row by a token, scores [b k, v] being those of
        the tokens alone.
        """
        size = scores.shape[-1]
        sums = self._by_row(scores) + ops.expand_dims(running["scores"], -1)  # [b, k, v]
        sums = ops.reshape(sums, (-1, self.beams * size))
        if self.config.do_sample:  # the largest of noisy scores are a draw without repetition
            noisy = ops.add(sums, noise(ops.shape(sums), state["seed"], state["length"]))
            chosen = ops.top_k(noisy, self.candidates)[1]
        else:
            chosen = ops.top_k(sums, self.candidates)[1]
        chosen = ops.cast(chosen, "int32")
        beam = chosen // size
        found = _taken(running, beam)
        at = (0, 0, state["length"])
        tokens, beams = (
            ops.slice_update(found[name], at, ops.expand_dims(new, -1))
            for name, new in (("tokens", chosen % size), ("beams", _rows(beam, self.beams)))
        )
        return {"tokens": tokens, "beams": beams, **_taken({"scores": sums}, chosen)}

    def _finished(self, candidates: Beams, done: Tensor, state: State) -> Beams:
        """The best of those finished before and those that are `done` [b, n] now."""
        before = state["finished"]
        # only the best `num_beams` count, the others are there to go on with
        ends = done & (ops.arange(self.candidates) < self.beams)
        scores = self._penalized(candidates["scores"], state["length"] - state["prompt_length"])
        new = {**candidates, "scores": scores, "is_done": ends}
        new = _without(new, ~ends)
        new = _without(new, ~state["can_improve"])
        if self.config.early_stopping is True:
            new = _without(new, ops.all(before["is_done"], axis=-1, keepdims=True))
        merged = {name: ops.concatenate([before[name], new[name]], axis=1) for name in before}
        return _taken(merged, ops.top_k(merged["scores"], self.beams)[1])

    def _can_improve(self, state: State) -> Tensor:
        """Whether a running beam may become better than the worst finished one [b, 1]; upstream's
        estimate of it, which depends on `early_stopping`.
        """
        finished = state["finished"]
        is_to_the_end = self.config.early_stopping == "never" and self.config.length_penalty > 0.0
        length = state["max_length"] if is_to_the_end else state["length"]
        best = self._penalized(state["running"]["scores"][:, :1], length - state["prompt_length"])
        worst = ops.min(finished["scores"], axis=1, keepdims=True)
        worst = ops.where(finished["is_done"], worst, OUT)
        return state["can_improve"] & ops.any(best > worst, axis=-1, keepdims=True)

    def _penalized(self, scores: Tensor, length: Any) -> Tensor:
        """Scores of continuations by `length` tokens, with the length penalty."""
        penalty = ops.power(ops.cast(length, scores.dtype), self.config.length_penalty)
        return scores / ops.cast(penalty, scores.dtype)

    def _reordered(self, arguments: Arguments, rows: Tensor) -> Arguments:
        """The arguments with the caches of these `rows` [b k] of the last call."""
        name = next((name for name in CACHES.values() if arguments.get(name) is not None), None)
        if name is None:
            return arguments
        cache, model = arguments[name], self.feeding.model
        if hasattr(model, "_reorder_cache"):
            return {**arguments, name: model._reorder_cache(cache, rows)}
        # what the encoder gave is the same for all beams of a row
        own = getattr(cache, "self_attention_cache", cache)
        if not hasattr(own, "reorder_cache"):
            raise ValueError(
                explain(
                    "a cache whose rows can be put in another order",
                    f"{type(own).__name__} of {type(model).__name__}",
                    "generate(..., use_cache=False), or num_beams=1",
                )
            )
        own.reorder_cache(rows)
        return arguments

    def _by_row(self, value: Tensor) -> Tensor:
        """[b k, ...] as [b, k, ...]."""
        return ops.reshape(value, (-1, self.beams, *value.shape[1:]))


def best(state: State, count: int) -> Beams:
    """The `count` best of each row, the best first, as rows [b count, ...]."""
    return {name: _flat(value[:, :count]) for name, value in state["finished"].items()}


def _flat(value: Tensor) -> Tensor:
    """[b, n, ...] as [b n, ...]."""
    return ops.reshape(value, (-1, *value.shape[2:]))


def _rows(indices: Tensor, n: int) -> Tensor:
    """What each row's entries `indices` [b, m] of [b, n, ...] are as rows of [b n, ...]."""
    first = ops.arange(ops.shape(indices)[0], dtype="int32") * n
    return ops.cast(indices, "int32") + ops.expand_dims(first, -1)


def _taken(values: dict[str, Tensor], indices: Tensor) -> dict[str, Tensor]:
    """Of each row of values [b, n, ...] the entries `indices` [b, m]."""
    n, m = next(iter(values.values())).shape[1], indices.shape[1]
    rows = ops.reshape(_rows(indices, n), (-1,))
    return {
        name: ops.reshape(ops.take(_flat(value), rows, axis=0), (-1, m, *value.shape[2:]))
        for name, value in values.items()
    }


def _without(beams: Beams, wrong: Tensor) -> Beams:
    """The beams with scores that keep those which are `wrong` [b, n or 1] from being chosen."""
    scores = beams["scores"]
    return {**beams, "scores": scores + ops.cast(wrong, scores.dtype) * OUT}
