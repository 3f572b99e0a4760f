"""The transducer's loss against the sum over all alignments, in float64, with gradients."""

from __future__ import annotations

from itertools import combinations

import keras
import numpy as np
import pytest
from keras import ops

from keraform.runtime.precision import lift_casts
from keraform.training.transducer import ParakeetForRNNTLoss

RNG = np.random.default_rng(0)
B, T, U, V, BLANK = 3, 4, 3, 5, 4
FRAMES, COUNTS = np.array([4, 3, 2]), np.array([2, 3, 1])

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="gradients are taken by a tape"
)


def log_softmax(logits):
    shifted = logits - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def by_definition(logits, labels, frames, count):
    """A row's loss: each alignment reads all frames but the last, in some order with the labels."""
    scores = log_softmax(logits)
    steps = frames - 1 + count
    total = 0.0
    for places in combinations(range(steps), count):
        t = u = 0
        score = 0.0
        for place in range(steps):
            symbol = labels[u] if place in places else BLANK
            score += scores[t, u, symbol]
            t, u = (t, u + 1) if place in places else (t + 1, u)
        total += np.exp(score + scores[t, u, BLANK])
    return -np.log(total)


def arguments():
    labels = RNG.integers(0, BLANK, (B, U))
    for row, count in enumerate(COUNTS):
        labels[row, count:] = -100
    return {
        "logits": RNG.normal(size=(B, T, U + 1, V)),
        "labels": labels,
        "logit_lengths": FRAMES,
        "label_lengths": COUNTS,
    }


def losses_of(given):
    rows = zip(given["logits"], given["labels"], FRAMES, COUNTS, strict=True)
    return np.array([by_definition(*row) for row in rows])


def test_reductions():
    given = arguments()
    losses = losses_of(given)
    tensors = {name: ops.convert_to_tensor(value) for name, value in given.items()}
    wanted = {
        "none": losses,
        "sum": losses.sum(),
        "mean_volume": losses.sum() / COUNTS.sum(),
        "mean_batch": losses.mean(),
        "mean": (losses / COUNTS).mean(),
    }
    for reduction, expected in wanted.items():
        with lift_casts():
            found = ParakeetForRNNTLoss(**tensors, blank_token_id=BLANK, reduction=reduction)
        np.testing.assert_allclose(ops.convert_to_numpy(found), expected, rtol=1e-12)
    with pytest.raises(ValueError, match="got 'median'"):
        ParakeetForRNNTLoss(**tensors, blank_token_id=BLANK, reduction="median")


def test_gradients_in_graphs_with_known_and_unknown_sizes():
    import tensorflow as tf

    given = arguments()
    known = [tf.TensorSpec(v.shape, v.dtype) for v in given.values()]
    unknown = [tf.TensorSpec((None,) * v.ndim, v.dtype) for v in given.values()]
    unknown[0] = tf.TensorSpec((None, None, None, V), "float64")
    for signature, jit in ((known, True), (unknown, False)):

        @tf.function(input_signature=signature, jit_compile=jit, autograph=False)
        def run(logits, *others):
            with lift_casts(), tf.GradientTape() as tape:
                tape.watch(logits)
                names = ("labels", "logit_lengths", "label_lengths")
                loss = ParakeetForRNNTLoss(
                    logits, **dict(zip(names, others, strict=True)), blank_token_id=BLANK
                )
            return tape.gradient(loss, logits)

        gradient = run(*(tf.constant(value) for value in given.values())).numpy()
        for place in ((0, 0, 0, BLANK), (1, 2, 3, 1), (2, 1, 1, BLANK), (0, 3, 3, 0)):
            moved = [{**given, "logits": given["logits"].copy()} for _ in range(2)]
            for each, step in zip(moved, (1e-5, -1e-5), strict=True):
                each["logits"][place] += step
            up, down = (losses_of(each).sum() / COUNTS.sum() for each in moved)
            assert abs(gradient[place] - (up - down) / 2e-5) < 1e-9
