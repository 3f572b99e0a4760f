"""The cache of a decoder that also looks at an encoder."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from keraform.runtime.caches.cache import Cache
from keraform.runtime.caches.kinds import DynamicCache
from keraform.runtime.layers import Tensor


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
