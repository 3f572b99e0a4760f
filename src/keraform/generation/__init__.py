"""Generation of tokens; in this release only the mixin that says what is not there yet."""

from __future__ import annotations

from typing import Any, ClassVar


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
            f"`out.logits[:, -1]` and call `model(next_ids, past_key_values=out.past_key_values)`."
        )

    def prepare_inputs_for_generation(self, *args: Any, **kwargs: Any) -> Any:
        """Not in this release; see `generate`."""
        raise NotImplementedError(
            f"Expected a release of Keraform with generation; this one has none, so "
            f"{type(self).__name__}.prepare_inputs_for_generation() has no base to build on. "
            f"Pass `input_ids`, `attention_mask` and `past_key_values` to the model yourself."
        )
