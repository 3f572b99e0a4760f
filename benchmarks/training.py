"""Steps of training in float32: port and hand-written network by `fit`, and torch eager, in turn.

    python benchmarks/training.py --networks bert --rounds 3
    python benchmarks/training.py --tiny --json

Each side of each round is a process of its own. All start from one checkpoint, without dropout,
train on the same batch with AdamW, and must have the same losses before anything is shown.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

from children import child
from machine import describe, product_operations, products
from show import show

SIDES = {
    "port": "port",
    "port, XLA": "port+xla",
    "by hand": "hand",
    "by hand, XLA": "hand+xla",
    "torch": "torch",
}
FAR = 1e-3  # of losses near 1 (of GPT-2 near 10), over some steps
HERE = Path(__file__).parent


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = ("bert", "gpt2", "vit")
    parser.add_argument("--networks", nargs="+", choices=names, default=list(names))
    parser.add_argument("--sides", nargs="+", choices=list(SIDES), default=list(SIDES))
    parser.add_argument("--rounds", type=int, default=3, help="processes of each side")
    parser.add_argument("--steps", type=int, default=8, help="timed steps in each process")
    parser.add_argument("--tiny", action="store_true", help="tiny networks: a smoke test")
    parser.add_argument("--json", action="store_true", help="one JSON object, nothing else")
    return parser.parse_args()


def main() -> None:
    """Measure and print."""
    options = arguments()
    rows = [row for name in options.networks for row in measure(name, options)]
    notes = {
        "machine": describe(),
        "steps_per_s": "of the median step over all rounds; tracing and compiling do not count",
        "peak_GB": "resident memory above that of the imports, weights and optimizer included",
        "share_of_peak": "of the fastest 2048-cubed float32 matrix product between the processes",
        "rounds": options.rounds,
        "steps": options.steps,
    }
    show("Training, float32, AdamW", rows, notes, options.json)


def measure(name: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    """All sides of one network, in turn."""
    found: dict[str, list[dict[str, Any]]] = {side: [] for side in options.sides}
    rates: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        work = run("make", name, folder, options)["operations"]
        for _ in range(options.rounds):
            for side, runs in found.items():
                rates.append(fastest_product(128 if options.tiny else 2048))
                runs.append(run(SIDES[side], name, folder, options))
    check(name, found)
    medians = {side: median(runs, "seconds") for side, runs in found.items()}
    return [
        {
            "network": name,
            "side": side,
            "steps_per_s": 1 / medians[side],
            "median_s": medians[side],
            "processor_s": median(runs, "processor"),
            "first_s": statistics.median(each["first_s"] for each in runs),
            "peak_GB": max(each["peak_GB"] for each in runs),
            "GFLOP_per_s": work / medians[side] / 1e9,
            "share_of_peak": work / medians[side] / max(rates),
            "over_torch": medians[side] / medians["torch"] if "torch" in medians else None,
        }
        for side, runs in found.items()
    ]


def run(side: str, name: str, folder: str, options: argparse.Namespace) -> dict[str, Any]:
    """What `training_side.py` prints in a process of its own."""
    size = "tiny" if options.tiny else "full"
    code = f"import sys; sys.path.insert(0, {str(HERE)!r}); import training_side as t; t.main()"
    return child(code, side, name, folder, str(options.steps), size)


def median(runs: list[dict[str, Any]], key: str) -> float:
    """The middle step of all rounds."""
    return statistics.median(value for each in runs for value in each[key])


def fastest_product(size: int) -> float:
    """Operations a second of a matrix product, in the engine that is fastest here."""
    calls = products(size)
    best = 0.0
    for call in calls.values():
        call()
        start = time.perf_counter()
        call()
        best = max(best, product_operations(size) / (time.perf_counter() - start))
    return best


def check(name: str, found: dict[str, list[dict[str, Any]]]) -> None:
    """Whether all sides trained the same.

    Raises:
        SystemExit: a loss is another one.
    """
    first, *others = ((side, each["losses"]) for side, runs in found.items() for each in runs)
    for side, losses in others:
        off = max(abs(a - b) for a, b in zip(losses, first[1], strict=True))
        if off > FAR * max(1, abs(first[1][0])):
            raise SystemExit(
                f"expected {name}: losses of all sides within {FAR}; got {side} {off:.1e} off "
                f"{first[0]}; mend benchmarks/handwritten, or keraform verify {name}"
            )


if __name__ == "__main__":
    main()
