"""Each call of the model: its cache, its arguments, and those of the next."""

from __future__ import annotations

import ast
import functools
import importlib.util
from pathlib import Path
from typing import Any

from keras import ops
from transformers import GenerationConfig

from keraform.errors import explain
from keraform.runtime.caches import DynamicCache, EncoderDecoderCache
from keraform.runtime.layers import Tensor

# Under which names outputs hold a cache; those that are not what calls take it by, as it is there.
CACHES = {
    "past_key_values": "past_key_values",
    "cache_params": "cache_params",
    "state": "state",
    "mems": "past_key_values",
    "past_buckets_states": "past_key_values",
}
ALL_CACHE_NAMES = list(CACHES)
_TYPES_OF_TOKENS = ("token_type_ids", "mm_token_type_ids", "moe_mm_token_type_ids")


@functools.cache
def inputs_of_the_prompt() -> tuple[str, ...]:
    """The arguments (pixels, spectrograms and their sizes) that only the first call gets, as the
    installed Transformers lists them; releases that do not, leave this to their models.
    """
    spec = importlib.util.find_spec("transformers.generation")
    assert spec is not None and spec.origin is not None  # a part of Transformers
    tree = ast.parse((Path(spec.origin).parent / "utils.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            if node.targets[0].id == "MULTIMODAL_INPUTS_TO_DROP_OUTSIDE_PREFILL":
                return tuple(ast.literal_eval(node.value))
    return ()


class Calls:
    """The hooks of `GenerationMixin` about calls, under upstream's names."""

    config: Any

    @classmethod
    def _supports_default_dynamic_cache(cls) -> bool:
        """Whether the model takes a `DynamicCache`; others make one of their own kind."""
        name = cls.__name__.lower()
        own = ("reformer", "minimax", "xlnet", "rwkv", "xlstm")
        return any(each in name for each in ("minimaxm2", "minimaxm3")) or not any(
            each in name for each in own
        )

    def _prepare_cache_for_generation(
        self,
        generation_config: GenerationConfig,
        model_kwargs: dict[str, Any],
        generation_mode: Any,
        batch_size: int,
        max_cache_length: int,
    ) -> None:
        """Puts an empty cache among the arguments, unless the caller gave one or wants none."""
        name = "cache_params" if "mamba" in type(self).__name__.lower() else "past_key_values"
        if model_kwargs.get(name) is not None:
            if generation_config.cache_implementation is not None:
                raise ValueError(
                    explain(
                        f"`cache_implementation` or `{name}`",
                        "both",
                        f"generate(..., {name}=cache)",
                    )
                )
            return
        if generation_config.use_cache is False or not self._supports_default_dynamic_cache():
            return
        config = self.config.get_text_config(decoder=True)
        cache: Any = DynamicCache(config=config)
        if self.config.is_encoder_decoder:
            cache = EncoderDecoderCache(cache, DynamicCache(config=config))
        model_kwargs[name] = cache

    def prepare_inputs_for_generation(
        self,
        input_ids: Tensor,
        next_sequence_length: int | None = None,
        past_key_values: Any = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        is_first_iteration: bool | None = False,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """The arguments of one call of the model.

        Args:
            input_ids: [b, n], all tokens so far.
            next_sequence_length: how many of them the call gets; None for all.
            past_key_values: the cache of those before.
            attention_mask: [b, n], of an encoder-decoder [b, s] of its encoder.
            inputs_embeds: [b, n, m], in place of the prompt's ids.
            is_first_iteration: whether this is the call with the prompt.
            **kwargs: arguments of the model; pixels and the like go to the first call alone.
        """
        decodes = self.config.is_encoder_decoder
        prefix = "decoder_" if decodes else ""
        given: dict[str, Any] = {}
        last = None if next_sequence_length is None else -next_sequence_length
        if not decodes and inputs_embeds is not None and is_first_iteration:
            given["input_ids"] = None
            given["inputs_embeds"] = inputs_embeds[:, last:, :]
            length = ops.shape(given["inputs_embeds"])[1]
        else:
            given[f"{prefix}input_ids"] = input_ids[:, last:]
            length = ops.shape(given[f"{prefix}input_ids"])[1]
        if past_key_values is not None:
            given["past_key_values"] = past_key_values
        for name in (f"{prefix}position_ids", *_TYPES_OF_TOKENS):
            value = kwargs.pop(name, None)
            if value is not None:
                same = value.shape[-1] is not None and value.shape[-1] == length
                given[name] = value if same else value[..., -length:]
        if decodes:
            own = kwargs.pop("decoder_attention_mask", None)
            given |= {"decoder_attention_mask": own} if own is not None else {}
        if attention_mask is not None:
            given["attention_mask"] = attention_mask
        only_first = inputs_of_the_prompt()
        drops = not is_first_iteration and kwargs.get("use_cache", True)
        for key, value in kwargs.items():
            if key != "labels" and key not in given and not (drops and key in only_first):
                given[key] = value
        return given

    def _update_model_kwargs_for_generation(
        self,
        outputs: Any,
        model_kwargs: dict[str, Any],
        is_encoder_decoder: bool = False,
        num_new_tokens: int = 1,
    ) -> dict[str, Any]:
        """The arguments with the cache of the last call, and longer by its new tokens."""
        for name, argument in CACHES.items():
            if name in outputs:
                model_kwargs[argument] = getattr(outputs, name)
                break
        prefix = "decoder_" if is_encoder_decoder else ""
        for name, following in (
            ("token_type_ids", lambda last: last),
            ("mm_token_type_ids", ops.zeros_like),
            (f"{prefix}attention_mask", ops.ones_like),
        ):
            value = model_kwargs.get(name)
            if value is not None:
                new = following(value[:, -num_new_tokens:])
                model_kwargs[name] = ops.concatenate([value, new], axis=-1)
        positions = model_kwargs.get(f"{prefix}position_ids")
        if positions is not None:
            new = positions[..., -1:] + ops.arange(1, num_new_tokens + 1, dtype=positions.dtype)
            model_kwargs[f"{prefix}position_ids"] = ops.concatenate([positions, new], axis=-1)
        return model_kwargs


def shortened(arguments: dict[str, Any], count: int, is_encoder_decoder: bool) -> dict[str, Any]:
    """The arguments without the last `count` tokens; caches stay as they are."""
    prefix = "decoder_" if is_encoder_decoder else ""
    found = dict(arguments)
    for name, axis in (
        (f"{prefix}attention_mask", -1),
        (f"{prefix}position_ids", -1),
        ("token_type_ids", -1),
        ("mm_token_type_ids", -1),
        ("cross_attention_mask", 1),
        ("image_attention_mask", 1),
        ("inputs_embeds", 1),
    ):
        value = arguments.get(name)
        if value is not None and count:
            found[name] = value[..., :-count] if axis == -1 else value[:, :-count]
    return found
