"""The caches models take and return: a list of cache layers, one for each layer of the model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from keras import ops

from keraform.runtime.caches.layers import (
    DYNAMIC_LAYER_TYPE_MAPPING,
    STATIC_LAYER_TYPE_MAPPING,
    CacheLayerMixin,
    DynamicLayer,
    DynamicSlidingWindowLayer,
)
from keraform.runtime.caches.linear import (
    DummyLayer,
    LinearAttentionAndFullAttentionLayer,
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

    def get_conv_state(self, layer_idx: int, state_idx: int = 0) -> Tensor | None:
        """The kept convolution inputs [b, c, n] of a layer; None before its first update."""
        layer = self._linear(layer_idx, "get_conv_state")
        return layer.conv_states[state_idx] if layer.has_previous_state[state_idx] else None

    def update_conv_state(
        self, conv_states: Tensor, layer_idx: int, state_idx: int = 0, **kwargs: Any
    ) -> Tensor:
        """Add convolution inputs [b, c, n] to a layer; see `LinearAttentionLayer`."""
        layer = self._linear(layer_idx, "update_conv_state")
        return layer.update_conv_state(conv_states, state_idx, **kwargs)

    def get_recurrent_state(self, layer_idx: int, state_idx: int = 0) -> Tensor | None:
        """The kept recurrent state of a layer; None before its first update."""
        layer = self._linear(layer_idx, "get_recurrent_state")
        return layer.recurrent_states[state_idx] if layer.has_previous_state[state_idx] else None

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
        """For each layer, whether it is a scan (with full attention besides, it is not)."""
        return [
            isinstance(layer, LinearAttentionCacheLayerMixin)
            and not isinstance(layer, LinearAttentionAndFullAttentionLayer)
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


def get_layer_types_and_kwargs(config: Any) -> tuple[list[str], list[dict[str, Any]]]:
    """The cache layer types of a config, and the constructor arguments of each."""
    layer_configs = config.per_layer_config
    layer_types = getattr(config, "layer_types", None)
    if layer_types is None:
        layer_types = [_layer_type(layer_config) for layer_config in layer_configs]
    sharing = getattr(config, "kv_sharing_modes", None)
    if sharing is not None:
        pairs = zip(layer_types, sharing, strict=False)
        layer_types = ["dummy" if mode == "reuse" else kind for kind, mode in pairs]
    layer_types = ["dummy" if kind in ("moe", "mlp") else kind for kind in layer_types]
    pairs = zip(layer_types, layer_configs, strict=False)
    return layer_types, [_layer_kwargs(kind, layer_config) for kind, layer_config in pairs]


def _layer_type(layer_config: Any) -> str:
    if getattr(layer_config, "sliding_window", None) is not None:
        return "sliding_attention"
    if getattr(layer_config, "attention_chunk_size", None) is not None:
        return "chunked_attention"
    return "full_attention"


def _layer_kwargs(kind: str, layer_config: Any) -> dict[str, Any]:
    kwargs: dict[str, Any] = {}
    if kind in ("sliding_attention", "hybrid_sliding", "reference_sliding_attention"):
        kwargs["sliding_window"] = layer_config.sliding_window
    elif kind == "chunked_attention":
        kwargs["sliding_window"] = layer_config.attention_chunk_size
    elif kind in ("heavily_compressed_attention", "compressed_sparse_attention"):
        kwargs["config"] = layer_config
    if kind in ("conv", "linear_attention", "hybrid", "hybrid_sliding"):
        kwargs["number_of_states"] = getattr(layer_config, "number_of_conv_states", 1)
    return kwargs


def _layers(table: dict[str, type], config: Any, **kwargs: Any) -> list[Any]:
    kinds, arguments = get_layer_types_and_kwargs(config.get_text_config(decoder=True))
    unknown = sorted(set(kinds) - set(table))
    if unknown:
        raise KeyError(
            f"Expected layer types with a cache layer, {sorted(table)}; got {unknown} from "
            f"{type(config).__name__}. Import the modeling file that defines their cache first."
        )
    pairs = zip(kinds, arguments, strict=True)
    return [table[kind](**kwargs, **layer_kwargs) for kind, layer_kwargs in pairs]


class DynamicCache(Cache):
    """A cache that grows with every token.

    Args:
        ddp_cache_data: for each layer its keys and values (and its window, or None) to begin with.
        config: the model's, which tells sliding and scanning layers.
    """

    def __init__(
        self,
        ddp_cache_data: Iterable[tuple[Any, ...]] | None = None,
        config: Any = None,
        offloading: bool = False,
        offload_only_non_sliding: bool = False,
    ) -> None:
        layers = [] if config is None else _layers(DYNAMIC_LAYER_TYPE_MAPPING, config)
        for layer_idx, (keys, values, *rest) in enumerate(ddp_cache_data or ()):
            window = rest[0] if rest else None
            if config is None:
                layers.append(
                    DynamicLayer() if window is None else DynamicSlidingWindowLayer(int(window))
                )
            if keys is not None and values is not None:
                layers[layer_idx].update(keys, values)
        super().__init__(
            layers=layers or None,
            layer_class_to_replicate=None if layers else DynamicLayer,
            offloading=offloading,
        )

    def __iter__(self) -> Iterator[tuple[Any, Any, Any]]:
        for layer in self.layers:
            yield layer.keys, layer.values, getattr(layer, "sliding_window", None)


class StaticCache(Cache):
    """A cache of a fixed size, `max_cache_len` tokens, for compiled steps."""

    def __init__(
        self,
        config: Any,
        max_cache_len: int,
        offloading: bool = False,
        offload_only_non_sliding: bool = True,
        **kwargs: Any,
    ) -> None:
        layers = _layers(STATIC_LAYER_TYPE_MAPPING, config, max_cache_len=max_cache_len)
        super().__init__(layers=layers, offloading=offloading)


SlidingWindowCache = StaticCache


class QuantizedCache(Cache):
    """Upstream's quantized cache, which needs torch kernels; refused by name."""

    def __init__(self, backend: str, config: Any, **kwargs: Any) -> None:
        raise NotImplementedError(
            f"Expected a cache in the model's dtype; got QuantizedCache(backend={backend!r}), "
            f"which needs torch kernels. Use DynamicCache(config=config)."
        )


