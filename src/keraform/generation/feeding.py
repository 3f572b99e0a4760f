"""How a model is called, token after token: with arguments that grow, or of fixed shapes."""

from __future__ import annotations

from typing import Any

from keras import ops
from transformers import GenerationConfig

from keraform.generation.loops import looped
from keraform.generation.preparation import CACHES
from keraform.generation.programs import Programs, without_constants
from keraform.generation.room import widened
from keraform.runtime.caches import (
    Cache,
    DynamicCache,
    EncoderDecoderCache,
    LoopCache,
    StaticLayer,
)
from keraform.runtime.given import integer_dtype
from keraform.runtime.layers import Tensor

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

    def _updated(self, outputs: Any, arguments: Arguments) -> Arguments:
        return self.model._update_model_kwargs_for_generation(
            outputs, dict(arguments), is_encoder_decoder=self.model.config.is_encoder_decoder
        )


class Fixed:
    """Calls that have the same shapes for every token, so that one graph serves them all.

    Keys and values have room for all tokens, and the mask covers that room. A prompt of another
    length than `prompt` is either padded on its right up to that: the padding is hidden from its
    tokens, and written over by those that come; or it is longer, and the tokens behind the first
    `prompt` are taken one by one.

    Args:
        model: the model.
        prompt: how many tokens the first call gets.
        total: the room for tokens.
        is_padded: whether the prompt may be shorter, padded on its right.
        is_cut: whether it may be longer.
        ahead: how many embeddings come first that no ids stand for.
    """

    def __init__(
        self,
        model: Any,
        prompt: Any,
        total: Any,
        is_padded: bool = False,
        is_cut: bool = False,
        ahead: int = 0,
    ) -> None:
        self.model = model
        self.prompt = prompt
        self.total = total
        self.is_padded = is_padded
        self.is_cut = is_cut
        self.ahead = ahead
        self._prefix = "decoder_" if model.config.is_encoder_decoder else ""

    def first(self, input_ids: Tensor, length: Any, arguments: Arguments) -> tuple[Any, Arguments]:
        """The call with the prompt, the first `length` tokens of `input_ids` [b, L].

        Returns:
            What the model gives, and the arguments of the next call.
        """
        given = without_constants({**arguments, **self._cache(arguments)})
        given = self._with_mask(given, self.total)
        at_first = self.prompt if self.is_cut else length
        last = ops.reshape(ops.cast(at_first, integer_dtype()) + self.ahead - 1, (1,))
        if self.is_padded and "logits_to_keep" in given:
            given["logits_to_keep"] = last
        inputs = self.model.prepare_inputs_for_generation(
            input_ids[:, : self.prompt],
            is_first_iteration=True,
            **self._without_padding(given, length),
        )
        outputs = self.model(**inputs, return_dict=True)
        if self.is_padded and "logits_to_keep" not in given:
            outputs.logits = ops.take(outputs.logits, last, axis=1)
        if "logits_to_keep" in given:
            given["logits_to_keep"] = 1
        given = self._with_cache(outputs, given)
        if self.is_padded:
            _forget_padding(given, length)
        given = self._positions_of_next(given, last)
        if self.is_cut:
            return self._rest(input_ids, length, outputs, given)
        return _without_cache(outputs), given

    def _rest(
        self, input_ids: Tensor, length: Any, outputs: Any, arguments: Arguments
    ) -> tuple[Any, Arguments]:
        """The calls with what the first one left of the prompt, token by token."""

        def go_on(state: tuple[Any, Tensor, Arguments]) -> tuple[Any, Tensor, Arguments]:
            taken, _, arguments = state
            outputs, arguments = self.next(input_ids, taken + 1, arguments)
            return taken + 1, outputs.logits[:, -1:], arguments

        state = (ops.convert_to_tensor(self.prompt, "int32"), outputs.logits[:, -1:], arguments)
        _, logits, arguments = looped(lambda state: state[0] < length, go_on, state)
        return type(outputs)(logits=logits), arguments

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
        return _without_cache(outputs), given

    def widened(self, arguments: Arguments, total: int) -> Arguments:
        """The arguments of the next call with room for `total` tokens."""
        for layer in _own_layers(arguments):
            if isinstance(layer, StaticLayer):
                layer.grow(total + self.ahead)
        return self._with_mask(arguments, total)

    def _with_mask(self, arguments: Arguments, total: Any) -> Arguments:
        """A mask that covers `total` tokens, if there is one and keys have that room."""
        name = self._prefix + "attention_mask"
        has_room = any(isinstance(layer, StaticLayer) for layer in _own_layers(arguments))
        if arguments.get(name) is None or not has_room:
            return arguments
        return {**arguments, name: widened(arguments[name], total + self.ahead, 1)}

    def _without_padding(self, arguments: Arguments, length: Any) -> Arguments:
        """The first call's arguments, with a mask that hides what is behind `length` tokens also
        from those before it, where attention looks ahead.
        """
        mask = arguments.get(self._prefix + "attention_mask")
        if mask is None or not self.is_padded:
            return arguments
        is_token = ops.arange(self.total, dtype="int32") < length
        hidden = ops.where(ops.expand_dims(is_token, 0), mask, ops.zeros_like(mask))
        return {**arguments, self._prefix + "attention_mask": hidden}

    def _cache(self, arguments: Arguments) -> Arguments:
        """A cache with all room, in place of the one that would grow."""
        config = self.model.config.get_text_config(decoder=True)
        found: Arguments = {}
        for name in ("past_key_values", "cache_params"):
            if arguments.get(name) is not None:
                found[name] = LoopCache(config, self.total + self.ahead)
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


class Programmed:
    """Calls of fixed shapes, each of which is a compiled program.

    Args:
        feeding: the calls.
        programs: the model's programs.
        key: what the first call depends on besides its arguments.
    """

    def __init__(self, feeding: Fixed, programs: Programs, key: Any) -> None:
        self.feeding = feeding
        self.programs = programs
        self.key = key
        self.widened = feeding.widened

    def first(self, input_ids: Tensor, length: Any, arguments: Arguments) -> tuple[Any, Arguments]:
        """The call with the prompt; see `Fixed.first`."""
        given = (input_ids, ops.convert_to_tensor(length, "int32"), arguments)
        return self.programs.run(("first call", self.key), self.feeding.first, given)

    def next(self, input_ids: Tensor, length: Any, arguments: Arguments) -> tuple[Any, Arguments]:
        """The call with the token before `length`."""
        given = (input_ids, ops.convert_to_tensor(length, "int32"), arguments)
        return self.programs.run("next call", self.feeding.next, given)


def _without_cache(outputs: Any) -> Any:
    """Outputs without the cache, which is among the arguments of the next call."""
    return type(outputs)(**{name: value for name, value in outputs.items() if name not in CACHES})


def _own_layers(arguments: Arguments) -> list[Any]:
    """The layers of the caches of a model's own tokens, not of an encoder's."""
    caches = [value for value in arguments.values() if isinstance(value, Cache)]
    return [
        layer for cache in caches for layer in getattr(cache, "self_attention_cache", cache).layers
    ]


def _forget_padding(arguments: Arguments, length: Any) -> None:
    """Tells the cache that its last tokens were padding."""
    for layer in _own_layers(arguments):
        if isinstance(layer, StaticLayer):
            layer.forget_after(length)
