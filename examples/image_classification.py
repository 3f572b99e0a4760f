"""Image classification: a small Vision Transformer learns handwritten digits, from scratch.

Run `python examples/image_classification.py`. The images are scikit-learn's, 8 by 8 pixels.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import keras
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from transformers import ViTConfig

from keraform import TFViTForImageClassification


def prepare(short: bool = False) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    """The new, compiled model, and images with labels to train and to test with.

    Args:
        short: One layer and few images, run without a graph.
    """
    config = ViTConfig(
        image_size=8,
        patch_size=2,
        num_channels=1,
        num_labels=10,
        hidden_size=64,
        intermediate_size=128,
        num_attention_heads=4,
        num_hidden_layers=1 if short else 4,
        hidden_dropout_prob=0.1,
    )
    model = TFViTForImageClassification(config)
    model.compile("adam", metrics=["accuracy"], run_eagerly=short)

    digits = load_digits()
    pixels = (digits.images[:, None] / 8 - 1).astype("float32")  # [b, 1, 8, 8], from -1 to 1
    parts = train_test_split(pixels, digits.target, test_size=0.2, random_state=0)
    if short:
        parts = [part[:32] for part in parts]
    train = {"pixel_values": parts[0], "labels": parts[2]}
    return model, train, {"pixel_values": parts[1], "labels": parts[3]}


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Trains, saves and reloads; returns the losses and the accuracy on images held out.

    Args:
        arguments: Of the command line.
    """
    parser = argparse.ArgumentParser(description="A small Vision Transformer learns digits.")
    parser.add_argument("--short", action="store_true", help="a few steps, to see that it runs")
    parser.add_argument("--out", default="demo-output/image-classification")
    options = parser.parse_args(arguments)
    keras.utils.set_random_seed(0)

    model, train, test = prepare(options.short)
    history = model.fit(train, batch_size=32, epochs=2 if options.short else 30, verbose=2)
    model.save_pretrained(options.out)

    reloaded = TFViTForImageClassification.from_pretrained(options.out)
    reloaded.compile(metrics=["accuracy"], run_eagerly=options.short)
    loss, accuracy = reloaded.evaluate(test, verbose=0)
    print(f"held out: loss {loss:.3f}, accuracy {accuracy:.3f}; saved in {options.out}")
    return {"losses": history.history["loss"], "accuracy": accuracy}


if __name__ == "__main__":
    main()
