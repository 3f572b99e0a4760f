"""The model's own part in classifier-free guidance: what it says without the prompt."""

from __future__ import annotations

from typing import Any

from keras import ops

from keraform.runtime.given import integer_dtype
from keraform.runtime.layers import Tensor


class Unconditional:
    """The logits behind a negative prompt and the tokens that were generated so far.

    It keeps a cache of its own, and has to be called once for each token.

    Args:
        model: the model.
        input_ids: [b, n], the negative prompt; the last token of the prompt when None.
        attention_mask: [b, n], 1 for its tokens, 0 for padding; all tokens when None.
        use_cache: whether keys and values are kept from one call to the next.

    Call arguments:
        input_ids: [b, L], a buffer of tokens.
        cur_len: how many of its columns count; all when None.

    Returns:
        [b, v], the logits of the next token, float32.
    """

    def __init__(
        self,
        model: Any,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        use_cache: bool = True,
    ) -> None:
        self.model = model
        self.use_cache = use_cache
        self._ids = input_ids
        self._mask = attention_mask
        self._cache: Any = None
        self._is_begun = False

    def __call__(self, input_ids: Tensor, cur_len: Any = None) -> Tensor:
        length = input_ids.shape[1] if cur_len is None else int(cur_len)
        last = ops.cast(input_ids[:, length - 1 : length], integer_dtype())
        if not self._is_begun:
            self._begin(last)
        else:
            self._ids = ops.concatenate([self._ids, last], axis=1)
            ones = ops.ones_like(last, dtype=self._mask.dtype)
            self._mask = ops.concatenate([self._mask, ones], axis=1)
        outputs = self.model(
            self._ids if self._cache is None else last,
            attention_mask=self._mask,
            use_cache=self.use_cache,
            past_key_values=self._cache,
        )
        self._cache = outputs.get("past_key_values") if self.use_cache else None
        return ops.cast(outputs.logits[:, -1], "float32")

    def _begin(self, last: Tensor) -> None:
        self._is_begun = True
        if self._ids is None:
            self._ids = last
        if self._mask is None:
            self._mask = ops.ones_like(self._ids)
        times = last.shape[0] // self._ids.shape[0]  # sequences of a row
        self._ids = ops.repeat(self._ids, times, axis=0)
        self._mask = ops.repeat(self._mask, times, axis=0)
