"""Trials: which forms of a class's arguments are tried next, and what an error's words ask for."""

import pytest
import torch
from torch import nn

from keraform.verify import trials
from keraform.verify.trials import Trials, combinations, features_of, width_of

COUNTS = {"pixel_values": 3, "attention_mask": 2}


def test_the_fewest_changes_come_first():
    changes = [sum(form > 0 for form in forms.values()) for forms in combinations(COUNTS)]
    assert changes == [0, 1, 1, 1, 2, 2]


def test_each_combination_is_tried_once():
    tried = list(Trials(COUNTS, combinations(COUNTS) * 2))
    assert tried == combinations(COUNTS)


def failure(model, **inputs):
    with pytest.raises(Exception) as caught:
        model(**inputs)
    return caught.value


class Squeezes(nn.Module):
    def forward(self, input_ids, attention_mask):
        return attention_mask.squeeze(5)


def test_the_argument_in_the_statement_that_failed_is_changed_first(monkeypatch):
    monkeypatch.setattr(trials, "UPSTREAM", __file__)
    found = Trials(COUNTS, combinations(COUNTS))
    taken = iter(found)
    first = next(taken)
    error = failure(Squeezes(), input_ids=None, attention_mask=torch.ones(2))
    found.blame(first, error)
    assert next(taken) == {"pixel_values": 0, "attention_mask": 1}
    found.blame({"pixel_values": 0, "attention_mask": 1}, error)  # nothing new
    assert next(taken) == {"pixel_values": 1, "attention_mask": 0}


def test_how_many_features_there_are_is_read_from_the_error():
    words = "Audio features and audio tokens do not match, tokens: 0, features: 21"
    assert features_of(ValueError(words)) == (("audio",), 21)
    words = (
        "Number of image placeholder tokens (168) does not match number of image tokens from VQVAE"
        " (18)"
    )
    assert features_of(ValueError(words)) == (("image",), 18)
    words = (
        "value tensor of shape [6, 128] cannot be broadcast to indexing result of shape [0, 128]"
    )
    assert features_of(RuntimeError(f"shape mismatch: {words}")) == (trials.MODALITIES, 6)
    assert features_of(ValueError("mat1 and mat2")) is None


@pytest.mark.parametrize(
    ("layer", "shape"), [(nn.Linear(7, 3), (2, 5)), (nn.Conv2d(7, 3, 1), (2, 5, 4, 4))]
)
def test_how_wide_a_state_has_to_be_is_read_from_the_error(layer, shape):
    assert width_of(failure(layer, input=torch.ones(shape))) == 7
