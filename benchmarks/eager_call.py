"""One eager call of BERT-tiny (2 layers, 128 wide, 16 tokens): port, hand-written Keras, torch.

python benchmarks/eager_call.py --rounds 40
"""

from __future__ import annotations

import argparse
import os
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import numpy as np
import transformers
from forward import by_hand, port, torch_network
from machine import describe
from measure import in_turn, ratio, work_ratio
from networks import NETWORKS
from show import show

CONFIG = {"hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2,
          "intermediate_size": 512}  # fmt: skip
PORT, HAND, TORCH = "port", "by hand", "torch"


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=40, help="timed calls of each side")
    parser.add_argument("--json", action="store_true", help="one JSON object, nothing else")
    return parser.parse_args()


def main() -> None:
    """Measure and print."""
    import tensorflow as tf
    import torch

    options = arguments()
    transformers.utils.logging.disable_progress_bar()
    network, config = NETWORKS["bert"], transformers.BertConfig(**CONFIG)
    inputs = {
        "input_ids": np.random.default_rng(0).integers(0, config.vocab_size, (1, 16)),
        "attention_mask": np.ones((1, 16), "int64"),
    }
    twin = torch_network(network, config)
    ported, written = port(network, twin, None), by_hand(network, twin, config, inputs)
    tensors = {name: tf.constant(value) for name, value in inputs.items()}
    values = {name: torch.from_numpy(value) for name, value in inputs.items()}

    def eager_torch() -> Any:
        with torch.no_grad():
            return twin(**values)

    sides = {
        PORT: lambda: ported(**tensors),
        HAND: lambda: written(tensors),
        TORCH: eager_torch,
    }
    timings = in_turn(sides, options.rounds)
    rows = [
        {
            "side": side,
            "median_ms": 1e3 * timing.median,
            "best_ms": 1e3 * timing.best,
            "processor_ms": 1e3 * timing.work,
            "over_by_hand": ratio(timing, timings[HAND]),
            "processor_over_by_hand": work_ratio(timing, timings[HAND]),
        }
        for side, timing in timings.items()
    ]
    notes = {"machine": describe(), "rounds": options.rounds}
    show("Eager call of BERT-tiny", rows, notes, options.json)


if __name__ == "__main__":
    main()