class EncoderDecoderCache(Cache):
    """A decoder's cache of its own tokens, and one of the encoder's.

    Args:
        caches: the two caches; or one iterable of (keys, values, encoder keys, encoder values)
            or of six, with the windows third and last.
    """

    def __init__(self, *caches: Any) -> None:
        if len(caches) == 1:
            data = [tuple(layer) for layer in caches[0]]
            half = len(data[0]) // 2 if data else 2
            wrong = sorted({len(layer) for layer in data} - {2 * half}) if half in (2, 3) else [2]
            if wrong:
                raise ValueError(
                    f"Expected 4 or 6 tensors for every layer; got {[len(it) for it in data]}. "
                    f"Pass EncoderDecoderCache(DynamicCache(), DynamicCache())."
                )
            caches = (
                DynamicCache([layer[:half] for layer in data]),
                DynamicCache([layer[half:] for layer in data]),
            )
        if len(caches) != 2 or not all(isinstance(cache, Cache) for cache in caches):
            raise TypeError(
                f"Expected two caches; got {[type(cache).__name__ for cache in caches]}. "
                f"Pass EncoderDecoderCache(DynamicCache(), DynamicCache())."
            )
        self.self_attention_cache, self.cross_attention_cache = caches
        layers = self.cross_attention_cache.layers
        self.is_updated = {index: _is_filled(layer) for index, layer in enumerate(layers)}

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        pairs = zip(self.self_attention_cache, self.cross_attention_cache, strict=False)
        for self_attention, cross_attention in pairs:
            yield self_attention + cross_attention

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(self_attention_cache={self.self_attention_cache}, "
            f"cross_attention_cache={self.cross_attention_cache})"
        )

    def __len__(self) -> int:
        return len(self.self_attention_cache)

    def get_seq_length(self, layer_idx: int = 0) -> Any:
        return self.self_attention_cache.get_seq_length(layer_idx)

    def get_max_length(self, layer_idx: int | None = None) -> int:
        return self.self_attention_cache.get_max_length(layer_idx)

    def get_mask_sizes(self, query_length: Any, layer_idx: int) -> tuple[Any, Any]:
        return self.self_attention_cache.get_mask_sizes(query_length, layer_idx)

    def reset(self) -> None:
        self.self_attention_cache.reset()
        self.cross_attention_cache.reset()
        self.is_updated = dict.fromkeys(self.is_updated, False)

    def reorder_cache(self, beam_idx: Tensor) -> None:
        self.self_attention_cache.reorder_cache(beam_idx)
        self.cross_attention_cache.reorder_cache(beam_idx)

    def check_dynamic_cache(self, method: str) -> None:
        """Refuse `method` unless both caches grow."""
        caches = (self.self_attention_cache, self.cross_attention_cache)
        if not all(isinstance(cache, DynamicCache) for cache in caches):
            raise TypeError(
                f"Expected two dynamic caches for `{method}`; got "
                f"{[type(cache).__name__ for cache in caches]}. Use DynamicCache for both."
            )

    def crop(self, tokens_to_remove: int) -> None:
        self.check_dynamic_cache("crop")
        self.self_attention_cache.crop(tokens_to_remove)

    def batch_repeat_interleave(self, repeats: int) -> None:
        self.check_dynamic_cache("batch_repeat_interleave")
        self.self_attention_cache.batch_repeat_interleave(repeats)
        self.cross_attention_cache.batch_repeat_interleave(repeats)

    def batch_select_indices(self, indices: Tensor) -> None:
        self.check_dynamic_cache("batch_select_indices")
        self.self_attention_cache.batch_select_indices(indices)
        self.cross_attention_cache.batch_select_indices(indices)

    def activate_past_recording(self) -> None:
        self.self_attention_cache.activate_past_recording()

    @property
    def is_sliding(self) -> list[bool]:
        return self.self_attention_cache.is_sliding

    @property
    def is_linear(self) -> list[bool]:
        return self.self_attention_cache.is_linear

    @property
    def is_dummy(self) -> list[bool]:
        return self.self_attention_cache.is_dummy

    @property
    def is_compileable(self) -> bool:
        return self.self_attention_cache.is_compileable

    @property
    def is_croppable(self) -> bool:
        return self.self_attention_cache.is_croppable


