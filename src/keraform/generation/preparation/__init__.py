"""What `generate` makes of its arguments: upstream's hooks, which models override one by one."""

from keraform.generation.preparation.calls import (
    ALL_CACHE_NAMES,
    CACHES,
    Calls,
    inputs_of_the_prompt,
    shortened,
)
from keraform.generation.preparation.inputs import Inputs, encoder_arguments
from keraform.generation.preparation.options import Options
from keraform.generation.preparation.special_tokens import eos_tokens, pad_token

__all__ = [
    "ALL_CACHE_NAMES",
    "CACHES",
    "Preparation",
    "encoder_arguments",
    "eos_tokens",
    "inputs_of_the_prompt",
    "pad_token",
    "shortened",
]


class Preparation(Options, Inputs, Calls):
    """The hooks of `GenerationMixin`, under upstream's names and with upstream's meanings."""
