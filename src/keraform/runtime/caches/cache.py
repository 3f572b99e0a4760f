"""The base of all caches: a list of cache layers, one for each layer of the model."""

from __future__ import annotations

from typing import Any

from keras import ops

from keraform.runtime.caches.held import HeldState
from keraform.runtime.caches.layers import CacheLayerMixin
from keraform.runtime.caches.linear import (
    DummyLayer,
    LinearAttentionCacheLayerMixin,
)
from keraform.runtime.caches.state import CacheState
from keraform.runtime.layers import Tensor


class Cache(CacheState):
    """Cache layers in the order of the model's layers.

    Args:
        layers: the layers; without them they are made on the first update of each index.
        layer_class_to_replicate: the class of layers that are made so.
        offloading: upstream's moving of layers to main memory; refused here.
    """

    def __init__(
        self,
        layers: list[Any] | None = None,
        layer_class_to_replicate: type | None = None,
        offloading: bool = False,
        offload_only_non_sliding: bool = True,
    ) -> None:
        if (layers is None) == (layer_class_to_replicate is None):
            raise ValueError(
                f"Expected exactly one of `layers` and `layer_class_to_replicate`; got "
                f"layers={layers}, layer_class_to_replicate={layer_class_to_replicate}. "
                f"Call Cache(layer_class_to_replicate=DynamicLayer)."
            )
        if offloading:
            raise NotImplementedError(
                "Expected offloading=False; got True, which moves torch tensors between devices. "
                "Leave it out; a shorter cache (config.sliding_window) saves memory as well."
            )
        self.layers = layers if layers is not None else []
        self.layer_class_to_replicate = layer_class_to_replicate
        self.offloading = offloading

    def __repr__(self) -> str:
        return f"{type(self).__name__}(layers={self.layers})"

    def __len__(self) -> int:
        return len(self.layers)

    def update(
        self,
        key_states: Tensor,
        value_states: Tensor,
        layer_idx: int,
        *args: Any,
        **kwargs: Any,
    ) -> tuple[Tensor, Tensor]:
        """Add the states [b, g, q, d] of a layer, and return those its attention should see."""
        if self.layer_class_to_replicate is not None:
            while len(self.layers) <= layer_idx:
                self.layers.append(self.layer_class_to_replicate())
        return self.layers[layer_idx].update(key_states, value_states, *args, **kwargs)

    def get_conv_state(self, layer_idx: int, state_idx: int = 0) -> HeldState | None:
        """The kept convolution inputs [b, c, n] of a layer; None before its first update.

        What is assigned to the result, the cache keeps, as with torch's in-place changes.
        """
        layer = self._linear(layer_idx, "get_conv_state")
        if not layer.has_previous_state[state_idx]:
            return None
        return HeldState(layer.conv_states, state_idx)

    def update_conv_state(
        self, conv_states: Tensor, layer_idx: int, state_idx: int = 0, **kwargs: Any
    ) -> Tensor:
        """Add convolution inputs [b, c, n] to a layer; see `LinearAttentionLayer`."""
        layer = self._linear(layer_idx, "update_conv_state")
        return layer.update_conv_state(conv_states, state_idx, **kwargs)

    def get_recurrent_state(self, layer_idx: int, state_idx: int = 0) -> HeldState | None:
        """The kept recurrent state of a layer; None before its first update."""
        layer = self._linear(layer_idx, "get_recurrent_state")
        if not layer.has_previous_state[state_idx]:
            return None
        return HeldState(layer.recurrent_states, state_idx)

    def update_recurrent_state(
        self, recurrent_states: Tensor, layer_idx: int, state_idx: int = 0, **kwargs: Any
    ) -> Tensor:
        """Keep a recurrent state of a layer, and return it."""
        layer = self._linear(layer_idx, "update_recurrent_state")
        return layer.update_recurrent_state(recurrent_states, state_idx, **kwargs)

    def update_indexer(self, indexer_key_states: Tensor, layer_idx: int) -> Tensor:
        """Add indexer keys [b, q, d] to a layer, and return those it has."""
        layer = self.layers[layer_idx]
        if not hasattr(layer, "update_indexer"):
            raise _wrong_layer("update_indexer", "an indexed-attention layer", layer_idx, layer)
        return layer.update_indexer(indexer_key_states)

    def _linear(self, layer_idx: int, method: str) -> Any:
        layer = self.layers[layer_idx]
        if not isinstance(layer, LinearAttentionCacheLayerMixin):
            raise _wrong_layer(method, "a linear-attention layer", layer_idx, layer)
        return layer

    def _attention(self, layer_idx: int, method: str) -> Any:
        """The attention layer of this index; index 0 means the first there is."""
        layer = self.layers[layer_idx]
        if isinstance(layer, CacheLayerMixin):
            return layer
        found = [layer for layer in self.layers if isinstance(layer, CacheLayerMixin)]
        if layer_idx != 0 or not found:
            raise _wrong_layer(method, "an attention layer", layer_idx, layer)
        return found[0]

    def early_initialization(
        self,
        batch_size: int,
        num_heads: int | list[int],
        head_dim: int | list[int],
        dtype: Any,
        device: Any = None,
    ) -> None:
        """Make the tensors of all layers now instead of at their first update."""
        heads = [num_heads] * len(self) if isinstance(num_heads, int) else num_heads
        sizes = [head_dim] * len(self) if isinstance(head_dim, int) else head_dim
        if not len(heads) == len(sizes) == len(self.layers):
            raise ValueError(
                f"Expected {len(self.layers)} numbers of heads and head sizes, one a layer; got "
                f"{len(heads)} and {len(sizes)}. Pass ints when all layers are alike."
            )
        for layer, layer_heads, size in zip(self.layers, heads, sizes, strict=True):
            if layer.supports_early_init and not layer.is_initialized:
                states = ops.zeros((batch_size, layer_heads, 0, size), dtype=dtype)
                layer.lazy_initialization(states, states)

    def get_seq_length(self, layer_idx: int = 0) -> Any:
        """How many tokens a layer has seen: an int, or a scalar tensor where it is not known."""
        if layer_idx >= len(self.layers):
            return 0
        return self._attention(layer_idx, "get_seq_length").get_seq_length()

    def get_max_length(self, layer_idx: int | None = None) -> int:
        """How many tokens fit into a layer, or into the largest; -1 when there is no limit."""
        if layer_idx is None:
            return max(layer.get_max_length() for layer in self.layers)
        return -1 if layer_idx >= len(self.layers) else self.layers[layer_idx].get_max_length()

    def has_previous_state(
        self, layer_idx: int | None = None, state_idx: int | None = None
    ) -> bool:
        """Whether a linear-attention layer (by default the last) has been updated."""
        if layer_idx is None:
            kinds = enumerate(self.layers)
            found = [i for i, it in kinds if isinstance(it, LinearAttentionCacheLayerMixin)]
            if not found:
                raise _wrong_layer("has_previous_state", "a linear-attention layer", -1, self)
            layer_idx = found[-1]
        if layer_idx >= len(self.layers):
            return False
        states = self._linear(layer_idx, "has_previous_state").has_previous_state
        return all(states.values()) if state_idx is None else states[state_idx]

    def get_mask_sizes(self, query_length: Any, layer_idx: int) -> tuple[Any, Any]:
        """How many keys a layer's next update returns, and the position of the first."""
        if layer_idx >= len(self.layers):
            return query_length, 0
        return self._attention(layer_idx, "get_mask_sizes").get_mask_sizes(query_length)

    def get_query_offset(self, layer_idx: int = 0) -> Any:
        """The position of the next query."""
        return self.get_seq_length(layer_idx=layer_idx)

    def reset(self) -> None:
        """Empty all layers."""
        for layer in self.layers:
            layer.reset()

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Take the rows `beam_idx` [b] of all layers, in this order."""
        for layer in self.layers:
            layer.reorder_cache(beam_idx)

    def crop(self, tokens_to_remove: int) -> None:
        """Forget the last -`tokens_to_remove` tokens of all layers."""
        for layer in self.layers:
            layer.crop(tokens_to_remove)

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Repeat each row of all layers."""
        for layer in self.layers:
            layer.batch_repeat_interleave(repeats)

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep the rows `indices` of all layers."""
        for layer in self.layers:
            layer.batch_select_indices(indices)

    def activate_past_recording(self) -> None:
        """Let layers of limited size keep everything until `crop`."""
        for layer in self.layers:
            if hasattr(layer, "activate_past_recording"):
                layer.activate_past_recording()

    def is_recording_past(self, layer_idx: int) -> bool:
        """Whether a layer keeps everything until `crop`."""
        return getattr(self.layers[layer_idx], "record_past", False)

    @property
    def batch_size(self) -> int:
        """The number of rows, -1 while no layer knows it."""
        values = [layer.batch_size for layer in self.layers if hasattr(layer, "batch_size")]
        if len(set(values)) > 1:
            raise ValueError(
                f"Expected one batch size in all layers; got {values}. "
                f"Use a new cache for each batch."
            )
        return values[0] if values else -1

    @property
    def is_compileable(self) -> bool:
        """Whether all layers have fixed shapes."""
        return bool(self.layers) and all(layer.is_compileable for layer in self.layers)

    @property
    def is_initialized(self) -> bool:
        """Whether all attention layers have their tensors."""
        layers = [layer for layer in self.layers if layer.supports_early_init]
        return bool(layers) and all(layer.is_initialized for layer in layers)

    @property
    def is_croppable(self) -> bool:
        """Whether `crop` can undo an update."""
        return all(layer.is_croppable for layer in self.layers)

    @property
    def is_sliding(self) -> list[bool]:
        """For each layer, whether it has a window."""
        return [getattr(layer, "is_sliding", False) for layer in self.layers]

    @property
    def is_linear(self) -> list[bool]:
        """For each layer, whether it is a scan (with attention besides, it is not)."""
        return [
            isinstance(layer, LinearAttentionCacheLayerMixin)
            and not isinstance(layer, CacheLayerMixin)
            for layer in self.layers
        ]

    @property
    def is_dummy(self) -> list[bool]:
        """For each layer, whether it keeps nothing."""
        return [isinstance(layer, DummyLayer) for layer in self.layers]


def _wrong_layer(method: str, expected: str, layer_idx: int, layer: Any) -> ValueError:
    return ValueError(
        f"Expected {expected} for `{method}`; layer {layer_idx} is a {type(layer).__name__}. "
        f"Pass the index of {expected}, as config.layer_types lists them."
    )
