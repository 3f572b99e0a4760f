"""Cache layers that grow: the keys and values [b, g, k, d] that one attention layer has seen."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

from keras import ops

from keraform.runtime.caches.state import CacheState
from keraform.runtime.layers import Tensor

DYNAMIC_LAYER_TYPE_MAPPING: dict[str, type] = {}
STATIC_LAYER_TYPE_MAPPING: dict[str, type] = {}


def smaller(a: Any, b: Any) -> Any:
    """The smaller of two sizes, either of which may be a scalar tensor."""
    return min(a, b) if isinstance(a, int) and isinstance(b, int) else ops.minimum(a, b)


def larger(a: Any, b: Any) -> Any:
    """The larger of two sizes, either of which may be a scalar tensor."""
    return max(a, b) if isinstance(a, int) and isinstance(b, int) else ops.maximum(a, b)


def joined(past: Tensor | None, new: Tensor, axis: int) -> Tensor:
    """`new` behind `past`, along `axis`."""
    return new if past is None or past.shape[axis] == 0 else ops.concatenate([past, new], axis=axis)


class CacheLayerMixin(CacheState):
    """One attention layer's keys and values; attributes are rebound, tensors never changed."""

    supports_early_init = True
    is_static: ClassVar[bool] = False
    # a modeling file names its own cache layers here, and they join the tables below
    _layer_type: str | None = None
    cumulative_length: Any  # tokens seen, where a layer counts them: an int or a scalar tensor

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls._layer_type is not None:
            table = STATIC_LAYER_TYPE_MAPPING if cls.is_static else DYNAMIC_LAYER_TYPE_MAPPING
            table[cls._layer_type] = cls

    def __init__(self, **kwargs: Any) -> None:
        self.keys: Tensor | None = None
        self.values: Tensor | None = None
        self.is_initialized = False

    def __repr__(self) -> str:
        return type(self).__name__

    @property
    def is_compileable(self) -> bool:
        """Whether shapes stay as they are."""
        return self.is_static

    @property
    def is_croppable(self) -> bool:
        """Whether tokens can be taken back."""
        return False

    @abstractmethod
    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Learn dtype and sizes from the first states."""

    @abstractmethod
    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Add new states, and return those that attention should see."""

    @abstractmethod
    def get_mask_sizes(self, query_length: Any) -> tuple[Any, Any]:
        """How many keys the next update returns, and the position of the first."""

    @abstractmethod
    def get_seq_length(self) -> Any:
        """How many tokens were seen."""

    @abstractmethod
    def get_max_length(self) -> int:
        """How many tokens fit; -1 when there is no limit."""

    def reset(self) -> None:
        """Empty the layer, and keep the object."""
        if self.keys is not None:
            self.keys, self.values = ops.zeros_like(self.keys), ops.zeros_like(self.values)
        if hasattr(self, "cumulative_length"):
            self.cumulative_length = self.cumulative_length * 0

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Take the rows `beam_idx` [b], in this order."""
        if self.keys is not None:
            self.keys = ops.take(self.keys, beam_idx, axis=0)
            self.values = ops.take(self.values, beam_idx, axis=0)


class DynamicLayer(CacheLayerMixin):
    """Keeps all keys and values."""

    is_sliding = False

    @property
    def is_croppable(self) -> bool:
        return True

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        self.keys, self.values = (each[..., :0, :] for each in (key_states, value_states))
        self.is_initialized = True

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        self.keys = joined(self.keys, key_states, axis=-2)  # [b, g, k, d]
        self.values = joined(self.values, value_states, axis=-2)  # [b, g, k, d]
        return self.keys, self.values

    def get_mask_sizes(self, query_length: Any) -> tuple[Any, Any]:
        return self.get_seq_length() + query_length, 0

    def get_seq_length(self) -> Any:
        return 0 if self.keys is None else ops.shape(self.keys)[-2]

    def get_max_length(self) -> int:
        return -1

    def reset(self) -> None:
        self.keys = self.values = None
        self.is_initialized = False
        super().reset()

    def crop(self, tokens_to_remove: int) -> None:
        """Forget the last -`tokens_to_remove` tokens (a number that is not positive)."""
        if tokens_to_remove > 0:
            raise ValueError(
                f"Expected a number of tokens to remove that is not positive; got "
                f"{tokens_to_remove}. Call crop(-n) to forget the last n tokens."
            )
        if tokens_to_remove == 0 or self.keys is None or self.values is None:
            return
        self.keys = self.keys[..., :tokens_to_remove, :]
        self.values = self.values[..., :tokens_to_remove, :]

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Repeat each row `repeats` times."""
        if self.keys is not None:
            self.keys = ops.repeat(self.keys, repeats, axis=0)
            self.values = ops.repeat(self.values, repeats, axis=0)

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep the rows `indices`."""
        self.reorder_cache(indices)


class DynamicSlidingWindowLayer(DynamicLayer):
    """Keeps the last `sliding_window` - 1 keys and values, which is all a new token may see."""

    is_sliding = True

    def __init__(self, sliding_window: int, **kwargs: Any) -> None:
        super().__init__()
        self.sliding_window = sliding_window
        self.cumulative_length = 0
        self.record_past = False

    def activate_past_recording(self) -> None:
        """Keep everything until `crop` is called, so that tokens can be taken back."""
        self.record_past = True

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        new = ops.shape(key_states)[-2]
        self.cumulative_length = self.cumulative_length + new
        keys = joined(self.keys, key_states, axis=-2)  # [b, g, k, d]
        values = joined(self.values, value_states, axis=-2)  # [b, g, k, d]
        if not self.record_past:
            self.keys, self.values = self._window(keys), self._window(values)
            return keys, values
        self.keys, self.values = keys, values
        first = larger(ops.shape(keys)[-2] - (self.sliding_window - 1 + new), 0)
        return keys[:, :, first:, :], values[:, :, first:, :]

    def _window(self, states: Tensor) -> Tensor:
        return states[:, :, -self.sliding_window + 1 :, :]

    def get_mask_sizes(self, query_length: Any) -> tuple[Any, Any]:
        kv_offset = larger(self.cumulative_length - self.sliding_window + 1, 0)
        kept = smaller(self.cumulative_length, self.sliding_window - 1)
        return kept + query_length, kv_offset

    def get_seq_length(self) -> Any:
        return self.cumulative_length

    def get_max_length(self) -> int:
        return self.sliding_window

    def crop(self, tokens_to_remove: int) -> None:
        """Forget the last -`tokens_to_remove` tokens, and all that have left the window."""
        if self.get_seq_length() < self.sliding_window:
            super().crop(tokens_to_remove)
            self.cumulative_length = 0 if self.keys is None else ops.shape(self.keys)[-2]
            return
        if not self.record_past or tokens_to_remove > 0:
            raise RuntimeError(
                f"Expected a recording cache and a number that is not positive, once the window "
                f"of {self.sliding_window} tokens is full; got record_past={self.record_past}, "
                f"crop({tokens_to_remove}). Call activate_past_recording() before the forward "
                f"pass, then crop(-n)."
            )
        assert self.keys is not None and self.values is not None  # the window is full
        end = ops.shape(self.keys)[-2] + tokens_to_remove
        start = larger(end - self.sliding_window + 1, 0)
        self.keys = self.keys[:, :, start:end, :]
        self.values = self.values[:, :, start:end, :]
        self.cumulative_length = self.cumulative_length + tokens_to_remove


class DynamicIndexedLayer(DynamicLayer):
    """A `DynamicLayer` that also keeps the indexer's keys [b, k, d] of sparse attention."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__()
        self.indexer_keys: Tensor | None = None
        self.indexer_position_ids: Tensor | None = None  # [positions, b, k]
        self.is_indexer_initialized = False

    def update_indexer(self, indexer_key_states: Tensor) -> Tensor:
        """Add new indexer keys [b, q, d], and return all of them."""
        self.is_indexer_initialized = True
        self.indexer_keys = joined(self.indexer_keys, indexer_key_states, axis=1)
        return self.indexer_keys

    def reset(self) -> None:
        super().reset()
        self.indexer_keys = self.indexer_position_ids = None
        self.is_indexer_initialized = False

    def reorder_cache(self, beam_idx: Tensor) -> None:
        super().reorder_cache(beam_idx)
        if self.indexer_keys is not None:
            self.indexer_keys = ops.take(self.indexer_keys, beam_idx, axis=0)
        if self.indexer_position_ids is not None:
            self.indexer_position_ids = ops.take(self.indexer_position_ids, beam_idx, axis=1)

    def crop(self, tokens_to_remove: int) -> None:
        super().crop(tokens_to_remove)
        if tokens_to_remove == 0:
            return
        if self.indexer_position_ids is not None:
            self.indexer_position_ids = self.indexer_position_ids[..., :tokens_to_remove]
        if self.indexer_keys is not None:
            self.indexer_keys = self.indexer_keys[:, :tokens_to_remove, :]

    def batch_repeat_interleave(self, repeats: int) -> None:
        super().batch_repeat_interleave(repeats)
        if self.indexer_keys is not None:
            self.indexer_keys = ops.repeat(self.indexer_keys, repeats, axis=0)
        if self.indexer_position_ids is not None:
            self.indexer_position_ids = ops.repeat(self.indexer_position_ids, repeats, axis=1)