def _is_filled(layer: Any) -> bool:
    keys = getattr(layer, "keys", None)
    if keys is None:
        return False
    length = layer.get_seq_length()
    return length > 0 if isinstance(length, int) else True


class MtpCache(DynamicCache):
    """A cache for multi-token prediction: depth i runs i + 1 tokens ahead."""

    def get_query_offset(self, layer_idx: int = 0) -> Any:
        return super().get_query_offset(layer_idx) + layer_idx + 1

    def get_mask_sizes(self, query_length: Any, layer_idx: int) -> tuple[Any, Any]:
        kv_length, kv_offset = super().get_mask_sizes(query_length, layer_idx)
        return kv_length, kv_offset + layer_idx + 1


class DFlashCache(DynamicCache):
    """A cache whose keys run ahead of the queries by the tokens accepted last."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._previous_number_of_accepted_tokens = 0

    def set_previous_accepted_tokens(self, number_of_accepted_tokens: int) -> None:
        """Say how many tokens were accepted."""
        self._previous_number_of_accepted_tokens = number_of_accepted_tokens

    def get_query_offset(self, layer_idx: int = 0) -> Any:
        return super().get_query_offset(layer_idx) + self._previous_number_of_accepted_tokens

    def get_mask_sizes(self, query_length: Any, layer_idx: int) -> tuple[Any, Any]:
        kv_length, kv_offset = super().get_mask_sizes(query_length, layer_idx)
        return kv_length + self._previous_number_of_accepted_tokens, kv_offset


class KVSharingDict(dict):
    """Keys and values that one layer leaves for another, by name."""

    is_keraform_cache = True

    def to(self, *args: Any, **kwargs: Any) -> KVSharingDict:
        """Itself: Keras places tensors."""
        return self
