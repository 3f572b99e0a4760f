"""Tiny configurations: what a class's own defaults are shrunk to, so that its model runs in
milliseconds.

`shrink` makes those whose sizes all differ, `scaled` those whose widths are all divided by one
number.
"""

from keraform.verify.tiny.by_class import by_class
from keraform.verify.tiny.exceptions import EXCEPTIONS
from keraform.verify.tiny.scaled import ratios_of, scaled_config
from keraform.verify.tiny.shrink import round_config, shrink_config, tiny_config
from keraform.verify.tiny.special_tokens import SPECIAL
from keraform.verify.tiny.variants import VARIANTS

__all__ = [
    "EXCEPTIONS",
    "SPECIAL",
    "VARIANTS",
    "by_class",
    "ratios_of",
    "round_config",
    "scaled_config",
    "shrink_config",
    "tiny_config",
]
