"""Cache layers of a fixed size, whose shapes never change from call to call."""

from __future__ import annotations

from typing import Any, ClassVar

from keras import ops

from keraform.runtime.caches.layers import CacheLayerMixin, joined
from keraform.runtime.given import integer_dtype
from keraform.runtime.layers import Tensor


def written(buffer: Tensor, position: Any, states: Tensor, axis: int) -> Tensor:
    """`buffer` with `states` written over it from `position` on, along `axis`."""
    start = [ops.zeros((), dtype="int32")] * len(buffer.shape)  # JAX wants one integer type
    start[axis] = ops.cast(position, "int32")
    return ops.slice_update(buffer, tuple(start), ops.cast(states, buffer.dtype))


def _longer(buffer: Tensor | None, length: int, axis: int) -> Tensor | None:
    """`buffer` with zeros behind it, up to `length` along `axis`."""
    if buffer is None:
        return None
    shape = list(ops.shape(buffer))
    shape[axis] = length - shape[axis]
    return ops.concatenate([buffer, ops.zeros(shape, dtype=buffer.dtype)], axis=axis)


def _flat(states: Tensor) -> Tensor:
    """[b, g, ...] as [b * g, ...]."""
    return ops.reshape(states, (-1, *ops.shape(states)[2:]))


class StaticLayer(CacheLayerMixin):
    """Room for `max_cache_len` keys and values [b, g, k, d], zero where nothing was written yet.

    They lie as the products of attention read them, keys as [b * g, d, k] and values as
    [b * g, k, d], so that XLA has nothing to copy: of one row it would else copy all of them for
    every token.
    """

    is_sliding = False
    is_static: ClassVar[bool] = True

    def __init__(self, max_cache_len: int, **kwargs: Any) -> None:
        super().__init__()
        self.max_cache_len = max_cache_len
        # a tensor, so that a compiled step is the same at every length
        self.cumulative_length = ops.zeros((), dtype=integer_dtype())

    @property
    def keys(self) -> Tensor | None:
        """[b, g, k, d], None before the first update."""
        return None if self._keys is None else ops.swapaxes(self._by_head(self._keys), -1, -2)

    @keys.setter
    def keys(self, keys: Tensor | None) -> None:
        self._keys = None if keys is None else _flat(ops.swapaxes(keys, -1, -2))

    @property
    def values(self) -> Tensor | None:
        """[b, g, k, d], None before the first update."""
        return None if self._values is None else self._by_head(self._values)

    @values.setter
    def values(self, values: Tensor | None) -> None:
        self._values = None if values is None else _flat(values)

    def _by_head(self, buffer: Tensor) -> Tensor:
        return ops.reshape(buffer, (-1, self.num_heads, *ops.shape(buffer)[1:]))

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        batch, heads, _, size = ops.shape(key_states)
        self.batch_size, self.num_heads, self.k_head_dim = batch, heads, size
        self.v_head_dim = ops.shape(value_states)[-1]
        rows, length = batch * heads, self.max_cache_len
        self._keys = ops.zeros((rows, self.k_head_dim, length), dtype=key_states.dtype)
        self._values = ops.zeros((rows, length, self.v_head_dim), dtype=value_states.dtype)
        self.is_initialized = True

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        position = self.cumulative_length
        self.cumulative_length = position + ops.cast(ops.shape(key_states)[-2], integer_dtype())
        new_keys = _flat(ops.swapaxes(key_states, -1, -2))  # [b * g, d, q]
        self._keys = written(self._keys, position, new_keys, axis=2)
        self._values = written(self._values, position, _flat(value_states), axis=1)
        return self.keys, self.values

    def get_mask_sizes(self, query_length: Any) -> tuple[Any, Any]:
        return self.max_cache_len, 0

    def get_seq_length(self) -> Any:
        return self.cumulative_length if self.is_initialized else 0

    def get_max_length(self) -> int:
        return self.max_cache_len

    def grow(self, max_cache_len: int) -> None:
        """Make room for `max_cache_len` tokens, which are not fewer than there was room for."""
        self.keys = _longer(self.keys, max_cache_len, axis=2)
        self.values = _longer(self.values, max_cache_len, axis=2)
        self.max_cache_len = max_cache_len

    def forget_after(self, length: Any) -> None:
        """Forget all but the first `length` tokens: the next update writes over them."""
        self.cumulative_length = ops.cast(length, integer_dtype())

    @property
    def is_croppable(self) -> bool:
        return True

    def crop(self, tokens_to_remove: int) -> None:
        """Forget the last -`tokens_to_remove` tokens: the next update writes over them."""
        if tokens_to_remove > 0:
            raise ValueError(
                f"Expected a number of tokens to remove that is not positive; got "
                f"{tokens_to_remove}. Call crop(-n) to forget the last n tokens."
            )
        self.cumulative_length = self.cumulative_length + tokens_to_remove


