"""Token healing: the last token of a prompt is chosen anew among those that begin with its text."""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops
from transformers import GenerationConfig

from keraform.errors import explain
from keraform.runtime.given import as_tensor, integer_dtype
from keraform.runtime.layers import Tensor

# What tokens that begin with the last one's text gain in score, and how much more that one does.
_GAIN, _OWN_GAIN = 10.0, 1.0


def healed(model: Any, input_ids: Tensor, tokenizer: Any) -> Tensor:
    """Prompts whose last token may have become a longer one.

    A prompt that ends in the middle of a word ends in a token that rarely stands there: after
    "http:" nothing is likely, since "://" is one token. Prompts are read as text and made tokens
    again, without the spaces around them.

    Args:
        model: the model that chooses.
        input_ids: [b, n].
        tokenizer: the tokenizer of the tokens.

    Returns:
        [b, m], padded by the tokenizer.

    Raises:
        ValueError: there is no tokenizer.
    """
    if tokenizer is None:
        raise ValueError(
            explain(
                "the model's tokenizer, for token_healing",
                "none",
                "generate(..., tokenizer=tokenizer)",
            )
        )
    texts = tokenizer.batch_decode(ops.convert_to_numpy(input_ids), skip_special_tokens=True)
    begin, pad = tokenizer.bos_token_id, tokenizer.pad_token_id
    found = np.asarray(
        tokenizer([text.strip() for text in texts], return_tensors="np", padding=True)["input_ids"]
    )
    if found.size == 0:
        return as_tensor(found, integer_dtype())
    if begin is not None:
        found = np.where(found == begin, pad, found)  # healing does not depend on it
    vocabulary = tokenizer.get_vocab()
    for row in found:
        tail = int(row[-1])
        text = tokenizer.convert_ids_to_tokens(tail)
        biases = {
            (number,): _GAIN for token, number in vocabulary.items() if token.startswith(text)
        }
        biases[(tail,)] = _GAIN + _OWN_GAIN
        begun = row[:-1].copy()
        if (row == pad).all() or len(biases) < 2 or begun.size == 0:
            continue
        if (row != pad).sum() == 1:
            begun[-1] = begin
        config = GenerationConfig(
            max_new_tokens=1, pad_token_id=pad, sequence_bias=biases, disable_compile=True
        )
        row[:] = ops.convert_to_numpy(model.generate(begun[None], generation_config=config))[0]
    return as_tensor(found, integer_dtype())
