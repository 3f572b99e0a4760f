"""What `generate` makes of its arguments: upstream's hooks, which models override one by one."""

from __future__ import annotations

import ast
import functools
import importlib.util
import inspect
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from keras import ops
from transformers import GenerationConfig
from transformers.utils.generic import TransformersKwargs

from keraform.errors import explain
from keraform.generation import settings
from keraform.runtime.caches import DynamicCache, EncoderDecoderCache
from keraform.runtime.given import integer_dtype
from keraform.runtime.layers import Tensor
from keraform.runtime.tracing import is_known

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
_NOT_THE_ENCODERS = ("decoder_", "cross_attn", "use_cache", "past_key_values", "cache_params")


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


def repeated(value: Any, times: int, axis: int = 0) -> Any:
    """A tensor with each row `times` times, one after the other; what is no tensor stays."""
    return ops.repeat(value, times, axis=axis) if ops.is_tensor(value) else value


class Preparation:
    """The hooks of `GenerationMixin`, under upstream's names and with upstream's meanings."""

    config: Any
    generation_config: GenerationConfig
    main_input_name: ClassVar[str]
    base_model_prefix: ClassVar[str]

    # -- options

    def _prepare_generation_config(
        self, generation_config: GenerationConfig | None, **kwargs: Any
    ) -> tuple[GenerationConfig, dict[str, Any]]:
        """The options of this call, and the arguments that are for the model."""
        return settings.merged(self, generation_config, kwargs)

    def _prepare_generated_length(
        self,
        generation_config: GenerationConfig,
        has_default_max_length: bool,
        has_default_min_length: bool,
        model_input_name: str,
        input_ids_length: int,
        inputs_tensor: Tensor,
    ) -> GenerationConfig:
        """Makes `max_length` and `min_length` totals, which count the prompt."""
        config = generation_config
        embedded = (
            inputs_tensor.shape[1]
            if model_input_name == "inputs_embeds"
            and input_ids_length != inputs_tensor.shape[1]
            and not self.config.is_encoder_decoder
            else 0
        )
        if config.max_new_tokens is not None:
            config.max_length = config.max_new_tokens + input_ids_length
        elif embedded and not has_default_max_length:
            config.max_length -= embedded
        elif has_default_max_length:
            most = getattr(self.config, "max_position_embeddings", None)
            config.max_length = config.max_length + input_ids_length
            if most is not None and is_known(config.max_length):
                config.max_length = min(config.max_length, most)
        if config.min_new_tokens is not None:
            config.min_length = config.min_new_tokens + input_ids_length
        elif embedded:
            config.min_length = max(config.min_length - embedded, 0)
        return config

    def _validate_model_kwargs(self, model_kwargs: dict[str, Any]) -> None:
        """Refuses arguments that no part of the model takes, typing mistakes among them."""
        taken = set(inspect.signature(self.prepare_inputs_for_generation).parameters)
        if taken & {"kwargs", "model_kwargs"}:
            taken |= set(_arguments(self))
        if self.config.is_encoder_decoder:
            base = getattr(self, self.base_model_prefix, None)
            for name, prefix in (("encoder", ""), ("decoder", "decoder_")):
                part = getattr(self, name, None)
                part = part if part is not None else getattr(base, name, None)
                if part is not None:
                    taken |= {f"{prefix}{argument}" for argument in _arguments(part)}
            taken.add("decoder_input_ids")
        taken |= TransformersKwargs.__optional_keys__ | {"mm_encoder_outputs"}
        unknown = [
            key for key, value in model_kwargs.items() if value is not None and key not in taken
        ]
        if unknown:
            raise ValueError(
                explain(
                    f"options of GenerationConfig and arguments of {type(self).__name__}",
                    ", ".join(unknown),
                    f"help({type(self).__name__}.call) for the arguments; check the spelling",
                )
            )

    # -- inputs

    def _prepare_model_inputs(
        self, inputs: Tensor | None, bos_token_id: int | None, model_kwargs: dict[str, Any]
    ) -> tuple[Tensor, str, dict[str, Any]]:
        """The main input, its name, and the other arguments."""
        name = self.main_input_name
        encoder = getattr(self, "encoder", None) if self.config.is_encoder_decoder else None
        name = getattr(encoder, "main_input_name", name)
        named = model_kwargs.pop(name, None)
        if named is not None and inputs is not None:
            raise ValueError(
                explain("the inputs once", f"both `inputs` and `{name}`", f"generate({name}=...)")
            )
        inputs = named if named is not None else inputs
        if name == "input_ids" and model_kwargs.get("inputs_embeds") is not None:
            if self.config.is_encoder_decoder:
                if inputs is not None:
                    raise ValueError(
                        explain("input_ids or inputs_embeds", "both", "generate(inputs_embeds=...)")
                    )
            else:
                if (
                    "inputs_embeds"
                    not in inspect.signature(self.prepare_inputs_for_generation).parameters
                ):
                    raise ValueError(
                        explain(
                            f"input_ids, as {type(self).__name__} does not take embeddings to "
                            f"generate from",
                            "inputs_embeds",
                            "generate(input_ids=...)",
                        )
                    )
                model_kwargs["input_ids"] = self._maybe_initialize_input_ids_for_generation(
                    inputs, bos_token_id, model_kwargs=model_kwargs
                )
            return model_kwargs["inputs_embeds"], "inputs_embeds", model_kwargs
        if model_kwargs.get("inputs_embeds", 0) is None:
            del model_kwargs["inputs_embeds"]
        inputs = self._maybe_initialize_input_ids_for_generation(inputs, bos_token_id, model_kwargs)
        return inputs, name, model_kwargs

    def _maybe_initialize_input_ids_for_generation(
        self, inputs: Tensor | None, bos_token_id: int | None, model_kwargs: dict[str, Any]
    ) -> Tensor:
        """Ids to begin with where none are given: the begin token for each row."""
        if inputs is not None:
            return inputs
        hidden = getattr(model_kwargs.get("encoder_outputs"), "last_hidden_state", None)
        if self.config.is_encoder_decoder and hidden is not None:
            return ops.full(ops.shape(hidden)[:-1], -100, dtype=integer_dtype())  # never encoded
        tensors = [value for value in model_kwargs.values() if ops.is_tensor(value)]
        batch = ops.shape(tensors[0])[0] if tensors else 1
        if "inputs_embeds" in model_kwargs:
            return ops.zeros((batch, 0), dtype=integer_dtype())
        if bos_token_id is None:
            raise ValueError(
                explain(
                    "input_ids, or a bos_token_id to begin with",
                    "neither",
                    "generate(input_ids, ...) or generate(bos_token_id=1)",
                )
            )
        return ops.full((batch, 1), bos_token_id, dtype=integer_dtype())

    def _prepare_attention_mask_for_generation(
        self, inputs_tensor: Tensor, generation_config: GenerationConfig, model_kwargs: dict
    ) -> Tensor:
        """[b, n], 0 where ids are the pad token (unless that also ends sequences), else 1."""
        ids = _tokens(inputs_tensor, model_kwargs)
        whole = ops.ones(ops.shape(ids)[:2], dtype=integer_dtype())
        pad, ends = generation_config.pad_token_id, eos_tokens(generation_config)
        is_tokens = len(ids.shape) == 2 and "int" in str(ids.dtype)
        if pad is None or not is_tokens or (pad in ends):
            return whole
        return ops.cast(ops.not_equal(ids, pad), integer_dtype())

    def _prepare_position_ids_for_generation(
        self, inputs_tensor: Tensor, model_kwargs: dict[str, Any]
    ) -> Tensor:
        """[b or 1, n], the place of each token in its row, padding not counted."""
        mask = model_kwargs.get("attention_mask")
        if mask is not None:
            mask = ops.cast(mask, integer_dtype())
            return ops.where(mask == 0, 0, ops.cumsum(mask, axis=-1) - 1)
        cache = model_kwargs.get("past_key_values")
        past = cache.get_seq_length() if cache is not None else 0
        length = ops.shape(_tokens(inputs_tensor, model_kwargs))[1]
        return ops.expand_dims(ops.arange(length + past, dtype=integer_dtype()), 0)

    def _maybe_prepare_encoder_kwargs_for_generation(
        self,
        inputs_tensor: Tensor,
        model_kwargs: dict[str, Any],
        model_input_name: str,
        generation_config: GenerationConfig,
    ) -> dict[str, Any]:
        """Runs the encoder, once for all tokens: of an encoder-decoder, or of images and videos."""
        if self.config.is_encoder_decoder and model_kwargs.get("encoder_outputs") is None:
            return self._prepare_text_encoder_decoder_kwargs_for_generation(
                inputs_tensor=inputs_tensor,
                model_kwargs=model_kwargs,
                model_input_name=model_input_name,
                generation_config=generation_config,
            )
        return model_kwargs

    def _prepare_text_encoder_decoder_kwargs_for_generation(
        self,
        inputs_tensor: Tensor,
        model_kwargs: dict[str, Any],
        model_input_name: str | None,
        generation_config: GenerationConfig,
    ) -> dict[str, Any]:
        """Adds `encoder_outputs`."""
        encoder = self.get_encoder()
        given = encoder_arguments(self, model_kwargs)
        arguments = _arguments(encoder)
        takes_all = _takes_all(arguments)
        given[model_input_name or self.main_input_name] = inputs_tensor
        for name in ("output_attentions", "output_hidden_states"):
            if takes_all or name in arguments:
                given[name] = getattr(generation_config, name)
        model_kwargs["encoder_outputs"] = encoder(**given, return_dict=True)
        return model_kwargs

    def _prepare_decoder_input_ids_for_generation(
        self,
        batch_size: int,
        model_input_name: str,
        model_kwargs: dict[str, Any],
        decoder_start_token_id: Any,
        device: Any = None,
    ) -> tuple[Tensor, dict[str, Any]]:
        """The decoder's first tokens [b, n]: the caller's, behind the start token."""
        given = model_kwargs.pop("decoder_input_ids", None)
        if given is None and model_input_name != "input_ids":
            given = model_kwargs.pop("input_ids", None)
        start = ops.reshape(ops.convert_to_tensor(decoder_start_token_id, integer_dtype()), (-1, 1))
        if is_known(batch_size) and start.shape[0] not in (1, batch_size):
            raise ValueError(
                explain(
                    f"one decoder_start_token_id, or one for each of the {batch_size} rows",
                    f"{start.shape[0]}",
                    "generate(..., decoder_start_token_id=0)",
                )
            )
        start = ops.broadcast_to(start, (batch_size, 1))
        if given is None:
            return start, model_kwargs
        given = ops.cast(given, integer_dtype())
        if self._begins_as_it_is() or not is_known(given):
            return given, model_kwargs
        if bool(ops.all(given[:, 0] != start[:, 0])):
            given = ops.concatenate([start, given], axis=-1)
            mask = model_kwargs.get("decoder_attention_mask")
            if mask is not None:
                ones = ops.ones_like(mask)[:, :1]
                model_kwargs["decoder_attention_mask"] = ops.concatenate([ones, mask], axis=-1)
        return given, model_kwargs

    def _begins_as_it_is(self) -> bool:
        """Whether the decoder's tokens begin with a task of their own, and not the start token."""
        decoded = getattr(getattr(self.config, "encoder", None), "model_type", "")
        return self.config.model_type == "whisper" or "donut" in decoded

    def _expand_inputs_for_generation(
        self,
        expand_size: int = 1,
        is_encoder_decoder: bool = False,
        input_ids: Tensor | None = None,
        **model_kwargs: Any,
    ) -> tuple[Tensor | None, dict[str, Any]]:
        """Repeats each row `expand_size` times, for beams or several sequences a row."""
        if expand_size == 1:
            return input_ids, model_kwargs
        positions = model_kwargs.pop("position_ids", None)
        model_kwargs = {key: repeated(value, expand_size) for key, value in model_kwargs.items()}
        if positions is not None:
            axis = 1 if len(positions.shape) == 3 else 0
            model_kwargs["position_ids"] = repeated(positions, expand_size, axis)
        encoded = model_kwargs.get("encoder_outputs")
        if is_encoder_decoder and encoded is not None:
            rows = {key: repeated(value, expand_size) for key, value in encoded.items()}
            model_kwargs["encoder_outputs"] = type(encoded)(**rows)
        return repeated(input_ids, expand_size), model_kwargs

    # -- the cache

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

    # -- one call of the model

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


