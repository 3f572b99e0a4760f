"""Text classification: MiniLM learns which of six languages a string is written in.

Run `python examples/text_classification.py`; `--demo` then opens a page that classifies what is
typed. Strings that are held out are held out in all languages.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from django_strings import LANGUAGES, common_strings, split, translations
from minilm import checkpoint_directory
from transformers import AutoTokenizer

from keraform import TFAutoModelForSequenceClassification


def prepare(short: bool = False) -> tuple[Any, Any, dict[str, Any], dict[str, Any]]:
    """The compiled model, its tokenizer, and inputs with labels to train and to test with.

    Args:
        short: One layer and few strings, run without a graph.
    """
    names = list(LANGUAGES.values())
    layers = {"num_hidden_layers": 1} if short else {}
    tokenizer = AutoTokenizer.from_pretrained(checkpoint_directory())
    model = TFAutoModelForSequenceClassification.from_pretrained(
        checkpoint_directory(),
        id2label=dict(enumerate(names)),
        label2id={name: number for number, name in enumerate(names)},
        **layers,
    )
    model.compile(keras.optimizers.AdamW(1e-4), metrics=["accuracy"], run_eagerly=short)

    catalogues = [translations(code) for code in LANGUAGES]

    def encode(strings: list[str]) -> dict[str, Any]:
        texts = [words[each] for each in strings for words in catalogues]
        inputs = tokenizer(texts, padding=True, truncation=True, max_length=24, return_tensors="np")
        return {**inputs, "labels": np.tile(np.arange(len(names)), len(strings))}

    train, test = split(common_strings(catalogues), short)
    return model, tokenizer, encode(train[:150]), encode(test)


def demo(model: Any, tokenizer: Any) -> Any:
    """A Gradio page that says in which language a typed text is.

    Args:
        model: The trained model.
        tokenizer: Its tokenizer.
    """
    import gradio

    def classify(text: str) -> dict[str, float]:
        logits = model(tokenizer(text, truncation=True, return_tensors="np")).logits
        shares = np.asarray(keras.ops.softmax(logits[0]))
        return {model.config.id2label[i]: float(share) for i, share in enumerate(shares)}

    return gradio.Interface(
        classify,
        gradio.Textbox(label="Text"),
        gradio.Label(label="Language", num_top_classes=3),
        title="Which language is this?",
        examples=["Bitte einen vollständigen Wert eingeben.", "Inserisci un valore completo."],
        flagging_mode="never",
    )


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Trains, saves and reloads; returns the losses and the accuracy on strings held out.

    Args:
        arguments: Of the command line.
    """
    parser = argparse.ArgumentParser(description="MiniLM learns to tell languages apart.")
    parser.add_argument("--short", action="store_true", help="a few steps, to see that it runs")
    parser.add_argument("--out", default="demo-output/text-classification")
    parser.add_argument("--demo", action="store_true", help="open a page that classifies a text")
    options = parser.parse_args(arguments)
    keras.utils.set_random_seed(0)

    model, tokenizer, train, test = prepare(options.short)
    history = model.fit(train, batch_size=32, epochs=2 if options.short else 6, verbose=2)
    model.save_pretrained(options.out)
    tokenizer.save_pretrained(options.out)

    reloaded = TFAutoModelForSequenceClassification.from_pretrained(options.out)
    reloaded.compile(metrics=["accuracy"], run_eagerly=options.short)
    loss, accuracy = reloaded.evaluate(test, verbose=0)
    print(f"held out: loss {loss:.3f}, accuracy {accuracy:.3f}; saved in {options.out}")
    if options.demo:
        demo(reloaded, tokenizer).launch()
    return {"losses": history.history["loss"], "accuracy": accuracy}


if __name__ == "__main__":
    main()
