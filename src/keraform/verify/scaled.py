"""Scaled configs: a class's own defaults with fewer heads, fewer layers and a small vocabulary.
Every width is divided by what the heads are, so that what is equal, or a multiple of something
else, stays so.

They take the place of the tiny configs (tiny.py), whose sizes all differ, where a class does not
allow that.
"""

from __future__ import annotations

import math
import re
from typing import Any

from transformers import PreTrainedConfig

from keraform.verify.tiny import defaults_of, size_of, special_tokens_of, sub_configs_of

HEADS = re.compile(r"((num|n|encoder|decoder)_)?(attention_)?heads?|num_key_value_heads")
WIDTH = re.compile(
    r"(.*_)?(hidden_size|d_model|n_embd|embed_dim|d_ff|ffn_dim|intermediate_size|mlp_dim|n_inner)"
    r"|((out|output|hidden)_)?dim"
)
SHRUNK = re.compile(
    r"vocab_size|(num_)?(hidden_|encoder_|decoder_|blocks_|mlp_)?layers|n_layers?|depths?"
    r"|max_position_embeddings|n_positions|sliding_window|num_(local_)?experts|n_routed_experts"
)


def scaled_config(
    config_class: type[PreTrainedConfig], ratio: int, **given: Any
) -> PreTrainedConfig:
    """The config with its heads and widths divided by `ratio`, but for what is given."""
    defaults = {**defaults_of(config_class), **given}
    subs = sub_configs_of(config_class)
    values = dict(given)
    for name, (part, part_given) in subs.items():
        values[name] = scaled_config(part, ratio, **part_given)
    for name, default in defaults.items():
        if name in given or name in subs:
            continue
        if SHRUNK.fullmatch(name):
            size = size_of(name, default, 0)
            if size is not None:
                values[name] = size
        elif HEADS.fullmatch(name) and isinstance(default, int):
            values[name] = max(1, default // ratio)
        elif WIDTH.fullmatch(name):
            values[name] = _divided(default, ratio)
    values.update(special_tokens_of(values, defaults))
    return config_class(**values)


def ratio_of(config_class: type[PreTrainedConfig]) -> int:
    """What leaves every part of a model at least two heads."""
    heads = _heads(config_class)
    if not heads:
        return 1
    common = math.gcd(*heads)
    return max(
        (n for n in range(1, common + 1) if common % n == 0 and min(heads) // n >= 2), default=1
    )


def _heads(config_class: type[PreTrainedConfig]) -> list[int]:
    own = [
        value
        for name, value in defaults_of(config_class).items()
        if HEADS.fullmatch(name) and "key_value" not in name and isinstance(value, int) and value
    ]
    for part, _ in sub_configs_of(config_class).values():
        own += _heads(part)
    return own


def _divided(value: Any, ratio: int) -> Any:
    if isinstance(value, list | tuple):
        return [_divided(each, ratio) for each in value]
    if isinstance(value, int) and not isinstance(value, bool) and value % ratio == 0:
        return value // ratio
    return value