class StaticSlidingWindowLayer(StaticLayer):
    """Room for the last `sliding_window` keys and values.

    Which of its cases holds (filling, becoming full, full) depends on how many tokens were seen,
    so that this number, and the number of new tokens, have to be known when a graph is built.
    """

    is_sliding = True

    def __init__(self, max_cache_len: int, sliding_window: int, **kwargs: Any) -> None:
        super().__init__(max_cache_len=min(sliding_window, max_cache_len))
        self.cumulative_length_int = 0
        self.never_full = max_cache_len <= sliding_window

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        new, seen = self._known(ops.shape(key_states)[-2]), self.cumulative_length_int
        self.cumulative_length_int += new
        if seen + new <= self.max_cache_len:
            self.keys = written(self.keys, self.cumulative_length, key_states, axis=2)
            self.values = written(self.values, self.cumulative_length, value_states, axis=2)
            self.cumulative_length = self.cumulative_length + new
            return self.keys, self.values
        assert self.keys is not None and self.values is not None  # made when initialised
        # the oldest key leaves a full window before new ones come
        first, last = (1, self.max_cache_len) if seen >= self.max_cache_len else (0, seen)
        keys = joined(self.keys[:, :, first:last, :], key_states, axis=-2)
        values = joined(self.values[:, :, first:last, :], value_states, axis=-2)
        self.keys = keys[:, :, -self.max_cache_len :, :]
        self.values = values[:, :, -self.max_cache_len :, :]
        return keys, values

    def _known(self, length: Any) -> int:
        if not isinstance(length, int):
            raise NotImplementedError(
                "Expected a known number of new tokens for a static sliding-window cache; got a "
                "symbolic one. Fix the length in the input signature, or use DynamicCache."
            )
        return length

    def get_mask_sizes(self, query_length: Any) -> tuple[Any, Any]:
        new, seen = self._known(query_length), self.cumulative_length_int
        kv_offset = max(seen - self.max_cache_len + 1, 0)
        if seen >= self.max_cache_len:
            return self.max_cache_len + new - 1, kv_offset
        return max(seen + new, self.max_cache_len), kv_offset

    def get_seq_length(self) -> int:
        return self.cumulative_length_int

    @property
    def is_croppable(self) -> bool:
        return self.never_full

    def crop(self, tokens_to_remove: int) -> None:
        if self.cumulative_length_int > self.max_cache_len:
            raise RuntimeError(
                f"Expected a window that no token has left; got {self.cumulative_length_int} "
                f"tokens in a window of {self.max_cache_len}. Use DynamicCache, and call "
                f"activate_past_recording() before the forward pass, then crop(-n)."
            )
        super().crop(tokens_to_remove)
        self.cumulative_length_int += tokens_to_remove

    def reset(self) -> None:
        super().reset()
        self.cumulative_length_int = 0


class StaticMaskedWindowLayer(StaticLayer):
    """Sliding attention with room for all tokens; the mask alone hides those outside the window.

    Its shapes and its Python numbers are the same after each token, so that a loop in a graph can
    carry it, and the number of new tokens need not be known.
    """

    is_sliding = True


class StaticIndexedLayer(StaticLayer):
    """A `StaticLayer` with room for the indexer's keys [b, k, d] of sparse attention."""

    def __init__(self, max_cache_len: int, **kwargs: Any) -> None:
        super().__init__(max_cache_len=max_cache_len)
        self.indexer_keys: Tensor | None = None
        self.indexer_position_ids: Tensor | None = None  # [positions, b, k]
        self.indexer_cumulative_length: Tensor | None = None
        self.is_indexer_initialized = False

    def update_indexer(self, indexer_key_states: Tensor) -> Tensor:
        """Write new indexer keys [b, q, d], and return the whole room."""
        batch, new, size = ops.shape(indexer_key_states)
        if not self.is_indexer_initialized:
            dtype = indexer_key_states.dtype
            self.indexer_keys = ops.zeros((batch, self.max_cache_len, size), dtype=dtype)
            self.indexer_cumulative_length = ops.zeros((), dtype=integer_dtype())
            self.is_indexer_initialized = True
        position = self.indexer_cumulative_length
        self.indexer_cumulative_length = position + new
        self.indexer_keys = written(self.indexer_keys, position, indexer_key_states, axis=1)
        return self.indexer_keys

    def grow(self, max_cache_len: int) -> None:
        super().grow(max_cache_len)
        self.indexer_keys = _longer(self.indexer_keys, max_cache_len, axis=1)

    def forget_after(self, length: Any) -> None:
        super().forget_after(length)
        self.indexer_cumulative_length = self.cumulative_length

    def crop(self, tokens_to_remove: int) -> None:
        super().crop(tokens_to_remove)
        if self.indexer_cumulative_length is not None:
            self.indexer_cumulative_length = self.indexer_cumulative_length + tokens_to_remove

    def reset(self) -> None:
        super().reset()
        self.indexer_position_ids = None
        if self.is_indexer_initialized:
            self.indexer_keys = ops.zeros_like(self.indexer_keys)
            self.indexer_cumulative_length = ops.zeros((), dtype=integer_dtype())

    def reorder_cache(self, beam_idx: Tensor) -> None:
        super().reorder_cache(beam_idx)
        if self.indexer_keys is not None:
            self.indexer_keys = ops.take(self.indexer_keys, beam_idx, axis=0)
        if self.indexer_position_ids is not None:
            self.indexer_position_ids = ops.take(self.indexer_position_ids, beam_idx, axis=1)
