"""Inputs of the golden models: distinct sizes, padding on both sides, odd and even images."""

from __future__ import annotations

import numpy as np


def encoder() -> dict[str, np.ndarray]:
    """Three sequences: full, right-padded, left-padded. 1 in the mask is a token, 0 is padding."""
    random = np.random.default_rng(1)
    mask = np.ones((3, 11), "int64")
    mask[1, 7:] = 0
    mask[2, :4] = 0
    return {
        "input_ids": random.integers(1, 97, (3, 11)) * mask,
        "attention_mask": mask,
        "token_type_ids": (np.arange(11) > 5).astype("int64") * mask,
    }


def decoder() -> dict[str, np.ndarray]:
    """Two sequences of an odd length."""
    return {"input_ids": np.random.default_rng(2).integers(0, 89, (2, 13))}


def convnet() -> dict[str, np.ndarray]:
    """Two images, even by odd: padding differs between the two."""
    return {"pixel_values": np.random.default_rng(3).normal(size=(2, 3, 38, 45))}
