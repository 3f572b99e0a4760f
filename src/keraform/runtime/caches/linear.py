"""Cache layers of scanning models: the convolution's last inputs and the recurrent state."""

from __future__ import annotations

from typing import Any, ClassVar

from keras import ops

from keraform.runtime.caches.layers import (
    DYNAMIC_LAYER_TYPE_MAPPING,
    STATIC_LAYER_TYPE_MAPPING,
    DynamicIndexedLayer,
    DynamicLayer,
    DynamicSlidingWindowLayer,
    larger,
)
from keraform.runtime.caches.state import CacheState
from keraform.runtime.caches.static import (
    StaticIndexedLayer,
    StaticLayer,
    StaticSlidingWindowLayer,
)
from keraform.runtime.layers import Tensor


def _last(states: Tensor, size: int) -> Tensor:
    """The last `size` steps of [..., n], left-padded with zeros where there are fewer."""
    length = ops.shape(states)[-1]
    missing = larger(size - length, 0)
    if not isinstance(missing, int) or missing > 0:
        lead = ops.shape(states)[:-1]
        states = ops.concatenate([ops.zeros((*lead, missing), dtype=states.dtype), states], axis=-1)
    states = states[..., -size:]
    if states.shape[-1] == size:
        return states
    return ops.reshape(states, (*ops.shape(states)[:-1], size))


