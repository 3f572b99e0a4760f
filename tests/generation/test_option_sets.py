"""Token for token: what `generate` says with each set of options is what torch's says."""

from __future__ import annotations

import pytest

from generation.option_sets import OPTION_SETS
from generation.pairs import CALL_BY_CALL, CONFIGS, options_of, pair, prompt

SHORT = {
    "llama": ("no repeated n-grams", "beams, least length and decay"),
    "bart": ("beams, several sequences",),
}


def check(name: str, option_set: str, use_cache: bool, padded: bool) -> None:
    sides, inputs = pair(name), prompt(padded)
    options = options_of(sides, inputs, OPTION_SETS[option_set]) | {"use_cache": use_cache}
    wanted = sides.search_torch(inputs, **options)
    got = sides.search_keras(inputs, **options, **CALL_BY_CALL)
    assert got.tolist() == wanted.tolist()


@pytest.mark.parametrize(
    ("name", "option_set"), [(name, each) for name, sets in SHORT.items() for each in sets]
)
def test_some_sets(name: str, option_set: str) -> None:
    """Cached, with a left-padded row."""
    check(name, option_set, use_cache=True, padded=True)


@pytest.mark.slow
@pytest.mark.parametrize("padded", [False, True], ids=["whole", "left-padded"])
@pytest.mark.parametrize("use_cache", [True, False], ids=["cached", "uncached"])
@pytest.mark.parametrize("option_set", OPTION_SETS)
@pytest.mark.parametrize("name", CONFIGS)
def test_all_sets(name: str, option_set: str, use_cache: bool, padded: bool) -> None:
    """The whole table."""
    check(name, option_set, use_cache, padded)
