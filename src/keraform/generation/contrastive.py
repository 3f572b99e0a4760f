"""Contrastive search: of the likeliest tokens the one that is least like what stands there already.

A token's value is (1 - alpha) p - alpha max cos(h, h'), with p its probability, h its last hidden
state, and h' those of all tokens before it (arXiv:2202.06417, as in Transformers 4.57).
"""

from __future__ import annotations

from typing import Any

from keras import ops
from transformers import GenerationConfig

from keraform.errors import explain
from keraform.generation.feeding import Arguments
from keraform.generation.room import widened
from keraform.generation.sampling import Record, Sampling, State, recorded
from keraform.runtime.caches import Cache
from keraform.runtime.layers import Tensor


class Contrastive(Sampling):
    """Calls the model with the `top_k` likeliest tokens of each row, and keeps one of them.

    The state has besides what that of `Sampling` has: the `logits` [b, v] of the next token, the
    last `hidden` states [b, m, L] of all tokens, scaled to length 1, and `visible` [b, L], False
    for padding. Its `arguments` are of `top_k` times as many rows; what they cache is of b.
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
        model, (rows, total) = self.feeding.model, ops.shape(input_ids)
        decodes = model.config.is_encoder_decoder
        visible = arguments.get("decoder_attention_mask" if decodes else "attention_mask")
        if visible is None:
            visible = ops.ones((rows, total), dtype="int32")
        arguments = {**arguments, "output_hidden_states": True}
        outputs, arguments = self.feeding.first(input_ids, length, arguments)
        hidden = ops.swapaxes(_last_hidden(outputs), 1, 2)  # [b, m, n]
        places = ops.arange(total, dtype="int32")
        has_state = (places < ops.shape(hidden)[-1]) | (places >= length)  # not if it was cached
        _, arguments = model._expand_inputs_for_generation(
            expand_size=self.config.top_k, is_encoder_decoder=decodes, **arguments
        )
        state = {
            **self._begun(length, max_length, arguments, seed, looked_at),
            "input_ids": input_ids,
            "unfinished": ops.ones((rows,), dtype="bool"),
            "logits": ops.cast(outputs.logits[:, -1], "float32"),
            "hidden": widened(hidden, total, 0),
            "visible": ops.cast(widened(visible, total, 1), "bool") & has_state,
        }
        return self._next(self._with_outputs(state, outputs))

    def widened(self, state: State, total: int) -> State:
        """The state with room for `total` tokens."""
        hidden, visible = widened(state["hidden"], total, 0), widened(state["visible"], total, 1)
        return {**super().widened(state, total), "hidden": hidden, "visible": visible}

    def go_on(self, state: State) -> tuple[State, Record]:
        """One more token."""
        return self._next(state)

    def _next(self, state: State) -> tuple[State, Record]:
        input_ids, length, k = state["input_ids"], state["length"], self.config.top_k
        rows, total = ops.shape(input_ids)
        processors, _ = self._rules(state)
        scores = processors(input_ids, state["logits"], length)
        probabilities, candidates = ops.top_k(ops.softmax(scores), k)  # [b, k]

        numbers = ops.arange(rows, dtype="int32")
        _take_rows(state["arguments"], ops.repeat(numbers, k))
        tried = ops.cast(ops.reshape(candidates, (-1, 1)), input_ids.dtype)  # [b k, 1]
        tried = ops.slice_update(ops.repeat(input_ids, k, axis=0), (0, length), tried)
        outputs, arguments = self.feeding.next(tried, length + 1, state["arguments"])

        hidden = _last_hidden(outputs)  # [b k, 1, m]
        hidden = ops.reshape(hidden, (rows, k, hidden.shape[-1]))  # [b, k, m]
        cosines = ops.matmul(hidden, state["hidden"])  # [b, k, L]
        counts = state["visible"] & (ops.arange(total, dtype="int32") < length)  # [b, L]
        likest = ops.max(ops.where(counts[:, None], cosines, -1.0), axis=-1)  # [b, k]
        alpha = self.config.penalty_alpha
        best = ops.argmax((1.0 - alpha) * probabilities - alpha * likest, axis=-1)  # [b]

        chosen = numbers * k + ops.cast(best, "int32")  # among the b k that were tried
        _take_rows(arguments, chosen)
        tokens = ops.take(ops.reshape(candidates, (-1,)), chosen, axis=0)
        new = ops.take(ops.reshape(hidden, (-1, hidden.shape[-1])), chosen, axis=0)  # [b, m]
        following = {
            **self._with(tokens, scores, state),
            "arguments": arguments,
            "logits": ops.cast(ops.take(outputs.logits[:, -1], chosen, axis=0), "float32"),
            "hidden": ops.slice_update(state["hidden"], (0, 0, length), new[..., None]),
        }
        record = recorded(self.config, state.get("outputs"), scores=scores, logits=state["logits"])
        return self._with_outputs(following, _of_rows(outputs, chosen)), record

    def _with_outputs(self, state: State, outputs: Any) -> State:
        """Keeps the outputs that the next token was chosen by, where they are to be recorded."""
        if self.config.output_attentions or self.config.output_hidden_states:
            return {**state, "outputs": outputs}
        return state


class ContrastiveSearch:
    """What `generate` does with `penalty_alpha` and `top_k`."""

    def _contrastive_search(
        self: Any,
        input_ids: Tensor,
        rules: Any,
        generation_config: GenerationConfig,
        streamer: Any = None,
        **model_kwargs: Any,
    ) -> Any:
        if generation_config.num_return_sequences > 1:
            raise ValueError(
                explain(
                    "num_return_sequences=1 for contrastive search, which always chooses the same",
                    f"{generation_config.num_return_sequences}",
                    "generate(..., do_sample=True, num_return_sequences=...)",
                )
            )
        if model_kwargs.get("inputs_embeds") is not None:
            raise ValueError(
                explain(
                    "input_ids for contrastive search, which compares with their states",
                    "inputs_embeds",
                    "generate(input_ids, ...)",
                )
            )
        if not any(isinstance(value, Cache) for value in model_kwargs.values()):
            raise ValueError(
                explain(
                    "a model with a cache whose rows can be taken, for contrastive search",
                    f"use_cache={generation_config.use_cache}, {type(self).__name__}",
                    "generate(..., use_cache=True), or greedy decoding: penalty_alpha=None",
                )
            )
        return self._one_by_one(
            Contrastive, input_ids, rules, generation_config, streamer, **model_kwargs
        )


def _take_rows(arguments: Arguments, rows: Tensor) -> None:
    """Makes the caches among the arguments those of these rows."""
    for value in arguments.values():
        if isinstance(value, Cache):
            value.reorder_cache(rows)


def _last_hidden(outputs: Any) -> Tensor:
    """The last hidden states [b, n, m] of a (decoder's) call, scaled to length 1, float32."""
    layers = outputs.get("decoder_hidden_states")
    layers = outputs.hidden_states if layers is None else layers
    hidden = ops.cast(layers[-1], "float32")
    return hidden / ops.norm(hidden, axis=-1, keepdims=True)


def _of_rows(outputs: Any, rows: Tensor) -> Any:
    """These rows of what a call gave for each layer."""
    layers = {
        name: tuple(ops.take(layer, rows, axis=0) for layer in value)
        for name, value in outputs.items()
        if name.endswith(("attentions", "hidden_states")) and not name.startswith("encoder_")
    }
    return type(outputs)(logits=outputs.logits, **layers)
