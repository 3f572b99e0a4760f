"""Generation of tokens; in this release only the mixin that says what is not there yet."""

from __future__ import annotations

from typing import Any, ClassVar

from transformers import GenerationConfig
from transformers.generation.configuration_utils import CompileConfig, GenerationMode

from keraform.generation.outputs import GenerateDecoderOnlyOutput

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
    "GenerateDecoderOnlyOutput",
    "GenerationConfig",
    "GenerationMixin",
    "GenerationMode",
]


class GenerationMixin:
    """Marks the classes that will generate, and refuses to until they can."""

    _is_stateful: ClassVar[bool] = False

    @classmethod
    def can_generate(cls) -> bool:
        """True: the architecture generates, in upstream and in a later release."""
        return True

    def generate(self, *args: Any, **kwargs: Any) -> Any:
        """Not in this release.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError(
            f"Expected a release of Keraform with generation; this one has none, so "
            f"{type(self).__name__}.generate() does nothing yet. Forward passes with a cache work: "
            f"`out = model(input_ids, use_cache=True)`, then take the argmax of "
            f"`out.logits[:, -1]` and call the model on it with the cache that `out` holds."
        )

    generate.is_refusal = True  # so that others can tell before they begin

    def prepare_inputs_for_generation(self, *args: Any, **kwargs: Any) -> Any:
        """Not in this release; see `generate`."""
        raise NotImplementedError(
            f"Expected a release of Keraform with generation; this one has none, so "
            f"{type(self).__name__}.prepare_inputs_for_generation() has no base to build on. "
            f"Pass `input_ids`, `attention_mask` and the cache to the model yourself."
        )


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