def eos_tokens(config: GenerationConfig) -> list[int]:
    """The tokens that end a sequence."""
    found = config.eos_token_id
    return [] if found is None else [int(each) for each in np.ravel(found)]


def pad_token(config: GenerationConfig) -> int | None:
    """The token behind the end: the pad token, or else the first that ends a sequence."""
    if config.pad_token_id is not None:
        return int(config.pad_token_id)
    return next(iter(eos_tokens(config)), None)


def encoder_arguments(model: Any, arguments: dict[str, Any]) -> dict[str, Any]:
    """Those arguments of an encoder-decoder that its encoder takes."""
    taken = _arguments(model.get_encoder())
    return {
        key: value
        for key, value in arguments.items()
        if not key.startswith(_NOT_THE_ENCODERS) and (_takes_all(taken) or key in taken)
    }


def _takes_all(arguments: list[str]) -> bool:
    return bool({"kwargs", "model_kwargs"} & set(arguments))


def _arguments(part: Any) -> list[str]:
    """The names of the arguments of a model or layer."""
    return list(inspect.signature(part.call).parameters)


def _tokens(inputs_tensor: Tensor, model_kwargs: dict[str, Any]) -> Tensor:
    """The ids of the prompt, which are not the main input where that is embeddings or images."""
    ids = model_kwargs.get("input_ids")
    return inputs_tensor if ids is None or ids.shape[1] == 0 else ids
