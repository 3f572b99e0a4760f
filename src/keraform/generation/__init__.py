"""Generation of tokens: `generate`, its options, processors, criteria, streamers and outputs."""

from __future__ import annotations

from typing import Any

from transformers import GenerationConfig
from transformers.generation.configuration_utils import CompileConfig, GenerationMode

from keraform.generation.mixin import GenerationMixin
from keraform.generation.outputs import (
    GenerateBeamDecoderOnlyOutput,
    GenerateBeamEncoderDecoderOutput,
    GenerateDecoderOnlyOutput,
    GenerateEncoderDecoderOutput,
)

# Names of upstream's generation that modeling files import for generate() methods of their own.
_LATER = frozenset(
    {
        "BaseStreamer",
        "ClassifierFreeGuidanceLogitsProcessor",
        "LogitsProcessor",
        "LogitsProcessorList",
        "StoppingCriteria",
        "StoppingCriteriaList",
    }
)

__all__ = [
    "CompileConfig",
    "GenerateBeamDecoderOnlyOutput",
    "GenerateBeamEncoderDecoderOutput",
    "GenerateDecoderOnlyOutput",
    "GenerateEncoderDecoderOutput",
    "GenerationConfig",
    "GenerationMixin",
    "GenerationMode",
]


def __getattr__(name: str) -> Any:
    """Upstream's machinery, as classes that refuse."""
    if name in _LATER:
        return _later(name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _later(name: str) -> type:
    def refuse(self: Any, *args: Any, **kwargs: Any) -> None:
        raise NotImplementedError(
            f"Expected a release of Keraform with generation; this one has none, so {name} cannot "
            f"be made. Call the model itself, with `use_cache=True`."
        )

    made = type(name, (), {"__init__": refuse, "__doc__": "Not in this release."})
    globals()[name] = made
    return made
