"""Caches of keys, values and recurrent states, with upstream's names and methods."""

from keraform.runtime.caches.cache import Cache
from keraform.runtime.caches.encoder_decoder import EncoderDecoderCache
from keraform.runtime.caches.kinds import (
    DFlashCache,
    DynamicCache,
    KVSharingDict,
    LoopCache,
    MtpCache,
    QuantizedCache,
    SlidingWindowCache,
    StaticCache,
    as_growing,
    get_layer_types_and_kwargs,
)
from keraform.runtime.caches.layers import (
    DYNAMIC_LAYER_TYPE_MAPPING,
    STATIC_LAYER_TYPE_MAPPING,
    CacheLayerMixin,
    DynamicIndexedLayer,
    DynamicLayer,
    DynamicSlidingWindowLayer,
)
from keraform.runtime.caches.linear import (
    DummyLayer,
    LinearAttentionAndFullAttentionLayer,
    LinearAttentionAndSlidingWindowAttentionLayer,
    LinearAttentionAndStaticFullAttentionLayer,
    LinearAttentionAndStaticSlidingWindowAttentionLayer,
    LinearAttentionCacheLayerMixin,
    LinearAttentionLayer,
)
from keraform.runtime.caches.static import (
    StaticIndexedLayer,
    StaticLayer,
    StaticSlidingWindowLayer,
)

__all__ = [
    "DYNAMIC_LAYER_TYPE_MAPPING",
    "STATIC_LAYER_TYPE_MAPPING",
    "Cache",
    "CacheLayerMixin",
    "DFlashCache",
    "DummyLayer",
    "DynamicCache",
    "DynamicIndexedLayer",
    "DynamicLayer",
    "DynamicSlidingWindowLayer",
    "EncoderDecoderCache",
    "KVSharingDict",
    "LinearAttentionAndFullAttentionLayer",
    "LinearAttentionAndSlidingWindowAttentionLayer",
    "LinearAttentionAndStaticFullAttentionLayer",
    "LinearAttentionAndStaticSlidingWindowAttentionLayer",
    "LinearAttentionCacheLayerMixin",
    "LinearAttentionLayer",
    "LoopCache",
    "MtpCache",
    "QuantizedCache",
    "SlidingWindowCache",
    "StaticCache",
    "StaticIndexedLayer",
    "StaticLayer",
    "StaticSlidingWindowLayer",
    "as_growing",
    "get_layer_types_and_kwargs",
]
