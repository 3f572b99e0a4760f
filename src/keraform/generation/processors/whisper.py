"""Processors of Whisper: the grammar of its timestamps, and whether anybody speaks."""

from __future__ import annotations

import inspect
from typing import Any, ClassVar

import numpy as np
from keras import ops
from transformers import GenerationConfig

from keraform.errors import explain
from keraform.generation.processors.base import LogitsProcessor, banned, require, when
from keraform.generation.tokens import counting, last_tokens, length_of
from keraform.runtime.layers import Tensor


class WhisperTimeStampLogitsProcessor(LogitsProcessor):
    """Timestamps in pairs, never falling, and preferred where together they are more likely than
    any text.

    Args:
        generate_config: Names `no_timestamps_token_id`, after which timestamps begin, and the id of
            the end, before which text ends; may limit the first timestamp by
            `max_initial_timestamp_index`.
        begin_index: Length of the prompt, an int or an int32 scalar.
        _detect_timestamp_from_logprob: Whether they are preferred; the config's by default.

    Raises:
        ValueError: `begin_index` is None.
    """

    in_graph: ClassVar[bool] = True

    def __init__(
        self,
        generate_config: GenerationConfig,
        begin_index: Any,
        _detect_timestamp_from_logprob: bool | None = None,
    ) -> None:
        require(begin_index is not None, "begin_index", begin_index, "the prompt's length", "3")
        self.no_timestamps_token_id = generate_config.no_timestamps_token_id
        self.timestamp_begin = self.no_timestamps_token_id + 1
        self.eos_token_id = generate_config.eos_token_id or generate_config.bos_token_id
        if _detect_timestamp_from_logprob is None:
            _detect_timestamp_from_logprob = getattr(
                generate_config, "_detect_timestamp_from_logprob", True
            )
        self._detect_timestamp_from_logprob = _detect_timestamp_from_logprob
        self.begin_index = begin_index
        self.max_initial_timestamp_index = getattr(
            generate_config, "max_initial_timestamp_index", None
        )

    def set_begin_index(self, begin_index: Any) -> None:
        self.begin_index = begin_index

    def __call__(self, input_ids: Tensor, scores: Tensor, cur_len: Any = None) -> Tensor:
        ids = np.arange(scores.shape[-1])
        is_timestamp = ids >= self.timestamp_begin
        length = length_of(input_ids, cur_len)
        new_tokens = length - self.begin_index
        last_two = last_tokens(input_ids, 2, cur_len) >= self.timestamp_begin  # [b, 2]
        last = (new_tokens >= 1) & last_two[:, 1:]
        second_last = (new_tokens < 2) | last_two[:, :1]
        opened = last & ~second_last  # the pair is to be closed, or the text ends

        scores = banned(scores, ids == self.no_timestamps_token_id)
        scores = banned(scores, last & second_last & is_timestamp)
        scores = banned(scores, opened & (ids < self.eos_token_id))
        earliest = self._earliest(input_ids, cur_len) + ops.where(opened, 0, 1)  # [b, 1]
        scores = banned(scores, ops.less(ids, earliest) & is_timestamp)
        scores = when(length == self.begin_index, self._first(scores), scores)
        if self._detect_timestamp_from_logprob:
            scores = self._preferred(scores)
        return scores

    def _earliest(self, input_ids: Tensor, cur_len: Any) -> Tensor:
        """The last timestamp of each row [b, 1], one before the first where there is none."""
        places = ops.arange(ops.shape(input_ids)[1], dtype="int32")
        new = counting(input_ids, cur_len) & (places >= self.begin_index)
        found = ops.where(new & (input_ids >= self.timestamp_begin), places, -1)  # [b, L]
        place = ops.max(found, axis=-1, keepdims=True)
        token = ops.take_along_axis(input_ids, ops.maximum(place, 0), axis=-1)
        return ops.where(place < 0, self.timestamp_begin - 1, ops.cast(token, "int32"))

    def _first(self, scores: Tensor) -> Tensor:
        ids = np.arange(scores.shape[-1])
        possible = ids >= self.timestamp_begin
        if self.max_initial_timestamp_index is not None:
            possible &= ids <= self.timestamp_begin + self.max_initial_timestamp_index
        return banned(scores, ~possible)

    def _preferred(self, scores: Tensor) -> Tensor:
        log_probs = ops.log_softmax(ops.cast(scores, "float32"))
        timestamps = ops.logsumexp(log_probs[:, self.timestamp_begin :], axis=-1, keepdims=True)
        text = ops.max(log_probs[:, : self.timestamp_begin], axis=-1, keepdims=True)
        is_text = np.arange(scores.shape[-1]) < self.timestamp_begin
        return banned(scores, (timestamps > text) & is_text)


class WhisperNoSpeechDetection(LogitsProcessor):
    """Keeps the probability of silence at the first step, in `no_speech_prob` [b]. It changes no
    score.

    Args:
        no_speech_token: Id of the token for silence.
        begin_index: Length of the prompt.
        scores_is_logprobs: Whether the scores are log probabilities.
    """

    def __init__(
        self, no_speech_token: int, begin_index: int, scores_is_logprobs: bool = False
    ) -> None:
        self.no_speech_token = no_speech_token
        self.start_of_trans_offset = begin_index
        self.begin_index = begin_index
        self._no_speech_prob: Any = [0.0]
        self.is_scores_logprobs = scores_is_logprobs
        self.model: Any = None
        self.inputs: dict[str, Any] | None = None

    def set_model(self, model: Any) -> None:
        self.model = model

    def set_inputs(self, inputs: dict[str, Any]) -> None:
        """Takes what the model is called with to see the scores before the prompt's last token."""
        made = {**self.model.prepare_inputs_for_generation(**inputs), **inputs}
        made["input_features"] = made.pop("inputs")
        if "input_ids" not in inspect.signature(self.model.call).parameters:
            made.pop("input_ids", None)
        self.inputs = made

    @property
    def no_speech_prob(self) -> Any:
        return self._no_speech_prob

    def set_begin_index(self, begin_index: int) -> None:
        self.begin_index = begin_index

    def __call__(self, input_ids: Tensor, scores: Tensor, cur_len: Any = None) -> Tensor:
        if length_of(input_ids, cur_len) == self.begin_index:
            if self.start_of_trans_offset > 1:
                probs = ops.softmax(ops.cast(self._logits_at_start(), "float32"))
            elif self.is_scores_logprobs:
                probs = ops.exp(scores)
            else:
                probs = ops.softmax(ops.cast(scores, "float32"))
            self._no_speech_prob = probs[:, self.no_speech_token]
        return scores

    def _logits_at_start(self) -> Tensor:
        if self.model is None or self.inputs is None:
            raise ValueError(
                explain(
                    "a model and its inputs, since the prompt has more than one token",
                    f"model={self.model!r}, inputs={self.inputs!r}",
                    "detector.set_model(model); detector.set_inputs(inputs)",
                )
            )
        return self.model(**self.inputs).logits[:, self.begin_index - self.start_of_trans_offset]
