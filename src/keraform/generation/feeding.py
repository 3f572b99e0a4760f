"""How a model is called for token after token: with arguments that grow, or of fixed shapes."""

from __future__ import annotations

from typing import Any

from keras import ops
from transformers import GenerationConfig

from keraform.generation.preparation import CACHES, shortened
from keraform.generation.programs import Programs
from keraform.generation.room import bucket, can_be_padded, padded
from keraform.runtime.caches import Cache, DynamicCache, EncoderDecoderCache, LoopCache
from keraform.runtime.given import integer_dtype
from keraform.runtime.layers import Tensor
from keraform.runtime.outputs import ModelOutput

Arguments = dict[str, Any]


class Growing:
    """Calls as upstream makes them: masks, positions and caches are longer by a token each time.

    Args:
        model: the model.
        config: the options of the call.
    """

    def __init__(self, model: Any, config: GenerationConfig) -> None:
        self.model = model
        self.config = config

    def first(self, input_ids: Tensor, length: Any, arguments: Arguments) -> tuple[Any, Arguments]:
        """The call with the prompt, the first `length` tokens of `input_ids` [b, L].

        Returns:
            What the model gives, and the arguments of the next call.
        """
        outputs = self.model._prefill(
            input_ids[:, :length], self.config, arguments, is_first_iteration=True
        )
        return outputs, self._updated(outputs, arguments)

    def next(self, input_ids: Tensor, length: Any, arguments: Arguments) -> tuple[Any, Arguments]:
        """The call with what came since the last one; see `first`."""
        inputs = self.model.prepare_inputs_for_generation(
            input_ids[:, :length],
            next_sequence_length=1 if arguments.get("use_cache") else None,
            **arguments,
        )
        outputs = self.model(**inputs, return_dict=True)
        return outputs, self._updated(outputs, arguments)

    def several(
        self, input_ids: Tensor, start: int, count: int, arguments: Arguments
    ) -> tuple[Any, Arguments]:
        """The call with `count` tokens from `start` on, up to which the cache has them.

        Returns:
            What the model gives, with logits of the `count` tokens, and the arguments of the next
            call, which `back` makes those of a shorter text.
        """
        for _ in range(count - 1):
            arguments = self._updated(ModelOutput(), arguments)
        inputs = self.model.prepare_inputs_for_generation(
            input_ids[:, : start + count], next_sequence_length=count, **arguments
        )
        if "logits_to_keep" in inputs:
            inputs["logits_to_keep"] = count
        outputs = self.model(**inputs, return_dict=True)
        return outputs, self._updated(outputs, arguments)

    def back(self, arguments: Arguments, count: int) -> Arguments:
        """The arguments without the last `count` tokens, which also leave the cache."""
        _shorten_caches(arguments, count)
        arguments = {name: value for name, value in arguments.items() if name != "inputs_embeds"}
        return shortened(arguments, count, self.model.config.is_encoder_decoder)

    def _updated(self, outputs: Any, arguments: Arguments) -> Arguments:
        return self.model._update_model_kwargs_for_generation(
            outputs, dict(arguments), is_encoder_decoder=self.model.config.is_encoder_decoder
        )


