"""Which attention and which experts a model computes with, checked when it is built."""

from __future__ import annotations

from transformers import PreTrainedConfig

from keraform.errors import explain
from keraform.runtime.attention import ALL_ATTENTION_FUNCTIONS

_DEFAULT = "eager"


def choose_implementations(config: PreTrainedConfig) -> None:
    """Sets what was left open to "eager", and refuses what Keraform does not have.

    Args:
        config: The configuration; changed in place, as upstream does.
    """
    chosen = config._attn_implementation
    if chosen is None:
        config._attn_implementation_internal = _DEFAULT
    elif chosen != _DEFAULT and chosen not in ALL_ATTENTION_FUNCTIONS:
        known = ", ".join(sorted({_DEFAULT, *ALL_ATTENTION_FUNCTIONS}))
        raise ValueError(
            explain(
                f"an attention implementation out of {known}",
                f"attn_implementation={chosen!r} for {config.model_type}",
                'from_pretrained(..., attn_implementation="eager")',
            )
        )
    if getattr(config, "_experts_implementation", None) is None:
        config._experts_implementation_internal = _DEFAULT
