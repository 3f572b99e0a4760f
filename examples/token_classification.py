"""Token classification: MiniLM learns which words of German strings begin with a capital letter.

Run `python examples/token_classification.py`. The tags are made by rule: CAPITAL, PLACEHOLDER (such
as `%(name)s`) or OTHER. The tokenizer lowers all letters, so that capitals have to be known.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from django_strings import IGNORED, split, translations
from minilm import checkpoint_directory
from transformers import AutoTokenizer

from keraform import TFAutoModelForTokenClassification

TAGS = ("OTHER", "CAPITAL", "PLACEHOLDER")


def tag(word: str) -> int:
    """The number of a word's tag.

    Args:
        word: As it is written.
    """
    if "%" in word or "{" in word:
        return TAGS.index("PLACEHOLDER")
    first = next((letter for letter in word if letter.isalpha()), "")
    return TAGS.index("CAPITAL" if first.isupper() else "OTHER")


def prepare(short: bool = False) -> tuple[Any, Any, dict[str, Any], dict[str, Any]]:
    """The compiled model, its tokenizer, and inputs with labels to train and to test with.

    Args:
        short: One layer and few strings, run without a graph.
    """
    layers = {"num_hidden_layers": 1} if short else {}
    tokenizer = AutoTokenizer.from_pretrained(checkpoint_directory())
    model = TFAutoModelForTokenClassification.from_pretrained(
        checkpoint_directory(),
        id2label=dict(enumerate(TAGS)),
        label2id={name: number for number, name in enumerate(TAGS)},
        **layers,
    )
    model.compile(keras.optimizers.AdamW(1e-4), run_eagerly=short)

    german = translations("de")

    def encode(strings: list[str]) -> dict[str, Any]:
        rows = [german[each].split() for each in strings]
        inputs = tokenizer(
            rows,
            is_split_into_words=True,
            padding=True,
            truncation=True,
            max_length=32,
            return_tensors="np",
        )
        labels = np.full_like(inputs["input_ids"], IGNORED)
        for row, words in enumerate(rows):
            places = inputs.word_ids(row)
            for number, word in enumerate(words):
                if number in places:  # the first token of a word is tagged, the others are not
                    labels[row, places.index(number)] = tag(word)
        return {**inputs, "labels": labels}

    train, test = split(german, short)
    return model, tokenizer, encode(train), encode(test)


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Trains, saves and reloads; returns the losses and the accuracy on words held out.

    Args:
        arguments: Of the command line.
    """
    parser = argparse.ArgumentParser(description="MiniLM learns which German words are capital.")
    parser.add_argument("--short", action="store_true", help="a few steps, to see that it runs")
    parser.add_argument("--out", default="demo-output/token-classification")
    options = parser.parse_args(arguments)
    keras.utils.set_random_seed(0)

    model, tokenizer, train, test = prepare(options.short)
    history = model.fit(train, batch_size=32, epochs=2 if options.short else 3, verbose=2)
    model.save_pretrained(options.out)
    tokenizer.save_pretrained(options.out)

    reloaded = TFAutoModelForTokenClassification.from_pretrained(options.out)
    labels = test.pop("labels")
    found = reloaded.predict(test, verbose=0).logits.argmax(-1)
    accuracy = float(np.mean((found == labels)[labels != IGNORED]))
    print(f"held out: accuracy {accuracy:.3f}; saved in {options.out}")
    return {"losses": history.history["loss"], "accuracy": accuracy}


if __name__ == "__main__":
    main()