class Fixed:
    """Calls that have the same shapes for every token, so that one graph serves them all.

    Keys and values have room for all tokens, and the mask covers that room. The prompt may be
    padded on its right: its padding is hidden from its tokens, and written over by those that come.

    Args:
        model: the model.
        prompt: the tokens of the (padded) prompt.
        total: the room for tokens.
        is_padded: whether the prompt may be padded on its right.
    """

    def __init__(self, model: Any, prompt: Any, total: Any, is_padded: bool = False) -> None:
        self.model = model
        self.prompt = prompt
        self.total = total
        self.is_padded = is_padded
        self._prefix = "decoder_" if model.config.is_encoder_decoder else ""

    def first(self, input_ids: Tensor, length: Any, arguments: Arguments) -> tuple[Any, Arguments]:
        """The call with the prompt, the first `length` tokens of `input_ids` [b, L].

        Returns:
            What the model gives, and the arguments of the next call.
        """
        given = {**arguments, **self._cache(arguments)}
        mask = given.get(self._prefix + "attention_mask")
        if mask is not None:
            rows = ops.shape(mask)[0]
            ones = ops.ones((rows, self.total - self.prompt), dtype=mask.dtype)
            given[self._prefix + "attention_mask"] = ops.concatenate([mask, ones], axis=-1)
        last = ops.reshape(ops.cast(length, integer_dtype()) - 1, (1,))
        if self.is_padded and "logits_to_keep" in given:
            given["logits_to_keep"] = last
        inputs = self.model.prepare_inputs_for_generation(
            input_ids[:, : self.prompt], is_first_iteration=True, **given
        )
        outputs = self.model(**inputs, return_dict=True)
        if self.is_padded and "logits_to_keep" not in given:
            outputs.logits = ops.take(outputs.logits, last, axis=1)
        if "logits_to_keep" in given:
            given["logits_to_keep"] = 1
        given = self._with_cache(outputs, given)
        if self.is_padded:
            _forget_padding(given, length)
        return outputs, self._positions_of_next(given, last)

    def next(self, input_ids: Tensor, length: Any, arguments: Arguments) -> tuple[Any, Arguments]:
        """The call with the token before `length`; see `first`."""
        last = ops.reshape(ops.cast(length, "int32") - 1, (1,))
        inputs = self.model.prepare_inputs_for_generation(
            ops.take(input_ids, last, axis=1), next_sequence_length=1, **arguments
        )
        outputs = self.model(**inputs, return_dict=True)
        given = self._with_cache(outputs, arguments)
        name = self._prefix + "position_ids"
        if given.get(name) is not None:
            given[name] = given[name] + 1
        return outputs, given

    def several(
        self, input_ids: Tensor, start: Any, count: int, arguments: Arguments
    ) -> tuple[Any, Arguments]:
        """The call with `count` tokens from `start` on; see `Growing.several`."""
        given = dict(arguments)
        name = self._prefix + "position_ids"
        steps = ops.arange(count, dtype=integer_dtype())
        if given.get(name) is not None:
            given[name] = given[name] + steps
        if "logits_to_keep" in given:
            given["logits_to_keep"] = count
        places = ops.cast(start, "int32") + ops.arange(count, dtype="int32")
        inputs = self.model.prepare_inputs_for_generation(
            ops.take(input_ids, places, axis=1), next_sequence_length=count, **given
        )
        outputs = self.model(**inputs, return_dict=True)
        given = self._with_cache(outputs, arguments)
        if given.get(name) is not None:
            given[name] = given[name] + count
        return outputs, given

    def back(self, arguments: Arguments, count: int) -> Arguments:
        """The arguments without the last `count` tokens; see `Growing.back`."""
        _shorten_caches(arguments, count)
        name = self._prefix + "position_ids"
        if arguments.get(name) is None:
            return arguments
        return {**arguments, name: arguments[name] - count}

    def _cache(self, arguments: Arguments) -> Arguments:
        """A cache with all room, in place of the one that would grow."""
        config = self.model.config.get_text_config(decoder=True)
        found: Arguments = {}
        for name in ("past_key_values", "cache_params"):
            if arguments.get(name) is not None:
                found[name] = LoopCache(config, self.total)
                if isinstance(arguments[name], EncoderDecoderCache):
                    encoders = DynamicCache(config=config)
                    found[name] = EncoderDecoderCache(found[name], encoders)
        return found

    def _with_cache(self, outputs: Any, arguments: Arguments) -> Arguments:
        found = {CACHES[name]: outputs[name] for name in CACHES if name in outputs}
        return {**arguments, **found}

    def _positions_of_next(self, arguments: Arguments, last: Tensor) -> Arguments:
        """Positions and types of tokens for the one behind `last`, in place of the prompt's."""
        found = dict(arguments)
        for name, following in (
            (self._prefix + "position_ids", lambda value: value + 1),
            ("token_type_ids", lambda value: value),
            ("mm_token_type_ids", ops.zeros_like),
        ):
            value = arguments.get(name)
            if value is not None:
                found[name] = following(ops.take(value, last, axis=-1))
        return found


