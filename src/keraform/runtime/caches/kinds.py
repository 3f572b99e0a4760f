"""The caches models make: growing, of fixed size, and those with an offset of their own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from keraform.runtime.caches.cache import Cache
from keraform.runtime.caches.layers import (
    DYNAMIC_LAYER_TYPE_MAPPING,
    STATIC_LAYER_TYPE_MAPPING,
    CacheLayerMixin,
    DynamicLayer,
    DynamicSlidingWindowLayer,
)
from keraform.runtime.caches.linear import LinearAttentionAndStaticMaskedWindowLayer
from keraform.runtime.caches.static import StaticMaskedWindowLayer

# In place of static layers whose Python numbers change from token to token.
LOOP_LAYER_TYPE_MAPPING: dict[str, type] = {
    "sliding_attention": StaticMaskedWindowLayer,
    "chunked_attention": StaticMaskedWindowLayer,
    "hybrid_sliding": LinearAttentionAndStaticMaskedWindowLayer,
}


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


class LoopCache(Cache):
    """A `StaticCache` that a loop in a graph can carry: nothing but tensors changes in it.

    Args:
        config: the model's.
        max_cache_len: the tokens that fit into each layer, an int or a scalar tensor.
    """

    def __init__(self, config: Any, max_cache_len: Any) -> None:
        table = STATIC_LAYER_TYPE_MAPPING | LOOP_LAYER_TYPE_MAPPING
        super().__init__(layers=_layers(table, config, max_cache_len=max_cache_len))

    @staticmethod
    def layer_classes(config: Any) -> list[Any]:
        """The class of each layer for a config; None for a layer without a form of fixed shapes."""
        table = STATIC_LAYER_TYPE_MAPPING | LOOP_LAYER_TYPE_MAPPING
        kinds, _ = get_layer_types_and_kwargs(config.get_text_config(decoder=True))
        return [table.get(kind) for kind in kinds]


def as_growing(cache: LoopCache, config: Any) -> DynamicCache:
    """What a `LoopCache` holds, without the room behind it, in a cache that grows.

    Args:
        cache: the cache.
        config: the model's.
    """
    found = DynamicCache(config=config)
    for index, (layer, held) in enumerate(zip(found.layers, cache.layers, strict=True)):
        if not isinstance(held, CacheLayerMixin):  # a scan, or nothing: the same in both
            found.layers[index] = held
            continue
        kept = {name: value for name, value in vars(held).items() if name in vars(layer)}
        if held.keys is not None and held.values is not None:
            count = held.get_seq_length()
            layer.update(held.keys[:, :, :count], held.values[:, :, :count])
        own = ("keys", "values", "is_initialized", "cumulative_length")
        vars(layer).update({name: value for name, value in kept.items() if name not in own})
        if getattr(held, "indexer_keys", None) is not None:
            layer.indexer_keys = held.indexer_keys[:, : held.indexer_cumulative_length]
    return found


class QuantizedCache(Cache):
    """Upstream's quantized cache, which needs torch kernels; refused by name."""

    def __init__(self, backend: str, config: Any, **kwargs: Any) -> None:
        raise NotImplementedError(
            f"Expected a cache in the model's dtype; got QuantizedCache(backend={backend!r}), "
            f"which needs torch kernels. Use DynamicCache(config=config)."
        )


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

    def __init__(self, shared: Mapping[str, Any] | None = None) -> None:
        super().__init__(shared or {})

    def to(self, *args: Any, **kwargs: Any) -> KVSharingDict:
        """Itself: Keras places tensors."""
        return self
