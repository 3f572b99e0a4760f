"""The examples' recipes in torch: without dropout the same losses, step by step; with it, curves
that differ no more than two runs of one side do.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import torch
import transformers
from scipy.stats import ttest_ind

BATCH = 16
# Keras computes with its betas in float32: a number that is one, unlike 0.999.
BETA_2, EPSILON = 1 - 2**-10, 1e-7
EXAMPLES = (
    "text_classification",
    "image_classification",
    "token_classification",
    "question_answering",
    "causal_lm",
    "translation",
)
Step = Callable[[dict[str, np.ndarray]], float]  # trains on a batch, returns its loss


class Recipe:
    """What both sides start from: a checkpoint, the settings of AdamW, and batches in order."""

    def __init__(self, name: str, directory: Any, short: bool, steps: int) -> None:
        keras.utils.set_random_seed(0)
        model, *_, train, _ = importlib.import_module(name).prepare(short)
        model.save_pretrained(directory)
        self.directory = directory
        self.keras_class = type(model)
        self.torch_class = getattr(transformers, type(model).__name__.removeprefix("TF"))
        self.rate = float(model.optimizer.learning_rate)
        self.decay = model.optimizer.weight_decay or 0.0
        dropouts = [each for each in model.config.to_dict() if "drop" in each]
        self.no_dropout = {each: 0.0 for each in dropouts if getattr(model.config, each)}
        count = len(next(iter(train.values())))
        rows = np.arange(steps * BATCH).reshape(steps, BATCH) % count
        self.batches = [
            {key: np.asarray(value)[row] for key, value in train.items()} for row in rows
        ]

    def keras_step(self, changes: dict[str, float], eager: bool = False) -> Step:
        model = self.keras_class.from_pretrained(self.directory, **changes)
        optimizer = keras.optimizers.AdamW(self.rate, self.decay, beta_2=BETA_2, epsilon=EPSILON)
        model.compile(optimizer, run_eagerly=eager)

        def step(batch: dict[str, np.ndarray]) -> float:
            model.reset_metrics()
            return float(model.train_on_batch(batch))

        return step

    def torch_step(self, changes: dict[str, float]) -> Step:
        model = self.torch_class.from_pretrained(
            self.directory, attn_implementation="eager", **changes
        ).train()
        optimizer = torch.optim.AdamW(
            model.parameters(), self.rate, (0.9, BETA_2), weight_decay=self.decay
        )
        done = 0

        def step(batch: dict[str, np.ndarray]) -> float:
            nonlocal done
            done += 1
            # Keras adds its epsilon before the bias of the second moment is corrected
            optimizer.param_groups[0]["eps"] = EPSILON / math.sqrt(1 - BETA_2**done)
            loss = model(**{key: torch.from_numpy(value) for key, value in batch.items()}).loss
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss.item()

        return step


QUICK = ("image_classification", True)
ALL = [pytest.param(name, False, marks=pytest.mark.slow) for name in EXAMPLES]


@pytest.mark.parametrize(("name", "short"), [QUICK, *ALL])
def test_first_steps_without_dropout(name, short, tmp_path):
    recipe = Recipe(name, tmp_path, short, steps=10 if short else 20)
    ours = recipe.keras_step(recipe.no_dropout, eager=short)
    theirs = recipe.torch_step(recipe.no_dropout)
    found = [ours(batch) for batch in recipe.batches]
    wanted = [theirs(batch) for batch in recipe.batches]
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
    assert wanted[-1] < wanted[0]


@pytest.mark.slow
@pytest.mark.parametrize("name", EXAMPLES)
def test_curves_with_dropout(name, tmp_path):
    recipe = Recipe(name, tmp_path, short=True, steps=40)

    def curves(make: Callable[[dict[str, float]], Step]) -> np.ndarray:
        found = []
        for seed in range(4):
            keras.utils.set_random_seed(seed)
            torch.manual_seed(seed)
            step = make({})
            losses = np.array([step(batch) for batch in recipe.batches])
            found.append(losses.reshape(4, 10).mean(axis=1))
        return np.array(found)  # [seed, tenth]

    found, wanted = curves(recipe.keras_step), curves(recipe.torch_step)
    p = ttest_ind(found, wanted, equal_var=False).pvalue
    assert p.min() * len(p) > 0.01, (found, wanted)