class Compiled:
    """Calls of fixed shapes that are programs, with Python between them.

    Args:
        feeding: the calls.
        programs: where compiled ones are kept.
    """

    def __init__(self, feeding: Fixed, programs: Programs) -> None:
        self.feeding = feeding
        self.model = feeding.model
        self.programs = programs
        self._key = (feeding.prompt, feeding.total, feeding.is_padded)

    def first(self, input_ids: Tensor, length: Any, arguments: Arguments) -> tuple[Any, Arguments]:
        """See `Fixed.first`."""
        return self._run("first", self.feeding.first, input_ids, length, arguments)

    def next(self, input_ids: Tensor, length: Any, arguments: Arguments) -> tuple[Any, Arguments]:
        """See `Fixed.next`."""
        return self._run("next", self.feeding.next, input_ids, length, arguments)

    def several(
        self, input_ids: Tensor, start: Any, count: int, arguments: Arguments
    ) -> tuple[Any, Arguments]:
        """See `Fixed.several`; a call takes 1, 2, 4, ... tokens, so that few programs do."""
        taken = 1 << (count - 1).bit_length()

        def call(input_ids: Tensor, start: Any, arguments: Arguments) -> tuple[Any, Arguments]:
            return self.feeding.several(input_ids, start, taken, arguments)

        outputs, arguments = self._run(("several", taken), call, input_ids, start, arguments)
        return outputs, self.back(arguments, taken - count)

    def back(self, arguments: Arguments, count: int) -> Arguments:
        """See `Fixed.back`."""
        return self.feeding.back(arguments, count)

    def _run(
        self, name: Any, call: Any, input_ids: Tensor, place: Any, arguments: Arguments
    ) -> Any:
        def called(*given: Any) -> tuple[Any, Arguments]:
            outputs, arguments = call(*given)
            fields = {name: value for name, value in outputs.items() if name not in CACHES}
            return type(outputs)(**fields), arguments  # the cache is among the arguments

        place = ops.convert_to_tensor(place, "int32")
        return self.programs.run((name, self._key), called, (input_ids, place, arguments))


def fixed_for(
    model: Any, prompt: int, config: GenerationConfig, arguments: Arguments, more: int = 0
) -> tuple[Fixed, Arguments]:
    """Calls with room for all tokens, and `more`; in buckets where the prompt can be padded.

    Returns:
        The calls, and the arguments of the first, padded too.
    """
    can_pad = can_be_padded(model, arguments)
    size = bucket(prompt) if can_pad else prompt
    most = max(config.max_length + more, config.max_cache_len or 0)
    feeding = Fixed(model, size, bucket(size + most - prompt), is_padded=can_pad)
    return feeding, padded(arguments, size) if can_pad else arguments


def _caches(arguments: Arguments) -> list[Cache]:
    """The caches of the tokens themselves, not those of an encoder."""
    found = [value for value in arguments.values() if isinstance(value, Cache)]
    return [getattr(cache, "self_attention_cache", cache) for cache in found]


def _shorten_caches(arguments: Arguments, count: int) -> None:
    for cache in _caches(arguments):
        cache.crop(-count)


def _forget_padding(arguments: Arguments, length: Any) -> None:
    """Tells the cache that its last tokens were padding."""
    for cache in _caches(arguments):
        for layer in cache.layers:
            layer.cumulative_length = ops.cast(length, "int32")
