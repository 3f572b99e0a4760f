"""Runs the table of option sets over many model types, and keeps what came of it.

    python tests/generation/over_types.py rows.jsonl               # all types below
    python tests/generation/over_types.py rows.jsonl llama t5      # these
    python tests/generation/over_types.py rows.jsonl --summary     # what the rows say

Every line of the file is one run: a type, an option set, cached or not, whole rows or one that is
padded on its left. Runs that the file has already are not made again.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
importlib.import_module("keraform.verify")  # before TensorFlow: see there about triton

import numpy as np  # noqa: E402
from transformers.models.auto import modeling_auto  # noqa: E402

from generation.option_sets import NEW_TOKENS, OPTION_SETS  # noqa: E402
from keraform.verify.rungs.speaks import (  # noqa: E402
    DTYPE,
    NOT_FOR_A_SEARCH,
    Speakers,
    left_padded,
    prompt_of,
)
from keraform.verify.targets import Target, cases_of  # noqa: E402

TYPES = """
    bart bigbird_pegasus biogpt blenderbot bloom codegen cohere ctrl falcon falcon_mamba gemma
    gemma2 gemma3_text glm gpt2 gpt_bigcode gpt_neo gpt_neox gptj granite led llama longt5 m2m_100
    mamba marian mbart mistral mixtral mpt olmo2 opt pegasus phi phi3 prophetnet qwen2 qwen2_moe
    qwen3 recurrent_gemma smollm3 stablelm starcoder2 switch_transformers t5 xglm xlnet
""".split()
# Two sets stand for all where a run takes seconds (compiled), and where nothing much is new: a
# batch with a left-padded row has a whole row, too.
FEW = ("greedy", "beams, several sequences")
FIXED = {"max_new_tokens": NEW_TOKENS, "do_sample": False}


def class_of(model_type: str) -> str:
    """The class of a type that generates text."""
    for names in (
        modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        modeling_auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
    ):
        found = names.get(model_type)
        is_decoder_alone = names is modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
        if found and not (is_decoder_alone and _has_encoder(model_type)):
            return found
    raise SystemExit(f"expected: a type that generates text\ngot: {model_type}\ntry: llama")


def _has_encoder(model_type: str) -> bool:
    return model_type in modeling_auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES


def runs() -> Iterator[tuple[str, str, bool]]:
    """Sets, how to call (cached, uncached, compiled), and whether a row is padded."""
    for how in ("cached", "uncached", "compiled"):
        for option_set in OPTION_SETS:
            if option_set in FEW or how != "compiled":
                yield option_set, how, True
            if option_set in FEW:
                yield option_set, how, False


def outcome(sides: Speakers, prompt: dict[str, Any], option_set: str, how: str) -> str:
    """`equal`, or what is not."""
    try:
        greedy = sides.search_torch(prompt, **FIXED, min_new_tokens=NEW_TOKENS)
        made = OPTION_SETS[option_set](greedy[:, -NEW_TOKENS:].tolist())
        options = FIXED | made | {"use_cache": how != "uncached"}
        wanted = sides.search_torch(prompt, **options)
    except Exception as error:  # whatever torch's own model cannot do
        return f"not of torch's: {_words(error)}"
    try:
        got = sides.search_keras(prompt, **options, disable_compile=how != "compiled")
    except Exception as error:  # a row of the table, not an end of it
        return f"failed: {_words(error)}"
    if got.shape != wanted.shape:
        return f"shape {got.shape}, torch gives {wanted.shape}"
    places = np.argwhere(got != wanted)
    return "equal" if not len(places) else f"{len(places)} tokens differ, the first at {places[0]}"


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


def rows_of(path: Path) -> list[dict[str, Any]]:
    """The runs there are."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def fill(path: Path, model_type: str) -> None:
    """Makes the runs of a type that the file does not have."""
    rows = [row for row in rows_of(path) if row["type"] == model_type]
    known = {(row["set"], row["how"], row["padded"]) for row in rows}
    missing = [run for run in runs() if run not in known]
    if not missing:
        return
    case = cases_of(Target(model_type, (class_of(model_type),)))[0]
    sides = Speakers(case.twin.build(DTYPE, True), case.port.build(DTYPE, True))
    inputs = prompt_of(case.variants[-1].inputs)
    whole = {
        name: value
        for name, value in inputs.items()
        if not name.startswith("decoder_") and name not in NOT_FOR_A_SEARCH
    }
    with path.open("a") as file:
        for option_set, how, padded in missing:
            prompt = left_padded(sides.torch, whole)[0] if padded else whole
            row = {"type": model_type, "set": option_set, "how": how, "padded": padded}
            row["outcome"] = outcome(sides, prompt, option_set, how)
            print(json.dumps(row), file=file, flush=True)


def summary(path: Path) -> None:
    """Counts, and every run that is not equal."""
    rows = rows_of(path)
    equal = Counter(row["type"] for row in rows if row["outcome"] == "equal")
    every = Counter(row["type"] for row in rows)
    print(f"{sum(equal.values())} of {len(rows)} runs equal, {len(every)} types")
    for row in rows:
        if row["outcome"] != "equal":
            padded = ", left-padded" if row["padded"] else ""
            print(f"{row['type']}: {row['set']}, {row['how']}{padded}: {row['outcome']}")


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rows", type=Path)
    parser.add_argument("types", nargs="*", default=TYPES)
    parser.add_argument("--summary", action="store_true")
    given = parser.parse_args()
    if not given.summary:
        warnings.simplefilter("ignore")
        for model_type in given.types:
            try:
                fill(given.rows, model_type)
            except Exception as error:
                print(f"{model_type}: {_words(error)}", file=sys.stderr)
    summary(given.rows)


if __name__ == "__main__":
    main()
