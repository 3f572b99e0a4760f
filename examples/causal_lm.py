"""Causal language modelling: a small Llama and its tokenizer learn interface strings, from scratch.

Run `python examples/causal_lm.py`. Strings that are held out are held out in all six languages.
"""

from __future__ import annotations

import argparse
import math
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
from transformers import LlamaConfig

from keraform import TFLlamaForCausalLM


def prepare(short: bool = False) -> tuple[Any, Any, dict[str, Any], dict[str, Any]]:
    """The new, compiled model, its tokenizer, and inputs with labels to train and to test with.

    Args:
        short: One layer and few strings, run without a graph.
    """
    catalogues = [translations(code) for code in LANGUAGES]
    train, test = split(common_strings(catalogues), short)
    tokenizer = train_tokenizer([words[each] for each in train for words in catalogues], 2000)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=256,
        num_attention_heads=4,
        num_key_value_heads=2,
        num_hidden_layers=1 if short else 3,
        max_position_embeddings=64,
        attention_dropout=0.1,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = TFLlamaForCausalLM(config)
    model.compile("adam", run_eagerly=short)

    def encode(strings: list[str]) -> dict[str, Any]:
        texts = [words[each] + tokenizer.eos_token for each in strings for words in catalogues]
        inputs = tokenizer(
            texts,
            padding=True,
            truncation=True,
            max_length=32,
            return_token_type_ids=False,
            return_tensors="np",
        )
        labels = np.where(inputs["attention_mask"] == 1, inputs["input_ids"], IGNORED)
        return {**inputs, "labels": labels}

    return model, tokenizer, encode(train), encode(test)


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Trains, saves and reloads; returns the losses and the perplexity of strings held out.

    Args:
        arguments: Of the command line.
    """
    parser = argparse.ArgumentParser(description="A small Llama learns Django's strings.")
    parser.add_argument("--short", action="store_true", help="a few steps, to see that it runs")
    parser.add_argument("--out", default="demo-output/causal-lm")
    options = parser.parse_args(arguments)
    keras.utils.set_random_seed(0)

    model, tokenizer, train, test = prepare(options.short)
    history = model.fit(train, batch_size=32, epochs=2 if options.short else 5, verbose=2)
    model.save_pretrained(options.out)
    tokenizer.save_pretrained(options.out)

    reloaded = TFLlamaForCausalLM.from_pretrained(options.out)
    reloaded.compile(run_eagerly=options.short)
    perplexity = math.exp(reloaded.evaluate(test, verbose=0))
    print(f"held out: perplexity {perplexity:.1f} a token; saved in {options.out}")
    return {"losses": history.history["loss"], "perplexity": perplexity}


if __name__ == "__main__":
    main()
