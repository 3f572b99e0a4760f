"""Trials: in which order the forms of a class's arguments are tried, and what a failure says about
the next trial.
"""

from __future__ import annotations

import re
import traceback
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import product
from pathlib import Path

import transformers

UPSTREAM = str(Path(transformers.__file__).parent)
TRIALS = 40
MODALITIES = ("image", "video", "audio")
# "Audio features and audio tokens do not match, tokens: 0, features: 21"
MISMATCH = re.compile(
    rf"({'|'.join(MODALITIES)}) features and .*tokens do not match.*tokens:? \d+.*features:? (\d+)",
    re.IGNORECASE,
)
# "Number of image placeholder tokens (168) does not match number of image tokens from VQVAE (18)"
UNEQUAL = re.compile(
    rf"({'|'.join(MODALITIES)}) placeholder tokens \(\d+\) does not match .* \((\d+)\)",
    re.IGNORECASE,
)
MISPLACED = re.compile(
    r"value tensor of shape \[(\d+), \d+\] cannot be broadcast to indexing result"
)
WIDTHS = (
    re.compile(r"shapes cannot be multiplied \(\d+x\d+ and (\d+)x\d+\)"),
    re.compile(r"expected input\[.*\] to have (\d+) channels"),
)

Forms = dict[str, int]


class Trials:
    """Combinations of forms, each once: first those that change what the last failure blames.

    A statement of the model that failed mostly names the argument that it could not use.

    Args:
        counts: how many forms each argument has.
        ordered: the combinations in the order in which they are tried where nobody is blamed.
    """

    def __init__(self, counts: dict[str, int], ordered: Iterable[Forms]) -> None:
        self._counts = counts
        self._ordered = iter(ordered)
        self._next: deque[Forms] = deque()
        self._seen: list[Forms] = []
        self._places: set[str] = set()

    def __iter__(self) -> Iterator[Forms]:
        while len(self._seen) < TRIALS:
            forms = self._next.popleft() if self._next else next(self._ordered, None)
            if forms is None:
                return
            if forms not in self._seen:
                self._seen.append(forms)
                yield forms

    def blame(self, forms: Forms, error: BaseException) -> None:
        """Try the other forms of what a failure at a new place blames before anything else."""
        statements = _statements(error)
        if not statements or statements[0] in self._places:
            return
        self._places.add(statements[0])
        changed = [
            {**forms, name: form}
            for name in _named(statements, self._counts)
            for form in range(self._counts[name])
            if form != forms.get(name, 0)
        ]
        self._next.extendleft(reversed(changed))


def combinations(counts: dict[str, int]) -> list[Forms]:
    """All combinations of forms, those with the fewest changes first."""
    every = product(*(range(count) for count in counts.values()))
    ordered = sorted(every, key=lambda forms: sum(form > 0 for form in forms))
    return [dict(zip(counts, forms, strict=True)) for forms in ordered]


def features_of(error: BaseException) -> tuple[tuple[str, ...], int] | None:
    """How many features a model has of what is no text, of all rows, where there are not as many
    tokens for them; None where it complains about something else.

    Returns:
        The modalities that it may be about, and the number.
    """
    text = str(error)
    named, unnamed = MISMATCH.search(text) or UNEQUAL.search(text), MISPLACED.search(text)
    if named is not None:
        return (named[1].lower(),), int(named[2])
    return None if unnamed is None else (MODALITIES, int(unnamed[1]))


def width_of(error: BaseException) -> int | None:
    """How wide a model wants to have what it was given, by the words of a product's or a
    convolution's failure.
    """
    found = next((each.search(str(error)) for each in WIDTHS if each.search(str(error))), None)
    return None if found is None else int(found[1])


def _statements(error: BaseException) -> list[str]:
    """The model's own lines that an error went through, the innermost first."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [each for each in frames if each.filename.startswith(UPSTREAM)]
    return [each.line or "" for each in reversed(own)]


def _named(statements: list[str], counts: dict[str, int]) -> list[str]:
    """The arguments that the innermost of some statements names which names any."""
    for line in statements:
        words = re.findall(r"\w+", line)
        found = [name for name in counts if name in words]
        if found:
            return found
    return []
