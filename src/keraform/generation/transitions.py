"""Scores of the tokens that were generated, among the scores of all tokens."""

from __future__ import annotations

from typing import Any

from keras import ops

from keraform.runtime.layers import Tensor


def transition_scores(
    sequences: Any, scores: tuple[Any, ...], beam_indices: Any, normalize_logits: bool
) -> Tensor:
    """See `GenerationMixin.compute_transition_scores`."""
    steps = ops.stack([ops.convert_to_tensor(each) for each in scores])  # [t, b k, v]
    if normalize_logits:
        steps = ops.log_softmax(steps, axis=-1)
    if beam_indices is None:  # each row is a beam of its own
        rows = ops.arange(ops.shape(steps)[1], dtype="int32")
        beams = ops.broadcast_to(ops.expand_dims(rows, -1), (len(rows), len(scores)))
    else:
        beams = ops.cast(beam_indices, "int32")
    is_token = beams >= 0
    count = int(ops.max(ops.sum(is_token, axis=-1)))
    is_token, beams = is_token[:, :count], ops.maximum(beams[:, :count], 0)  # [b, t]
    tokens = ops.cast(sequences, "int32")[:, -count:]
    size = steps.shape[-1]
    flat = ops.reshape(steps, (len(scores), -1))  # [t, b k * v]
    found = ops.take_along_axis(ops.transpose(flat[:count]), beams * size + tokens, axis=0)
    return ops.where(is_token, found, 0)
