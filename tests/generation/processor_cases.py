"""One row for each processor that is a function of tokens and scores: how it is made, upstream's
and ours alike, and the lengths at which it is asked.

As a script it runs all of them on JAX, compiled, and writes what they give to a file.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np

ROWS, LENGTH, VOCAB = 4, 12, 37
RANDOM = np.random.default_rng(11)
FEW = RANDOM.integers(0, 6, (ROWS, LENGTH), "int32")  # so that n-grams come again
ANY = RANDOM.integers(0, VOCAB, (ROWS, LENGTH), "int32")
JUNK = RANDOM.integers(0, VOCAB, (ROWS, LENGTH), "int32")
SCORES = RANDOM.normal(0, 2, (ROWS, VOCAB))
SCORES[:, 30] = SCORES[:, 7]  # equal ones
SCORES[1, 4:20] = -np.inf
SCORES[2] = 0.0
ENCODER = RANDOM.integers(0, 6, (2, 8))  # two beams each
WHISPER = SimpleNamespace(
    no_timestamps_token_id=20, eos_token_id=17, bos_token_id=16, max_initial_timestamp_index=4
)
# [text | 17 the end | 20 none | timestamps from 21]: pairs open and closed, text after them, none
SPOKEN = np.array(
    [
        [1, 2, 25, 25, 3, 4, 30, 30, 5, 31, 1, 2],
        [1, 2, 21, 3, 22, 22, 36, 1, 1, 1, 21, 1],
        [1, 2, 3, 3, 4, 5, 5, 5, 3, 3, 3, 3],
        [22, 23, 22, 23, 1, 23, 24, 24, 2, 35, 36, 36],
    ],
    "int32",
)

Make = Callable[[Any, Callable[[Any], Any]], Any]


@dataclass(frozen=True)
class Case:
    """A processor.

    Args:
        make: Makes it from a module that has the class, and what turns an array into a tensor.
        lengths: Lengths at which its answers differ.
        ids: The tokens.
        scores: The scores.
    """

    make: Make
    lengths: tuple[int, ...] = (5,)
    ids: Any = FEW
    scores: Any = SCORES

    def tokens(self, length: int) -> np.ndarray:
        """A buffer of which the first columns count, with junk behind them."""
        return np.concatenate([self.ids[:, :length], JUNK[: len(self.ids), length:]], axis=1)


ODD = np.where(RANDOM.random(SCORES.shape) < 0.2, np.nan, SCORES)
ODD[0, :3] = np.inf
SPREAD = RANDOM.normal(0, 1, (ROWS, VOCAB)) * np.array([[0.1], [1], [3], [30]])
CASES: dict[str, Case] = {
    "min_length": Case(lambda p, a: p.MinLengthLogitsProcessor(5, [2, 3]), (4, 5)),
    "min_new_tokens": Case(
        lambda p, a: p.MinNewTokensLengthLogitsProcessor(3, 4, 2), (1, 6, 7, LENGTH)
    ),
    "temperature": Case(lambda p, a: p.TemperatureLogitsWarper(0.7)),
    "repetition": Case(lambda p, a: p.RepetitionPenaltyLogitsProcessor(1.3), (1, 5, LENGTH)),
    "repetition_skipping": Case(lambda p, a: p.RepetitionPenaltyLogitsProcessor(0.8, 3), (2, 5)),
    "repetition_skipping_rows": Case(
        lambda p, a: p.RepetitionPenaltyLogitsProcessor(1.3, a([0, 1, 5, 3])), (4,), ANY
    ),
    "repetition_outside": Case(
        lambda p, a: p.RepetitionPenaltyLogitsProcessor(1.3), (6,), ANY + 15
    ),
    "encoder_repetition": Case(
        lambda p, a: p.EncoderRepetitionPenaltyLogitsProcessor(1.3, a(ENCODER))
    ),
    "top_k": Case(lambda p, a: p.TopKLogitsWarper(5)),
    "top_k_of_all": Case(lambda p, a: p.TopKLogitsWarper(99, filter_value=-7.5)),
    "top_k_with_ends": Case(lambda p, a: p.TopKLogitsWarper(1, min_tokens_to_keep=3)),
    "top_p": Case(lambda p, a: p.TopPLogitsWarper(0.8)),
    "top_p_of_one": Case(lambda p, a: p.TopPLogitsWarper(0.0, min_tokens_to_keep=2)),
    "top_p_spread": Case(lambda p, a: p.TopPLogitsWarper(0.6), scores=SPREAD),
    "top_h": Case(lambda p, a: p.TopHLogitsWarper(0.4)),
    "top_h_spread": Case(lambda p, a: p.TopHLogitsWarper(0.7), scores=SPREAD),
    "min_p": Case(lambda p, a: p.MinPLogitsWarper(0.2)),
    "min_p_with_ends": Case(
        lambda p, a: p.MinPLogitsWarper(1.0, min_tokens_to_keep=3), scores=SPREAD
    ),
    "typical": Case(lambda p, a: p.TypicalLogitsWarper(0.5)),
    "typical_spread": Case(
        lambda p, a: p.TypicalLogitsWarper(0.2, min_tokens_to_keep=4), scores=SPREAD
    ),
    "epsilon": Case(lambda p, a: p.EpsilonLogitsWarper(0.05)),
    "epsilon_with_ends": Case(
        lambda p, a: p.EpsilonLogitsWarper(0.9, min_tokens_to_keep=3), scores=SPREAD
    ),
    "eta": Case(lambda p, a: p.EtaLogitsWarper(0.05)),
    "eta_spread": Case(lambda p, a: p.EtaLogitsWarper(0.3), scores=SPREAD),
    "no_repeat_1": Case(lambda p, a: p.NoRepeatNGramLogitsProcessor(1), (1, 5)),
    "no_repeat_2": Case(lambda p, a: p.NoRepeatNGramLogitsProcessor(2), (1, 2, 6, LENGTH)),
    "no_repeat_3": Case(lambda p, a: p.NoRepeatNGramLogitsProcessor(3), (2, 9, LENGTH)),
    "no_repeat_too_long": Case(lambda p, a: p.NoRepeatNGramLogitsProcessor(LENGTH + 2)),
    "encoder_no_repeat_1": Case(
        lambda p, a: p.EncoderNoRepeatNGramLogitsProcessor(1, a(ENCODER)), (1, 5)
    ),
    "encoder_no_repeat_2": Case(
        lambda p, a: p.EncoderNoRepeatNGramLogitsProcessor(2, a(ENCODER)), (1, 5, LENGTH)
    ),
    "encoder_no_repeat_3": Case(
        lambda p, a: p.EncoderNoRepeatNGramLogitsProcessor(3, a(ENCODER[0])), (1, 2, 7)
    ),
    "sequence_bias": Case(
        lambda p, a: p.SequenceBiasLogitsProcessor(
            {(3,): 1.5, (1, 2): -4.0, (5, 2): 2.0, (4, 2): -1.0, (0, 1, 4): 0.1, (2,): -0.3}
        ),
        (1, 2, 3, 5, 8, LENGTH),
    ),
    "sequence_bias_as_list": Case(
        lambda p, a: p.SequenceBiasLogitsProcessor([[[int(FEW[0, 4]), 9], -10.0], [[30], 2.0]])
    ),
    "bad_words": Case(
        lambda p, a: p.NoBadWordsLogitsProcessor([[3], [2], [1, 2], [0, 1], [4, 4, 0]], [2]),
        (1, 4, 7, LENGTH),
    ),
    "forced_bos": Case(lambda p, a: p.ForcedBOSTokenLogitsProcessor(4), (1, 2)),
    "forced_eos": Case(lambda p, a: p.ForcedEOSTokenLogitsProcessor(7, [2, 3]), (5, 6, 7)),
    "remove_invalid": Case(lambda p, a: p.InfNanRemoveLogitsProcessor(), scores=ODD),
    "exponential_decay": Case(
        lambda p, a: p.ExponentialDecayLengthPenalty((2, 1.1), [2, 5], 3), (3, 5, 6, LENGTH)
    ),
    "normalization": Case(lambda p, a: p.LogitNormalization()),
    "suppress": Case(lambda p, a: p.SuppressTokensLogitsProcessor([3, 9])),
    "suppress_at_begin": Case(
        lambda p, a: p.SuppressTokensAtBeginLogitsProcessor([3, 9], 4), (3, 4, 5)
    ),
    "timestamps": Case(
        lambda p, a: p.WhisperTimeStampLogitsProcessor(WHISPER, 2),
        (2, 3, 4, 6, 7, 9, 10, LENGTH),
        SPOKEN,
    ),
    "timestamps_not_preferred": Case(
        lambda p, a: p.WhisperTimeStampLogitsProcessor(WHISPER, 1, False), (1, 3, 7), SPOKEN, SPREAD
    ),
    "guidance": Case(
        lambda p, a: p.ClassifierFreeGuidanceLogitsProcessor(3.0), ids=FEW[:2], scores=SPREAD
    ),
    "dia_guidance": Case(
        lambda p, a: p.DiaClassifierFreeGuidanceLogitsProcessor(3.0, 5), ids=FEW[:2], scores=SPREAD
    ),
    "dia_guidance_of_all": Case(
        lambda p, a: p.DiaClassifierFreeGuidanceLogitsProcessor(1.5), ids=FEW[:2], scores=SPREAD
    ),
    "dia_channels": Case(lambda p, a: p.DiaEOSChannelFilterLogitsProcessor(2, 30), scores=SPREAD),
    "dia_channels_at_end": Case(
        lambda p, a: p.DiaEOSChannelFilterLogitsProcessor(2, int(SPREAD[2].argmax())),
        scores=SPREAD,
    ),
    "codebooks": Case(lambda p, a: p.AlternatingCodebooksLogitsProcessor(3, 10, 12), (3, 4, 5)),
    "bark_end": Case(lambda p, a: p.BarkEosPrioritizerLogitsProcessor([30, 7], 0.1)),
}


def compiled_on_jax(path: str) -> None:
    """Runs each case at its lengths, in one program, and writes its answers."""
    import jax
    from keras import ops

    from keraform.generation import processors
    from keraform.runtime.precision import keep_float64

    made = {name: case.make(processors, ops.convert_to_tensor) for name, case in CASES.items()}

    @jax.jit
    def run(tokens: Any, scores: Any, lengths: Any) -> Any:
        return {
            name: [
                made[name](ids, scores[name], lengths[name][turn])
                for turn, ids in enumerate(tokens[name])
            ]
            for name in made
        }

    tokens = {name: [case.tokens(n) for n in case.lengths] for name, case in CASES.items()}
    scores = {name: case.scores for name, case in CASES.items()}
    lengths = {name: np.array(case.lengths, "int32") for name, case in CASES.items()}
    with keep_float64():
        answers = run(tokens, scores, lengths)
    np.savez(path, **{name: np.stack(answer) for name, answer in answers.items()})


if __name__ == "__main__":
    compiled_on_jax(sys.argv[1])
