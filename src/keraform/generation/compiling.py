"""Decoding as compiled programs: what is padded to which size, and room that doubles."""

from __future__ import annotations

from typing import Any

from keras import ops
from transformers import GenerationConfig

from keraform.generation import running
from keraform.generation.feeding import Arguments, Fixed, Programmed
from keraform.generation.preparation import encoder_arguments, pad_token
from keraform.generation.programs import programs_of, with_constants
from keraform.generation.room import (
    bucket,
    can_be_cut,
    can_be_padded,
    encoder_can_be_padded,
    fitted,
    is_plain,
    positions_of,
    room_for,
    scans,
    whole_part,
    widened,
    with_mask,
)
from keraform.generation.sampling import State
from keraform.runtime.caches import CacheLayerMixin, LoopCache
from keraform.runtime.layers import Tensor


def can_be_compiled(model: Any) -> bool:
    """Whether a model's calls can be programs: its cache has a form of fixed shapes, and upstream
    says that its graph is whole (or its decoder's, of two models in one), or it only scans.

    Attention that upstream does not say this of may take the room of a cache for its length, and
    look at tokens that are not there yet, as GPT-Neo's does.
    """
    layers = LoopCache.layer_classes(model.config)
    if None in layers:
        return False
    parts = (model, getattr(model, "decoder", None))
    is_whole = any(getattr(part, "_can_compile_fullgraph", False) for part in parts)
    return is_whole or not any(issubclass(layer, CacheLayerMixin) for layer in layers)


def run(
    model: Any,
    way: type,
    input_ids: Tensor,
    rules: Any,
    config: GenerationConfig,
    arguments: Arguments,
    seed: Tensor,
    stepwise: bool,
    seen: running.Seen,
) -> State:
    """Runs a way of decoding as compiled programs.

    Args:
        model: the model.
        way: its class.
        input_ids: [b, n], the prompt (int32).
        rules: the processors and criteria.
        config: the options of the call.
        arguments: of the model's first call.
        seed: [2].
        stepwise: whether the steps are watched, so that each is a program of its own.
        seen: told of each step then, and where processors or criteria need Python.
    """
    prompt = input_ids.shape[1]
    layers = LoopCache.layer_classes(model.config)
    padded_to, is_padded, is_cut, arguments = _laid_out(model, layers, input_ids, arguments)
    size = whole_part(prompt) if is_cut else padded_to
    new = config.max_new_tokens
    most = padded_to + new if new else max(padded_to, config.max_length)
    most = bucket(max(most, config.max_cache_len or 0))
    grows = hasattr(way, "widened") and all(is_plain(layer) for layer in layers)
    room = room_for(padded_to, most) if grows else most
    embeds = None if model.config.is_encoder_decoder else arguments.get("inputs_embeds")
    ahead = 0 if embeds is None else embeds.shape[1] - prompt
    feeding = Fixed(model, size, room, is_padded, is_cut, ahead)
    looked_at = rules.looked_at()
    if is_padded or is_cut:
        arguments, looked_at = fitted(arguments, size), fitted(looked_at, size)
    tokens = widened(input_ids, room, pad_token(config) or 0)
    lengths = (prompt, config.max_length)
    rest = (with_constants(arguments), seed, looked_at)
    programs, key = programs_of(model), ((way.__name__, rules.key()), size, room)

    def widen(state: State) -> State | None:
        if room == most or not bool(method.is_full(state)):
            return None
        return method.widened(state, room_for(state["input_ids"].shape[1], most))

    if not rules.in_graph():
        method = way(Programmed(feeding, programs, key[1:]), config, rules)
        return running.step_by_step(method, (tokens, *lengths, *rest), seen, widen)
    method = way(feeding, config, rules)
    start = (tokens, *(ops.convert_to_tensor(each, "int32") for each in lengths), *rest)
    if stepwise:
        return running.step_by_step(running.Compiled(method, programs, key), start, seen, widen)
    return running.compiled(method, start, programs, key, widen)


def _laid_out(
    model: Any, layers: list[type], input_ids: Tensor, arguments: Arguments
) -> tuple[int, bool, bool, Arguments]:
    """The tokens that a prompt has room for, whether it is padded to them, whether it is cut, and
    the arguments of its call, which have a mask wherever programs can share one.
    """
    prompt = input_ids.shape[1]
    if model.config.is_encoder_decoder:
        return prompt, False, False, arguments
    is_padded, is_cut = can_be_padded(layers, arguments), can_be_cut(layers, arguments)
    if not any(scans(layer) for layer in layers):
        arguments = with_mask(model, input_ids, arguments)
    room = bucket(prompt, positions_of(model)) if is_padded or is_cut else prompt
    return room, is_padded, is_cut, arguments


def with_all_room(
    model: Any, input_ids: Tensor, config: GenerationConfig, arguments: Arguments, more: int
) -> tuple[Programmed, Arguments]:
    """Compiled calls with room for all tokens at once, and `more`, and the first one's arguments.

    Args:
        model: the model, of which `can_be_compiled`, and which only looks back.
        input_ids: [b, n], the prompt.
        config: the options of the call.
        arguments: of the first call.
        more: tokens beyond `max_length` that may be tried.
    """
    layers = LoopCache.layer_classes(model.config)
    size, is_padded, _, arguments = _laid_out(model, layers, input_ids, arguments)
    if is_padded:
        arguments = fitted(arguments, size)
    most = max(config.max_length + more, config.max_cache_len or 0)
    room = bucket(size + most - input_ids.shape[1])
    calls = Programmed(Fixed(model, size, room, is_padded), programs_of(model), (size, room))
    return calls, with_constants(arguments)


def encoded(
    model: Any, inputs: Tensor, arguments: Arguments, name: str, config: GenerationConfig
) -> Arguments:
    """The arguments with `encoder_outputs`, of an encoder that runs as a compiled program; ids are
    padded on the right, and the mask with them.

    Args:
        model: an encoder-decoder.
        inputs: the encoder's main input.
        arguments: the model's.
        name: the argument that takes `inputs`.
        config: the options of the call.
    """
    given = encoder_arguments(model, arguments)
    if name == "input_ids" and encoder_can_be_padded(model, given):
        mask = given.get("attention_mask")
        mask = ops.ones_like(inputs) if mask is None else mask
        size = bucket(inputs.shape[1], positions_of(model))
        inputs = widened(inputs, size, pad_token(config) or 0)
        arguments = {**arguments, "attention_mask": widened(mask, size, 0)}
        given["attention_mask"] = arguments["attention_mask"]

    def encode(inputs: Tensor, given: Arguments) -> Any:
        prepared = model._prepare_text_encoder_decoder_kwargs_for_generation(
            inputs, dict(given), name, config
        )
        return prepared["encoder_outputs"]

    outputs = programs_of(model).run(("encoder", name), encode, (inputs, given))
    return {**arguments, "encoder_outputs": outputs}
