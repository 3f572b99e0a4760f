"""Tiny configurations: a config class's own defaults, shrunk by rules over the names of its fields
(`sizes`), with what has to be said by hand (`exceptions`).
"""

from __future__ import annotations

from typing import Any

from transformers import PreTrainedConfig
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from keraform.verify.tiny.by_class import by_class, split_overrides
from keraform.verify.tiny.exceptions import EXCEPTIONS
from keraform.verify.tiny.layers import consistent
from keraform.verify.tiny.parts import constants_of, defaults_of, sub_configs_of
from keraform.verify.tiny.sizes import NOT_LEFT_OUT, ROUND, size_of
from keraform.verify.tiny.special_tokens import special_tokens_of
from keraform.verify.tiny.widths import narrow

# Fields that have to be equal: the first follows the second. A name without a dot is the config's
# own, `*` is any part.
COUPLED: tuple[tuple[str, str], ...] = (
    ("*.out_hidden_size", "text_config.hidden_size"),
    ("*.text_hidden_size", "text_config.hidden_size"),
    ("vision_hidden_size", "vision_config.hidden_size"),
    ("*.adapter_out_dim", "text_config.hidden_size"),
    ("adaptor_config.hidden_size", "text_config.hidden_size"),
    ("head_config.audio_hidden_size", "audio_config.hidden_size"),
    ("flow_head_config.condition_dim", "hidden_size"),
    ("adapter_input_size", "hidden_size"),
    ("adapter_in_dim", "hidden_size"),
    ("vocab_size", "decoder_config.vocab_size"),
    ("upsample_groups", "hidden_size"),
    ("vision_config.fpn_hidden_size", "mask_decoder_config.hidden_size"),
    ("prompt_encoder_config.hidden_size", "mask_decoder_config.hidden_size"),
    ("decoder_config.cross_hidden_size", "encoder_config.hidden_size"),
    ("projector_config.encoder_hidden_size", "encoder_config.hidden_dim"),
    ("audio_config.output_dim", "text_config.hidden_size"),
)

# Composite models whose parts have to be equally wide.
SAME_WIDTH = frozenset({"t5gemma2", "tipsv2", "pix2struct"})


def tiny_config(model_type: str, class_name: str = "", **overrides: Any) -> PreTrainedConfig:
    """The tiny config of a model type, as `class_name` needs it."""
    return _shrink(CONFIG_MAPPING[model_type], 0, {**by_class(class_name), **overrides})


def shrink_config(
    config_class: type[PreTrainedConfig], class_name: str = "", **overrides: Any
) -> PreTrainedConfig:
    """Like `tiny_config`, for a config class (of a sub-model such as CLIP's text tower)."""
    return _shrink(config_class, 0, {**by_class(class_name), **overrides})


def round_config(
    config_class: type[PreTrainedConfig], class_name: str = "", **overrides: Any
) -> PreTrainedConfig:
    """Like `shrink_config`, with heads of eight, none of them grouped, and parts of one width: for
    models that rotate by two axes, whose heads share nothing, or whose parts feed each other as
    they are.
    """
    return _shrink(config_class, 0, {**by_class(class_name), **overrides}, rounded=True)


def _shrink(
    config_class: type[PreTrainedConfig],
    salt: int,
    overrides: dict[str, Any],
    given: dict[str, Any] | None = None,
    rounded: bool = False,
    said: dict[str, Any] | None = None,
) -> PreTrainedConfig:
    """A tiny config; `given` stands in place of the class's own defaults, and `said` are exceptions
    of the composite that it is a part of.
    """
    own = defaults_of(config_class)
    given = dict(given or {})
    stages = _tiny_stages(given, own)
    keeps_stages = stages is not None and "depths" in own
    rows = () if keeps_stages else EXCEPTIONS.get(config_class.model_type, ())
    own_rows, rows_of_parts = split_overrides({name: value for name, value, _ in rows})
    exceptions = own_rows | (stages or {}) | (said or {})
    defaults = {**own, **given}
    values: dict[str, Any] = dict(given)
    subs = sub_configs_of(config_class)
    overrides, inner = split_overrides(overrides)
    step = 0 if rounded or config_class.model_type in SAME_WIDTH else 1
    for order, (name, (sub, sub_given)) in enumerate(subs.items()):
        values[name] = _shrink(
            sub,
            salt + step * order,
            inner.get(name, {}),
            sub_given,
            rounded,
            rows_of_parts.get(name),
        )
    # What is rotated has to have even heads, of which there are four; round ones are of eight.
    width = 2 if rounded else 2 * salt if "rope_parameters" in own else salt
    for name, default in defaults.items():
        if name in exceptions:
            value = exceptions[name]
            values[name] = (
                _nested(value, salt) if isinstance(value, dict) and "model_type" in value else value
            )
        elif rounded and name in ROUND and (isinstance(default, int) or name in NOT_LEFT_OUT):
            values[name] = ROUND[name]
        elif name not in subs:
            size = size_of(name, default, width)
            size = narrow(name, default) if size is None else size
            if size is not None:
                values[name] = size
    values.update({name: value for name, value in exceptions.items() if name not in defaults})
    values.update({k: value(values) for k, value in values.items() if callable(value)})
    _couple(values, defaults)
    values.update(special_tokens_of(values, defaults))
    values.update(overrides)
    config = consistent(config_class, values)
    filled = {
        name: size
        for name, constant in constants_of(config_class, config).items()
        if name not in values and (size := narrow(name, constant)) is not None
    }
    return consistent(config_class, {**values, **filled}) if filled else config


def _nested(value: dict[str, Any], salt: int) -> PreTrainedConfig:
    given = {key: entry for key, entry in value.items() if key != "model_type"}
    return _shrink(CONFIG_MAPPING[value["model_type"]], salt, given)


def _tiny_stages(given: dict[str, Any], own: dict[str, Any]) -> dict[str, Any] | None:
    """For a backbone whose stages are its layers: as many layers as a composite takes outputs of.

    Args:
        given: what the composite asks of the backbone.
        own: the backbone's defaults.

    Returns:
        The fields to set, None where no outputs are asked for.
    """
    taken = given.get("out_indices") or given.get("out_features")
    if not taken:
        return None
    if "num_hidden_layers" not in own or "depths" in own:
        return {}
    numbers = range(1, len(taken) + 1)
    moved = {"out_indices": [*numbers], "out_features": [f"stage{number}" for number in numbers]}
    return {"num_hidden_layers": len(taken)} | {k: v for k, v in moved.items() if k in given}


def _couple(values: dict[str, Any], defaults: dict[str, Any]) -> None:
    """Make equal what has to be."""
    for target, source in COUPLED:
        owner, _, field = source.rpartition(".")
        value = getattr(values.get(owner), field, None) if owner else values.get(field)
        wanted, _, name = target.rpartition(".")
        if value is None:
            continue
        if not wanted and name in defaults:
            values[name] = value
        for part_name, part in values.items():
            if wanted in ("*", part_name) and isinstance(part, PreTrainedConfig):
                if hasattr(part, name):
                    setattr(part, name, value)
