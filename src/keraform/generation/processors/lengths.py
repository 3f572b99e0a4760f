"""Processors that allow, forbid or force tokens, some of them at certain lengths only."""

from __future__ import annotations

from typing import Any, ClassVar

from keras import ops

from keraform.generation.processors.base import (
    LogitsProcessor,
    banned,
    is_count,
    only,
    require,
    when,
)
from keraform.generation.tokens import is_one_of, length_of, token_ids
from keraform.runtime.layers import Tensor
from keraform.runtime.ops import dtypes


class MinLengthLogitsProcessor(LogitsProcessor):
    """No end before a length, prompt included.

    Args:
        min_length: Below it the ids of the end are forbidden; an int or an int32 scalar.
        eos_token_id: One id or several.
        device: Upstream's; not used.

    Raises:
        ValueError: `min_length` is negative or no integer.
    """

    in_graph: ClassVar[bool] = True

    def __init__(self, min_length: Any, eos_token_id: Any, device: str = "cpu") -> None:
        require(is_count(min_length), "min_length", min_length, "an integer from 0 on", "10")
        self.min_length = min_length
        self.eos_token_id = token_ids(eos_token_id)

    def __call__(self, input_ids: Tensor, scores: Tensor, cur_len: Any = None) -> Tensor:
        too_short = length_of(input_ids, cur_len) < self.min_length
        changed = banned(scores, is_one_of(self.eos_token_id, scores.shape[-1]))
        return when(too_short, changed, scores)


class MinNewTokensLengthLogitsProcessor(LogitsProcessor):
    """No end before a number of new tokens.

    Args:
        prompt_length_to_skip: Length of the prompt, an int or an int32 scalar.
        min_new_tokens: As long as fewer follow it, the ids of the end are forbidden.
        eos_token_id: One id or several.
        device: Upstream's; not used.

    Raises:
        ValueError: a length is negative or no integer.
    """

    in_graph: ClassVar[bool] = True

    def __init__(
        self,
        prompt_length_to_skip: Any,
        min_new_tokens: int,
        eos_token_id: Any,
        device: str = "cpu",
    ) -> None:
        for name, value in (
            ("prompt_length_to_skip", prompt_length_to_skip),
            ("min_new_tokens", min_new_tokens),
        ):
            require(is_count(value), name, value, "an integer from 0 on", "10")
        self.prompt_length_to_skip = prompt_length_to_skip
        self.min_new_tokens = min_new_tokens
        self.eos_token_id = token_ids(eos_token_id)

    def __call__(self, input_ids: Tensor, scores: Tensor, cur_len: Any = None) -> Tensor:
        new_tokens = length_of(input_ids, cur_len) - self.prompt_length_to_skip
        changed = banned(scores, is_one_of(self.eos_token_id, scores.shape[-1]))
        return when(new_tokens < self.min_new_tokens, changed, scores)


class ForcedBOSTokenLogitsProcessor(LogitsProcessor):
    """The token after the first one, as multilingual translation needs it.

    Args:
        bos_token_id: The only token that is possible at length 1.
    """

    in_graph: ClassVar[bool] = True

    def __init__(self, bos_token_id: int) -> None:
        self.bos_token_id = bos_token_id

    def __call__(self, input_ids: Tensor, scores: Tensor, cur_len: Any = None) -> Tensor:
        forced = only(scores, is_one_of(self.bos_token_id, scores.shape[-1]))
        return when(length_of(input_ids, cur_len) == 1, forced, scores)


class ForcedEOSTokenLogitsProcessor(LogitsProcessor):
    """The end as the last token that has room.

    Args:
        max_length: Length of the whole, prompt included; an int or an int32 scalar.
        eos_token_id: One id or several, the only tokens that are possible at `max_length - 1`.
        device: Upstream's; not used.

    Raises:
        ValueError: an id is negative.
    """

    in_graph: ClassVar[bool] = True

    def __init__(self, max_length: Any, eos_token_id: Any, device: str = "cpu") -> None:
        self.max_length = max_length
        self.eos_token_id = ends(eos_token_id)

    def __call__(self, input_ids: Tensor, scores: Tensor, cur_len: Any = None) -> Tensor:
        forced = only(scores, is_one_of(self.eos_token_id, scores.shape[-1]))
        return when(length_of(input_ids, cur_len) == self.max_length - 1, forced, scores)


class ExponentialDecayLengthPenalty(LogitsProcessor):
    """Raises the scores of the end from a length on: by |score| (factor^n - 1) after n more tokens.

    Args:
        exponential_decay_length_penalty: After how many new tokens it begins, and the factor.
        eos_token_id: One id or several.
        input_ids_seq_length: Length of the prompt, an int or an int32 scalar.

    Raises:
        ValueError: an id is negative.
    """

    in_graph: ClassVar[bool] = True

    def __init__(
        self,
        exponential_decay_length_penalty: tuple[int, float],
        eos_token_id: Any,
        input_ids_seq_length: Any,
    ) -> None:
        start, self.regulation_factor = exponential_decay_length_penalty
        self.regulation_start = start + input_ids_seq_length
        self.eos_token_id = ends(eos_token_id)

    def __call__(self, input_ids: Tensor, scores: Tensor, cur_len: Any = None) -> Tensor:
        late = length_of(input_ids, cur_len) - self.regulation_start
        steps = ops.cast(late, dtypes.computing_dtype(scores))
        raised = ops.cast(ops.power(self.regulation_factor, steps) - 1, scores.dtype)
        penalised = is_one_of(self.eos_token_id, scores.shape[-1]) & ops.isfinite(scores)
        penalty = ops.where(penalised, ops.abs(scores) * raised, 0.0)
        return when(late > 0, scores + penalty, scores)


class SuppressTokensLogitsProcessor(LogitsProcessor):
    """Tokens that never come.

    Args:
        suppress_tokens: Their ids.
        device: Upstream's; not used.
    """

    in_graph: ClassVar[bool] = True

    def __init__(self, suppress_tokens: Any, device: str = "cpu") -> None:
        self.suppress_tokens = token_ids(list(suppress_tokens))

    def __call__(self, input_ids: Tensor, scores: Tensor, cur_len: Any = None) -> Tensor:
        return banned(scores, is_one_of(self.suppress_tokens, scores.shape[-1]))


class SuppressTokensAtBeginLogitsProcessor(LogitsProcessor):
    """Tokens that do not come at one length, that of the prompt.

    Args:
        begin_suppress_tokens: Their ids.
        begin_index: The length, an int or an int32 scalar.
        device: Upstream's; not used.
    """

    in_graph: ClassVar[bool] = True

    def __init__(self, begin_suppress_tokens: Any, begin_index: Any, device: str = "cpu") -> None:
        self.begin_suppress_tokens = token_ids(list(begin_suppress_tokens))
        self.begin_index = begin_index

    def set_begin_index(self, begin_index: Any) -> None:
        self.begin_index = begin_index

    def __call__(self, input_ids: Tensor, scores: Tensor, cur_len: Any = None) -> Tensor:
        changed = banned(scores, is_one_of(self.begin_suppress_tokens, scores.shape[-1]))
        return when(length_of(input_ids, cur_len) == self.begin_index, changed, scores)


def ends(eos_token_id: Any) -> Any:
    """The ids of the end as a vector.

    Raises:
        ValueError: one is negative.
    """
    ids = token_ids(eos_token_id)
    require((ids >= 0).all(), "eos_token_id", ids.tolist(), "ids from 0 on", "[2]")
    return ids
