"""Scaled configs: a class's own defaults with fewer and smaller heads, fewer layers and a small
vocabulary. All widths are divided by one number, so that what is equal, or a multiple of something
else, stays so.

They take the place of the tiny configs (`shrink`), whose sizes all differ, where a class does not
allow that.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedConfig

from keraform.verify.tiny.by_class import split_overrides
from keraform.verify.tiny.exceptions import EXCEPTIONS
from keraform.verify.tiny.layers import consistent
from keraform.verify.tiny.parts import defaults_of, sub_configs_of
from keraform.verify.tiny.sizes import size_of
from keraform.verify.tiny.special_tokens import special_tokens_of
from keraform.verify.tiny.widths import divided, is_width, numbers

HEADS = re.compile(r"(.*_)?heads|n_head")
HEAD = re.compile(r"(.*_)?(head_dim|head_size|dim_head|d_kv|d_head|kv_channels|rotary_dim)")
SHRUNK = re.compile(
    r"(.*_)?vocab_size(_.*)?|(num_)?(hidden_|encoder_|decoder_|blocks_|mlp_)?layers|n_layers?|depths?"
    r"|max_position_embeddings|n_positions|sliding_window|num_(local_)?experts|n_routed_experts"
    r"|num_queries|attention_chunk_size|num_experts_per_tok|n_group|topk_group"
    r"|num_denoising"
)
PATCHES = 4  # a side of a small image
IMAGE = 64  # where there are no patches
NARROWEST = 8
WIDE = 64  # a narrower width need not be divisible
WIDEST_DIVISOR = 64


@dataclass(frozen=True)
class Ratio:
    """What sizes are divided by.

    Args:
        heads: the numbers of heads.
        widths: all widths; the size of a head by `widths // heads`.
        images: whether images are small too.
    """

    heads: int
    widths: int
    images: bool = False


def scaled_config(
    config_class: type[PreTrainedConfig], ratio: Ratio, **given: Any
) -> PreTrainedConfig:
    """The config with its heads and widths divided by `ratio`, but for what is given."""
    own = defaults_of(config_class)
    given, inner = split_overrides({**_needed(config_class, own), **given})
    defaults = {**own, **given}
    subs = sub_configs_of(config_class)
    values = dict(given)
    for name, (part, part_given) in subs.items():
        values[name] = scaled_config(part, ratio, **{**part_given, **inner.get(name, {})})
    for name, default in defaults.items():
        if name in given or name in subs:
            continue
        if SHRUNK.fullmatch(name):
            size = size_of(name, default, 0)
            if size is not None:
                values[name] = size
        elif name == "image_size" and ratio.images and isinstance(default, int):
            patch = defaults.get("patch_size")
            values[name] = min(default, PATCHES * patch if isinstance(patch, int) else IMAGE)
        elif HEADS.fullmatch(name):
            values[name] = divided(default, ratio.heads, 1)
        elif HEAD.fullmatch(name):
            values[name] = divided(default, ratio.widths // ratio.heads, 2)
        elif is_width(name):
            values[name] = divided(default, ratio.widths, 1)
    values.update(special_tokens_of(values, defaults))
    return consistent(config_class, values)


def _needed(config_class: type[PreTrainedConfig], own: dict[str, Any]) -> dict[str, Any]:
    """What has to be said by hand since the class gives no default."""
    rows = EXCEPTIONS.get(config_class.model_type, ())
    return {name: value for name, value, _ in rows if own.get(name) is None and not callable(value)}


def ratios_of(config_class: type[PreTrainedConfig]) -> list[Ratio]:
    """The ratios to try, the largest first: what leaves every part of a model at least two heads,
    with heads of at least eight and small images, then with whole images, then with whole heads,
    then without a change.
    """
    heads, widths = _sizes(config_class)
    common = math.gcd(*heads) if heads else 1
    fewer = max((n for n in range(1, common + 1) if _leaves_two(heads, common, n)), default=1)
    powers = (2**n for n in range(7))
    narrower = max(
        (
            n
            for n in powers
            if fewer * n <= WIDEST_DIVISOR
            and all(w % (fewer * n) == 0 and w // (fewer * n) >= NARROWEST for w in widths)
        ),
        default=1,
    )
    found = [
        Ratio(fewer, fewer * narrower, images=True),
        Ratio(fewer, fewer * narrower),
        Ratio(fewer, fewer),
        Ratio(1, 1),
    ]
    return list(dict.fromkeys(found))


def _leaves_two(heads: list[int], common: int, divisor: int) -> bool:
    return common % divisor == 0 and min(heads, default=2) // divisor >= 2


def _sizes(config_class: type[PreTrainedConfig]) -> tuple[list[int], list[int]]:
    """Numbers of heads, and sizes that are divided by more than these: widths for each head, and
    widths of what has no heads.
    """
    defaults = defaults_of(config_class)
    heads = [
        number
        for name, value in defaults.items()
        if HEADS.fullmatch(name) and "key_value" not in name
        for number in numbers(value)
        if number
    ]
    widths = [
        number
        for name, value in defaults.items()
        if is_width(name)
        for number in numbers(value)
        if number >= WIDE
    ]
    for part, _ in sub_configs_of(config_class).values():
        part_heads, part_widths = _sizes(part)
        heads, widths = heads + part_heads, widths + part_widths
    return heads, widths
