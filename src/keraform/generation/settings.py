"""The options of `generate`: merged as upstream merges them, or refused by name."""

from __future__ import annotations

import copy
import warnings
from typing import Any

from transformers import GenerationConfig
from transformers.generation.configuration_utils import GenerationMode

from keraform.errors import explain

# Modes that Transformers itself no longer has in v5.
_GONE = {
    GenerationMode.GROUP_BEAM_SEARCH: ("num_beam_groups", "num_beams without groups"),
    GenerationMode.CONSTRAINED_BEAM_SEARCH: ("constraints or force_words_ids", "sequence_bias"),
    GenerationMode.DOLA_GENERATION: ("dola_layers", "contrastive search (penalty_alpha, top_k)"),
}
# Options that no mode here heeds: the values that ask for nothing, and what to use instead.
_UNHEEDED: dict[str, tuple[tuple[Any, ...], str]] = {
    "use_mtp": ((None, False), "prompt_lookup_num_tokens or an assistant_model"),
    "assistant_early_exit": ((None,), "an assistant_model"),
    "speculation_type": ((None,), "prompt_lookup_num_tokens or an assistant_model"),
    "low_memory": ((None, False), "fewer rows or beams a call"),
    "cache_config": ((None,), 'cache_implementation="static" or "dynamic"'),
    "continuous_batching_config": ((None,), "one call for each batch"),
    "diversity_penalty": ((None, 0.0), "do_sample=True with num_beams"),
    "cache_implementation": (
        (None, "dynamic", "static", "hybrid", "sliding_window"),
        'cache_implementation="static" or "dynamic"',
    ),
}


def merged(model: Any, given: GenerationConfig | None, options: dict[str, Any]) -> tuple[Any, dict]:
    """The configuration of a call, and the arguments that are for the model.

    What the caller gives comes first, then the model's own `generation_config`, then the defaults.

    Args:
        model: the model that generates.
        given: the caller's configuration.
        options: all keyword arguments of `generate`.
    """
    config = copy.deepcopy(given) if given is not None else type(model.generation_config)()
    own = model.generation_config
    config.update(**own.to_dict(), defaults_only=True, allow_custom_entries=True)
    config.update(**own._get_default_generation_params(), defaults_only=True)
    rest = config.update(**options)
    for name in ("output_attentions", "output_hidden_states"):
        if getattr(config, name):
            rest[name] = True
    return config, rest


def mode_of(config: GenerationConfig, assistant_model: Any = None) -> GenerationMode:
    """The way of decoding that a configuration asks for.

    Raises:
        NotImplementedError: an option that nothing here heeds; its name is in the message.
    """
    mode = config.get_generation_mode(assistant_model)
    if mode in _GONE:
        names, instead = _GONE[mode]
        raise NotImplementedError(
            explain(
                "a way of decoding that Transformers has in version 5",
                f"{names}, which ask for {mode.value}",
                instead,
            )
        )
    for name, (unasked, instead) in _UNHEEDED.items():
        value = getattr(config, name, None)
        if value not in unasked:
            raise NotImplementedError(
                explain("options that Keraform heeds", f"{name}={value!r}", instead)
            )
    return mode


def has_default(name: str, given: GenerationConfig | None, own: Any, options: dict) -> bool:
    """Whether nobody set the length `name` (`max_length`, `min_length`)."""
    return (
        options.get(name) is None
        and (given is None or getattr(given, name) is None)
        and getattr(own, name) is None
    )


def check_lengths(config: GenerationConfig, prompt: int, is_default: bool, argument: str) -> None:
    """Warns of lengths that contradict each other, and refuses a prompt without room behind it.

    Args:
        config: with `max_length` and `min_length` as totals.
        prompt: the tokens there are.
        is_default: whether `max_length` is the default.
        argument: the name of the prompt's argument.

    Raises:
        ValueError: the prompt is as long as `max_length`.
    """
    if is_default and config.max_new_tokens is None:
        warnings.warn(
            f"Neither max_new_tokens nor max_length was given: generate() stops at "
            f"{config.max_length} tokens. Pass max_new_tokens.",
            UserWarning,
            stacklevel=3,
        )
    if prompt >= config.max_length:
        raise ValueError(
            explain(
                f"{argument} of fewer than max_length={config.max_length} tokens",
                f"{prompt} tokens",
                "generate(..., max_new_tokens=20)",
            )
        )
    for name, least in (
        ("min_length", config.min_length),
        ("min_new_tokens", config.min_new_tokens and config.min_new_tokens + prompt),
    ):
        if least and least > config.max_length:
            warnings.warn(
                f"{name} asks for {least} tokens in all, which is more than max_length="
                f"{config.max_length}: generation stops there.",
                UserWarning,
                stacklevel=3,
            )
