"""Greedy decoding: the port on TensorFlow and JAX, torch, and Transformers 4.57's XLA, in turn.

    python benchmarks/generation.py --networks gpt2 --batches 1 8
    python benchmarks/generation.py --v4-python FOLDER/bin/python
    python benchmarks/generation.py --tiny --json

Each side is a process of its own; their calls of `generate` take turns. All read one random
checkpoint, and must give the same tokens before anything is shown (with weights in int8 or
bfloat16 a few are others; the table says how many are the same).
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

from children import Worker, child
from generation_side import NETWORKS
from machine import describe
from show import show

V4 = "Transformers 4.57, XLA"
SIDES = {
    "port, TensorFlow": ("port", "tensorflow"),
    "port, JAX": ("port", "jax"),
    "torch": ("torch", "tensorflow"),
    "port, bfloat16": ("port+bfloat16", "tensorflow"),
    "port, int8": ("port+int8", "tensorflow"),
    "torch, bfloat16": ("torch+bfloat16", "tensorflow"),
}
HERE = Path(__file__).parent
CODE = f"import sys; sys.path.insert(0, {str(HERE)!r}); import generation_side as g; g.main()"


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", nargs="+", choices=list(NETWORKS), default=list(NETWORKS))
    parser.add_argument("--sides", nargs="+", choices=list(SIDES), default=list(SIDES)[:3])
    parser.add_argument("--v4-python", help="a Python with transformers 4.57 and tf-keras")
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 8])
    parser.add_argument("--prompt", type=int, default=32, help="tokens of the prompt")
    parser.add_argument("--new", type=int, default=64, help="tokens generated in each row")
    parser.add_argument("--rounds", type=int, default=7, help="timed calls of each side")
    parser.add_argument("--tiny", action="store_true", help="tiny networks: a smoke test")
    parser.add_argument("--json", action="store_true", help="one JSON object, nothing else")
    return parser.parse_args()


def main() -> None:
    """Measure and print."""
    options = arguments()
    rows = [row for name in options.networks for row in measure(name, options)]
    notes = {
        "machine": describe(),
        "tokens_per_s": "of all rows, by the median call of generate, the prompt's pass included",
        "first_s": "the first call, with tracing and compiling",
        "share_of_memory": "bytes of the weights that a token needs, over the seconds a token and "
        "the fastest read of as many bytes in the same rounds",
        "same": "share of the tokens that are torch's",
        "rounds": options.rounds,
        "prompt": options.prompt,
        "new": options.new,
    }
    show("Greedy decoding", rows, notes, options.json)


def measure(name: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    """All sides of one network, in turn."""
    size = "tiny" if options.tiny else "full"
    lengths = (str(options.prompt), str(options.new))
    with tempfile.TemporaryDirectory() as folder:
        made = child(CODE, "make", name, folder, size, *lengths)
        sides = {
            side: Worker(CODE, kind, name, folder, size, *lengths, KERAS_BACKEND=backend)
            for side, (kind, backend) in SIDES.items()
            if side in options.sides
        }
        if options.v4_python and NETWORKS[name].in_v4:
            sides[V4] = Worker(
                CODE, "v4", name, folder, size, *lengths,
                python=options.v4_python, TF_USE_LEGACY_KERAS="1",
            )  # fmt: skip
        try:
            return [
                row
                for batch in options.batches
                for row in of_batch(name, batch, sides, made["bytes"], options)
            ]
        finally:
            for worker in sides.values():
                worker.close()


def of_batch(
    name: str, batch: int, sides: dict[str, Worker], size: int, options: argparse.Namespace
) -> list[dict[str, Any]]:
    """All sides with one number of rows."""
    first = {side: worker.ask(batch) for side, worker in sides.items()}
    check(name, batch, first)
    calls: dict[str, list[dict[str, Any]]] = {side: [] for side in sides}
    reads = []
    for number in range(options.rounds):
        for side in list(sides) if number % 2 == 0 else list(reversed(sides)):
            calls[side].append(sides[side].ask(batch))
        reads.append(seconds_of_read(size))
    base = "torch" if "torch" in sides else next(iter(sides))
    return [
        {
            "network": name,
            "batch": batch,
            "side": side,
            "tokens_per_s": batch * options.new / median(found, "seconds"),
            "processor_s": median(found, "processor"),
            "first_s": first[side]["seconds"],
            "share_of_memory": first[side]["width"] / 4 * min(reads) * options.new
            / median(found, "seconds"),
            **{
                f"over_{word}": ratio(calls[other], found) if other in calls else None
                for word, other in (("torch", base), ("v4", V4))
            },
            "same": same(first[side]["tokens"], first[base]["tokens"]),
        }
        for side, found in calls.items()
    ]  # fmt: skip


def check(name: str, batch: int, first: dict[str, dict[str, Any]]) -> None:
    """Whether all sides with weights of float32 give the same tokens.

    Raises:
        SystemExit: a token is another one.
    """
    exact = {side: found["tokens"] for side, found in first.items() if found["width"] == 4}
    for side, tokens in exact.items():
        share = same(tokens, next(iter(exact.values())))
        if share < 1:
            raise SystemExit(
                f"expected {name} with {batch} rows: the same tokens of all sides; got "
                f"{share:.1%} of {next(iter(exact))} from {side}; keraform verify {name}"
            )


def same(tokens: list[list[int]], others: list[list[int]]) -> float:
    """The share of tokens that are equal."""
    pairs = [
        (one, other)
        for row, other_row in zip(tokens, others, strict=True)
        for one, other in zip(row, other_row, strict=True)
    ]
    return sum(one == other for one, other in pairs) / len(pairs)


def median(calls: list[dict[str, Any]], key: str) -> float:
    """The middle call."""
    return statistics.median(call[key] for call in calls)


def ratio(slower: list[dict[str, Any]], faster: list[dict[str, Any]]) -> float:
    """The median over rounds of how many times faster, each round by itself."""
    pairs = zip(slower, faster, strict=True)
    return statistics.median(a["seconds"] / b["seconds"] for a, b in pairs)


def seconds_of_read(size: int) -> float:
    """How long all cores take to read as many bytes as a token needs of weights in float32."""
    import torch

    values = torch.ones(size // 4)
    values.sum()
    start = time.perf_counter()
    values.sum()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
