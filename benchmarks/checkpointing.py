"""Peak memory and time of a training step of a BERT, with and without gradient checkpointing.

    python benchmarks/checkpointing.py --layers 12 --batch 8 --length 128

Each side runs in a process of its own, under XLA: forward pass, gradients and a step of SGD through
`train_on_batch`. Memory is the resident set's peak in the steps after the first, above what the
process held before the model was called; the first step, which compiles, is left out.
"""

from __future__ import annotations

import argparse
import statistics
from typing import Any

from children import child
from show import show

STEP = """
import json, sys, time
from pathlib import Path

import keras
import numpy as np
from transformers import BertConfig
from keraform import TFBertForSequenceClassification

def resident(name):
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) / 1e6 for line in status.splitlines() if line.startswith(name))

layers, width, batch, length, every, steps = (int(value) for value in sys.argv[1:])
config = BertConfig(hidden_size=width, num_hidden_layers=layers, intermediate_size=4 * width,
                    num_attention_heads=width // 64)
model = TFBertForSequenceClassification.from_config(config)
if every:
    model.gradient_checkpointing_enable(every_n_layers=every)
model.compile(keras.optimizers.SGD(1e-3), jit_compile=True)
ids = np.random.default_rng(0).integers(1, config.vocab_size, (batch, length)).astype("int32")
data = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
labels = np.arange(batch) % 2
base = resident("VmRSS")
start = time.perf_counter()
model.train_on_batch(data, labels)
first = time.perf_counter() - start
Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
seconds = []
for _ in range(steps):
    start = time.perf_counter()
    loss = model.train_on_batch(data, labels)
    seconds.append(time.perf_counter() - start)
peak = resident("VmHWM") - base
print(json.dumps({"peak": peak, "seconds": min(seconds), "first": first, "loss": float(loss)}))
"""


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--width", type=int, default=768, help="hidden size, a multiple of 64")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--every", type=int, nargs="+", default=[0, 1], help="0 for none")
    parser.add_argument("--steps", type=int, default=2, help="after the first")
    parser.add_argument("--rounds", type=int, default=1, help="processes of each side")
    parser.add_argument("--json", action="store_true", help="one JSON object, nothing else")
    return parser.parse_args()


def main() -> None:
    """Measure and print."""
    options = arguments()
    sizes = [options.layers, options.width, options.batch, options.length]
    rows: list[dict[str, Any]] = []
    for every in options.every:
        given = [str(value) for value in (*sizes, every, options.steps)]
        runs = [child(STEP, *given) for _ in range(options.rounds)]
        rows.append(
            {
                "checkpointing": f"every {every}. block" if every else "none",
                "peak_GB": statistics.median(run["peak"] for run in runs),
                "step_s": min(run["seconds"] for run in runs),
                "first_step_s": min(run["first"] for run in runs),
                "loss": runs[0]["loss"],
            }
        )
    shape = f"{options.layers} layers, {options.width} wide, {options.batch}x{options.length}"
    show("gradient checkpointing", rows, {"shape": shape, "rounds": options.rounds}, options.json)


if __name__ == "__main__":
    main()
