"""Translation: a small T5 and its tokenizer learn English to six languages, from scratch.

Run `python examples/translation.py`. The task stands before each text, as T5 has it: "translate
English to German: Save". Strings that are held out are held out in all languages.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from django_strings import (
    IGNORED,
    LANGUAGES,
    common_strings,
    split,
    train_tokenizer,
    translations,
)
from transformers import T5Config

from keraform import TFT5ForConditionalGeneration


def prepare(short: bool = False) -> tuple[Any, Any, dict[str, Any], dict[str, Any]]:
    """The new, compiled model, its tokenizer, and inputs with labels to train and to test with.

    Args:
        short: One layer and few strings, run without a graph.
    """
    catalogues = {name: translations(code) for code, name in LANGUAGES.items()}
    train, test = split(common_strings(catalogues.values()), short)
    translated = [words[each] for each in train for words in catalogues.values()]
    tokenizer = train_tokenizer([*train, *translated], 2000)
    config = T5Config(
        vocab_size=len(tokenizer),
        d_model=128,
        d_kv=32,
        d_ff=256,
        num_heads=4,
        num_layers=1 if short else 3,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        decoder_start_token_id=tokenizer.pad_token_id,
    )
    model = TFT5ForConditionalGeneration(config)
    model.compile("adam", run_eagerly=short)

    def tokens(texts: list[str]) -> Any:
        return tokenizer(
            [text + tokenizer.eos_token for text in texts],
            padding=True,
            truncation=True,
            max_length=32,
            return_token_type_ids=False,
            return_tensors="np",
        )

    def encode(strings: list[str]) -> dict[str, Any]:
        pairs = [(name, each) for each in strings for name in catalogues]
        inputs = tokens([f"translate English to {name}: {each}" for name, each in pairs])
        targets = tokens([catalogues[name][each] for name, each in pairs])
        labels = np.where(targets["attention_mask"] == 1, targets["input_ids"], IGNORED)
        return {**inputs, "labels": labels}

    return model, tokenizer, encode(train), encode(test)


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Trains, saves and reloads; returns losses, and loss and accuracy on strings held out.

    Args:
        arguments: Of the command line.
    """
    parser = argparse.ArgumentParser(description="A small T5 learns to translate from English.")
    parser.add_argument("--short", action="store_true", help="a few steps, to see that it runs")
    parser.add_argument("--out", default="demo-output/translation")
    options = parser.parse_args(arguments)
    keras.utils.set_random_seed(0)

    model, tokenizer, train, test = prepare(options.short)
    history = model.fit(train, batch_size=32, epochs=2 if options.short else 6, verbose=2)
    model.save_pretrained(options.out)
    tokenizer.save_pretrained(options.out)

    reloaded = TFT5ForConditionalGeneration.from_pretrained(options.out)
    reloaded.compile(run_eagerly=options.short)
    loss = reloaded.evaluate(test, verbose=0)
    labels = test["labels"]
    found = reloaded.predict(test, verbose=0).logits.argmax(-1)  # each token, given those before it
    accuracy = float(np.mean((found == labels)[labels != IGNORED]))
    print(f"held out: loss {loss:.3f}, next token right {accuracy:.3f}; saved in {options.out}")
    return {"losses": history.history["loss"], "loss": loss, "accuracy": accuracy}


if __name__ == "__main__":
    main()