class LinearAttentionCacheLayerMixin(CacheState):
    """One layer's convolution states [b, c, n] and recurrent states, `number_of_states` of each."""

    supports_early_init = False

    def __init__(self, number_of_states: int = 1, **kwargs: Any) -> None:
        self.number_of_states = number_of_states
        indices = range(number_of_states)
        self.conv_states: dict[int, Tensor | None] = dict.fromkeys(indices)
        self.recurrent_states: dict[int, Tensor | None] = dict.fromkeys(indices)
        self.is_conv_states_initialized = dict.fromkeys(indices, False)
        self.is_recurrent_states_initialized = dict.fromkeys(indices, False)
        self.has_previous_state = dict.fromkeys(indices, False)
        self.conv_kernel_size: dict[int, int | None] = dict.fromkeys(indices)
        self.dtype: Any = None
        self.record_past = False

    def __repr__(self) -> str:
        return type(self).__name__

    def reset(self) -> None:
        """Empty the layer, and keep the object."""
        for index in range(self.number_of_states):
            for states in (self.conv_states, self.recurrent_states):
                if states[index] is not None:
                    states[index] = ops.zeros_like(states[index])
            self.has_previous_state[index] = False

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Take the rows `beam_idx` [b], in this order."""
        self._rows(lambda state: ops.take(state, beam_idx, axis=0))

    def _rows(self, change: Any) -> None:
        for states in (self.conv_states, self.recurrent_states):
            for index, state in states.items():
                if state is not None:
                    states[index] = change(state)

    @property
    def is_compileable(self) -> bool:
        """Whether shapes stay as they are; what is kept for `crop` grows."""
        return not self.record_past

    @property
    def is_croppable(self) -> bool:
        """Whether tokens can be taken back, which a recurrent state does not allow."""
        if any(self.is_recurrent_states_initialized.values()):
            return False
        return any(self.is_conv_states_initialized.values())

    def activate_past_recording(self) -> None:
        """Keep all convolution inputs until `crop` is called, so that tokens can be taken back."""
        self.record_past = True

    def crop(self, tokens_to_remove: int) -> None:
        """Forget the last -`tokens_to_remove` tokens, and all the kernel no longer reaches."""
        if not self.record_past or tokens_to_remove > 0:
            raise RuntimeError(
                f"Expected a recording cache and a number that is not positive; got "
                f"record_past={self.record_past}, crop({tokens_to_remove}). Call "
                f"activate_past_recording() before the forward pass, then crop(-n)."
            )
        for index in range(self.number_of_states):
            states, size = self.conv_states[index], self.conv_kernel_size[index]
            assert states is not None and size is not None  # both are set by the first update
            end = ops.shape(states)[-1] + tokens_to_remove
            self.conv_states[index] = states[..., larger(end - size, 0) : end]

    def get_max_length(self) -> int:
        """-1: there is no sequence axis."""
        return -1


class LinearAttentionLayer(LinearAttentionCacheLayerMixin):
    """The cache layer of mamba, gated delta rules, short convolutions and their kin."""

    def update_conv_state(
        self,
        conv_states: Tensor,
        state_idx: int = 0,
        conv_kernel_size: int | None = None,
        **kwargs: Any,
    ) -> Tensor:
        """Add new convolution inputs [b, c, n], and return them behind those kept so far."""
        if not self.is_conv_states_initialized[state_idx]:
            self.dtype = self.dtype or conv_states.dtype
            size = conv_states.shape[-1] if conv_kernel_size is None else conv_kernel_size
            self.conv_kernel_size[state_idx] = size
            self.is_conv_states_initialized[state_idx] = True
        size = self.conv_kernel_size[state_idx]
        assert size is not None  # set above, by the first update
        if self.has_previous_state[state_idx]:
            full = ops.concatenate([self.conv_states[state_idx], conv_states], axis=-1)
        else:
            self.has_previous_state[state_idx] = True
            full = conv_states if self.record_past else _at_least(conv_states, size)
        self.conv_states[state_idx] = full if self.record_past else _last(full, size)
        return full

    def update_recurrent_state(
        self, recurrent_states: Tensor, state_idx: int = 0, **kwargs: Any
    ) -> Tensor:
        """Keep a new recurrent state, and return it."""
        previous = self.recurrent_states[state_idx]
        if previous is not None:  # the first state decides the dtype, as in a copy
            recurrent_states = ops.cast(recurrent_states, previous.dtype)
        self.is_recurrent_states_initialized[state_idx] = True
        self.recurrent_states[state_idx] = recurrent_states
        return recurrent_states


def _at_least(states: Tensor, size: int) -> Tensor:
    """[..., n] with zeros in front of it where n is below `size`."""
    length = states.shape[-1]
    if isinstance(length, int) and length >= size:
        return states
    missing = larger(size - ops.shape(states)[-1], 0)
    lead = ops.shape(states)[:-1]
    return ops.concatenate([ops.zeros((*lead, missing), dtype=states.dtype), states], axis=-1)


class _Hybrid(LinearAttentionLayer):
    """Applies what concerns the whole layer to both of its parts."""

    _attention: ClassVar[type[Any]]  # the other base of a class below

    def reset(self) -> None:
        LinearAttentionLayer.reset(self)
        self._attention.reset(self)

    def reorder_cache(self, beam_idx: Tensor) -> None:
        LinearAttentionLayer.reorder_cache(self, beam_idx)
        self._attention.reorder_cache(self, beam_idx)

    def crop(self, tokens_to_remove: int) -> None:
        LinearAttentionLayer.crop(self, tokens_to_remove)
        self._attention.crop(self, tokens_to_remove)


class LinearAttentionAndFullAttentionLayer(_Hybrid, DynamicLayer):
    """A layer with a scan and full attention."""

    is_compileable = False
    _attention = DynamicLayer

    def __init__(self, number_of_states: int = 1, **kwargs: Any) -> None:
        DynamicLayer.__init__(self)
        LinearAttentionLayer.__init__(self, number_of_states=number_of_states)

    get_max_length = DynamicLayer.get_max_length


class LinearAttentionAndSlidingWindowAttentionLayer(_Hybrid, DynamicSlidingWindowLayer):
    """A layer with a scan and sliding attention."""

    is_compileable = False
    _attention = DynamicSlidingWindowLayer

    def __init__(self, sliding_window: int, number_of_states: int = 1, **kwargs: Any) -> None:
        DynamicSlidingWindowLayer.__init__(self, sliding_window=sliding_window)
        LinearAttentionLayer.__init__(self, number_of_states=number_of_states)


class LinearAttentionAndStaticFullAttentionLayer(_Hybrid, StaticLayer):
    """A layer with a scan and full attention, of fixed size."""

    _attention = StaticLayer

    def __init__(self, max_cache_len: int, number_of_states: int = 1, **kwargs: Any) -> None:
        StaticLayer.__init__(self, max_cache_len)
        LinearAttentionLayer.__init__(self, number_of_states=number_of_states)


class LinearAttentionAndStaticSlidingWindowAttentionLayer(_Hybrid, StaticSlidingWindowLayer):
    """A layer with a scan and sliding attention, of fixed size."""

    _attention = StaticSlidingWindowLayer

    def __init__(
        self, max_cache_len: int, sliding_window: int, number_of_states: int = 1, **kwargs: Any
    ) -> None:
        StaticSlidingWindowLayer.__init__(
            self, max_cache_len=max_cache_len, sliding_window=sliding_window
        )
        LinearAttentionLayer.__init__(self, number_of_states=number_of_states)


class LinearAttentionAndStaticMaskedWindowLayer(LinearAttentionAndStaticFullAttentionLayer):
    """A layer with a scan and sliding attention, with room for all tokens."""

    is_sliding = True


class DummyLayer(CacheState):
    """Stands for a model layer that keeps nothing: no attention, or another layer's keys."""

    supports_early_init = False
    is_compileable = True
    is_croppable = True

    def __init__(self, **kwargs: Any) -> None:
        self.is_initialized = True
        self.keys = None
        self.values = None

    def __repr__(self) -> str:
        return type(self).__name__

    def update(
        self, key_states: Tensor | None, value_states: Tensor | None, *args: Any, **kwargs: Any
    ) -> tuple[None, None]:
        """Nothing for nothing; states are refused."""
        if key_states is None and value_states is None:
            return None, None
        raise NotImplementedError(
            "Expected no update of a layer that keeps no cache; got key and value states. "
            "Update the layer that owns them, as config.layer_types says."
        )

    def reset(self) -> None:
        """Nothing to empty."""

    def crop(self, tokens_to_remove: int) -> None:
        """Nothing to forget."""

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Nothing to reorder."""

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Nothing to repeat."""

    def batch_select_indices(self, indices: Tensor) -> None:
        """Nothing to select from."""

    def get_max_length(self) -> int:
        """-1: no limit."""
        return -1


DYNAMIC_LAYER_TYPE_MAPPING.update(
    {
        "full_attention": DynamicLayer,
        "sliding_attention": DynamicSlidingWindowLayer,
        "chunked_attention": DynamicSlidingWindowLayer,
        "indexed_attention": DynamicIndexedLayer,
        "conv": LinearAttentionLayer,
        "linear_attention": LinearAttentionLayer,
        "hybrid": LinearAttentionAndFullAttentionLayer,
        "hybrid_sliding": LinearAttentionAndSlidingWindowAttentionLayer,
        "dummy": DummyLayer,
    }
)
STATIC_LAYER_TYPE_MAPPING.update(
    {
        "full_attention": StaticLayer,
        "sliding_attention": StaticSlidingWindowLayer,
        "chunked_attention": StaticSlidingWindowLayer,
        "indexed_attention": StaticIndexedLayer,
        "conv": LinearAttentionLayer,
        "linear_attention": LinearAttentionLayer,
        "hybrid": LinearAttentionAndStaticFullAttentionLayer,
        "hybrid_sliding": LinearAttentionAndStaticSlidingWindowAttentionLayer,
        "dummy": DummyLayer,
    }
)
