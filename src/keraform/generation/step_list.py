"""Lists of what decoding calls at each step: logits processors, or stopping criteria."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Self

from keraform.errors import explain
from keraform.runtime.layers import Tensor


class StepList(list):
    """A list whose elements are called with the tokens so far, each in its own signature."""

    @property
    def in_graph(self) -> bool:
        """True when every element says that it can be part of a compiled program."""
        return all(getattr(element, "in_graph", False) for element in self)

    def merged_with(self, custom: Iterable[Any] | None) -> Self:
        """This list and a user's own elements; one of theirs replaces one of the same class."""
        own = list(custom or ())
        merged = type(self)()
        for element in self:
            same = next((each for each in own if type(each) is type(element)), None)
            if same is not None:
                warnings.warn(
                    f"Two of {type(same).__name__} are asked for, one by an option of generate() "
                    f"and one passed to it. The one that was passed is used.",
                    stacklevel=3,
                )
            merged.append(element if same is None else same)
        merged.extend(each for each in own if each not in merged)
        return merged


def call_step(
    step: Callable[..., Any], input_ids: Tensor, scores: Any, cur_len: Any, more: Mapping[str, Any]
) -> Any:
    """Calls a processor or a criterion: ours with the buffer and `cur_len`, one that does not take
    `cur_len` (upstream's signature) with the columns that count.
    """
    parameters = inspect.signature(step).parameters
    takes_any = any(each.kind is each.VAR_KEYWORD for each in parameters.values())
    given = {name: value for name, value in more.items() if takes_any or name in parameters}
    if "cur_len" in parameters:
        given["cur_len"] = cur_len
    elif cur_len is not None:
        input_ids = input_ids[:, :cur_len]
    missing = [
        name
        for name, each in list(parameters.items())[2:]
        if each.default is each.empty
        and each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)
        and name not in given
    ]
    if missing:
        raise ValueError(
            explain(
                f"{', '.join(missing)}, which {type(step).__name__} takes at each step",
                f"{', '.join(more) or 'nothing'} besides input_ids and scores",
                f"processors(input_ids, scores, {missing[0]}=...)",
            )
        )
    return step(input_ids, scores, **given)
