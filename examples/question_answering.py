"""Question answering: MiniLM learns to look up a word in a short German glossary.

Run `python examples/question_answering.py`. Questions and glossaries are made by rule, of Django's
strings and their translations: three terms each, of which one is asked for.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from django_strings import split, translations
from minilm import checkpoint_directory
from transformers import AutoTokenizer

from keraform import TFAutoModelForQuestionAnswering


def questions(german: dict[str, str], strings: list[str]) -> list[tuple[str, str, int, int]]:
    """For each string a question, a glossary, and where in that the answer begins and ends.

    Args:
        german: The translations of the strings.
        strings: English strings to ask for.
    """
    dice = random.Random(0)
    rows = []
    for asked in strings:
        terms = dice.sample([each for each in strings if each != asked], 2)
        terms.insert(dice.randrange(3), asked)
        entries = [f"“{term}” is “{german[term]}” in German." for term in terms]
        before = " ".join([*entries[: terms.index(asked)], f"“{asked}” is “"])
        start, end = len(before), len(before) + len(german[asked])
        rows.append((f"What is “{asked}” in German?", " ".join(entries), start, end))
    return rows


def prepare(short: bool = False) -> tuple[Any, Any, dict[str, Any], dict[str, Any]]:
    """The compiled model, its tokenizer, and inputs with labels to train and to test with.

    Args:
        short: One layer and few questions, run without a graph.
    """
    layers = {"num_hidden_layers": 1} if short else {}
    tokenizer = AutoTokenizer.from_pretrained(checkpoint_directory())
    model = TFAutoModelForQuestionAnswering.from_pretrained(checkpoint_directory(), **layers)
    model.compile(keras.optimizers.AdamW(1e-4), run_eagerly=short)

    catalogue = translations("de")
    german = {each: word.strip() for each, word in catalogue.items() if 2 < len(word) < 20}

    def encode(strings: list[str]) -> dict[str, Any]:
        asked, glossaries, starts, ends = zip(*questions(german, strings), strict=True)
        inputs = tokenizer(list(asked), list(glossaries), padding=True, return_tensors="np")
        places = [
            (inputs.char_to_token(row, start, 1), inputs.char_to_token(row, end - 1, 1))
            for row, (start, end) in enumerate(zip(starts, ends, strict=True))
        ]
        first, last = np.array(places).T
        return {**inputs, "start_positions": first, "end_positions": last}

    train, test = split(german, short)
    return model, tokenizer, encode(train), encode(test)


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Trains, saves and reloads; returns the losses and the share of exact answers, held out.

    Args:
        arguments: Of the command line.
    """
    parser = argparse.ArgumentParser(description="MiniLM learns to look words up in a glossary.")
    parser.add_argument("--short", action="store_true", help="a few steps, to see that it runs")
    parser.add_argument("--out", default="demo-output/question-answering")
    options = parser.parse_args(arguments)
    keras.utils.set_random_seed(0)

    model, tokenizer, train, test = prepare(options.short)
    history = model.fit(train, batch_size=32, epochs=2 if options.short else 4, verbose=2)
    model.save_pretrained(options.out)
    tokenizer.save_pretrained(options.out)

    reloaded = TFAutoModelForQuestionAnswering.from_pretrained(options.out)
    starts, ends = test.pop("start_positions"), test.pop("end_positions")
    found = reloaded.predict(test, verbose=0)
    right = (found.start_logits.argmax(-1) == starts) & (found.end_logits.argmax(-1) == ends)
    print(f"held out: exact answers {right.mean():.3f}; saved in {options.out}")
    return {"losses": history.history["loss"], "accuracy": float(right.mean())}


if __name__ == "__main__":
    main()
