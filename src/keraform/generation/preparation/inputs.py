"""Inputs of a call: ids, masks, positions, encoders; and rows of them for beams."""

from __future__ import annotations

import inspect
import itertools
from typing import Any, ClassVar

import numpy as np
from keras import ops
from transformers import GenerationConfig

from keraform.errors import explain
from keraform.generation.preparation.special_tokens import eos_tokens
from keraform.runtime.given import integer_dtype
from keraform.runtime.layers import Tensor
from keraform.runtime.tracing import is_known

_NOT_THE_ENCODERS = ("decoder_", "cross_attn", "use_cache", "past_key_values", "cache_params")


def repeated(value: Any, times: int, axis: int = 0) -> Any:
    """A tensor with each row `times` times, one after the other; what is no tensor stays."""
    return ops.repeat(value, times, axis=axis) if ops.is_tensor(value) else value


class Inputs:
    """The hooks of `GenerationMixin` about inputs, under upstream's names."""

    config: Any
    main_input_name: ClassVar[str]

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
        if self._supports_mm_encoder_outputs():
            return self._prepare_multimodal_encoder_kwargs_for_generation(model_kwargs)
        return model_kwargs

    def _supports_mm_encoder_outputs(self) -> bool:
        """Whether the model takes images and videos that were encoded before its first call."""
        return "mm_encoder_outputs" in arguments_of(self)

    def _prepare_multimodal_encoder_kwargs_for_generation(
        self, model_kwargs: dict[str, Any]
    ) -> dict[str, Any]:
        """Adds `mm_encoder_outputs`, what the encoders of images and videos give, by modality."""
        encoded = dict(model_kwargs.get("mm_encoder_outputs") or {})
        read: set[str] = set()
        for modality in ("image", "video"):
            encode = getattr(self.base_model, f"get_{modality}_features", None)  # type: ignore[attr-defined]
            if modality not in self.input_modalities or encode is None:
                continue
            taken = set(inspect.signature(encode).parameters) - {"kwargs"}
            given = {name: model_kwargs[name] for name in taken if name in model_kwargs}
            read |= given.keys()
            if any(name.startswith(("pixel_values", "image_patches")) for name in given):
                if encoded.get(modality) is not None:
                    raise ValueError(
                        explain(
                            f"pixels or encoder outputs of the {modality}",
                            "both",
                            "generate() without mm_encoder_outputs",
                        )
                    )
                encoded[modality] = encode(**given, return_dict=True)
        rest = {name: value for name, value in model_kwargs.items() if name not in read}
        return {**rest, "mm_encoder_outputs": encoded}

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
        arguments = arguments_of(encoder)
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
        encoded = model_kwargs.get("mm_encoder_outputs")
        if encoded:
            model_kwargs["mm_encoder_outputs"] = {
                modality: self._expanded_rows(modality, output, input_ids, expand_size)
                for modality, output in encoded.items()
            }
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

    def _expanded_rows(
        self, modality: str, output: Any, input_ids: Tensor | None, times: int
    ) -> Any:
        """The features of all images (or videos) of a row, `times` times, before the next row's.

        A row's images are those that fill its places for them (`config.image_token_id`).
        """
        features = getattr(output, "pooler_output", None)
        if features is None or input_ids is None:
            return output
        token = getattr(self.config, f"{modality}_token_id")
        places = np.asarray(ops.convert_to_numpy(ops.sum(input_ids == token, axis=-1)))
        ends = np.cumsum([0, *(len(each) for each in features)])
        bounds = [int(np.searchsorted(ends, end)) for end in np.cumsum([0, *places])]

        def expanded(values: Any) -> list[Any]:
            rows = [list(values[first:last]) for first, last in itertools.pairwise(bounds)]
            return [each for row in rows for each in row * times]

        found = dict(output.items())
        found["pooler_output"] = (
            ops.stack(expanded(features)) if ops.is_tensor(features) else expanded(features)
        )
        deep = found.get("deepstack_features")
        if deep is not None and ops.is_tensor(deep[0][0]):
            found["deepstack_features"] = [expanded(each) for each in deep]
        return type(output)(**found)


def encoder_arguments(model: Any, arguments: dict[str, Any]) -> dict[str, Any]:
    """Those arguments of an encoder-decoder that its encoder takes."""
    taken = arguments_of(model.get_encoder())
    return {
        key: value
        for key, value in arguments.items()
        if not key.startswith(_NOT_THE_ENCODERS) and (_takes_all(taken) or key in taken)
    }


def _takes_all(arguments: list[str]) -> bool:
    return bool({"kwargs", "model_kwargs"} & set(arguments))


def arguments_of(part: Any) -> list[str]:
    """The names of the arguments of a model or layer."""
    return list(inspect.signature(part.call).parameters)


def _tokens(inputs_tensor: Tensor, model_kwargs: dict[str, Any]) -> Tensor:
    """The ids of the prompt, which are not the main input where that is embeddings or images."""
    ids = model_kwargs.get("input_ids")
    return inputs_tensor if ids is None or ids.shape[1] == 0 else ids
