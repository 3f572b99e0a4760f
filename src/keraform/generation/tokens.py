"""The buffer of tokens [b, L] that decoding writes into: its first `cur_len` columns count."""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

from keraform.runtime.layers import Tensor


def length_of(input_ids: Tensor, cur_len: Any = None) -> Any:
    """How many columns count: `cur_len`, an int or an int32 scalar, or all where it is None."""
    return ops.shape(input_ids)[1] if cur_len is None else cur_len


def counting(input_ids: Tensor, cur_len: Any = None) -> Tensor:
    """A mask [1, L], True for the columns that count."""
    places = ops.arange(ops.shape(input_ids)[1], dtype="int32")
    return (places < length_of(input_ids, cur_len))[None]


def last_tokens(input_ids: Tensor, count: int, cur_len: Any = None) -> Tensor:
    """The last `count` tokens that count [b, count].

    Where fewer count, the first token stands for those that are missing: the caller compares
    `count` with the length.
    """
    places = length_of(input_ids, cur_len) - count + np.arange(count, dtype="int32")
    return ops.take(input_ids, ops.maximum(places, 0), axis=1)


def token_ids(ids: Any) -> np.ndarray:
    """One token id or several, in any form whose numbers are known now, as a vector of int64."""
    return np.atleast_1d(np.asarray(ops.convert_to_numpy(ids), "int64"))


def is_one_of(ids: Any, vocab_size: int) -> np.ndarray:
    """A mask [v], True at the ids; those outside of the vocabulary are left out."""
    return np.isin(np.arange(vocab_size), token_ids(ids))


def summed_by_token(ids: Tensor, values: Tensor, vocab_size: int) -> Tensor:
    """The sum of the values of each token of a row.

    Args:
        ids: [b, n], token ids; those outside of the vocabulary are left out.
        values: [b, n].
        vocab_size: Size of the vocabulary, v.

    Returns:
        [b, v], in the dtype of `values`.
    """
    ids = ops.cast(ids, "int32")
    ids = ops.where(ids < 0, vocab_size, ops.minimum(ids, vocab_size))  # a column to be cut off
    rows = ops.shape(ids)[0]
    row = ops.broadcast_to(ops.arange(rows, dtype="int32")[:, None], ops.shape(ids))
    places = ops.stack([row, ids], axis=-1)  # [b, n, 2]
    return ops.scatter(places, values, (rows, vocab_size + 1))[:, :vocab_size]


def occurring(ids: Tensor, vocab_size: int, counts: Tensor | None = None) -> Tensor:
    """A mask [b, v], True for the tokens of `ids` [b, n], only where `counts` [b, n] is True."""
    ones = ops.ones_like(ids, dtype="int32")
    if counts is not None:
        ones = ops.where(counts, ones, 0)
    return summed_by_token(ids, ones, vocab_size) > 0


def for_each_row(values: Tensor, rows: Tensor) -> Tensor:
    """Repeats `values` [b, ...] for the beams of each row, until there are as many as `rows`."""
    return ops.repeat(values, ops.shape(rows)[0] // ops.shape(values)[0], axis=0)
