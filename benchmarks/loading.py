"""Time and peak memory of `from_pretrained`, against PyTorch's, for one checkpoint in turn.

    python benchmarks/loading.py --gigabytes 0.1 0.5 --rounds 3

Each load runs in a process of its own, with everything imported, a tiny checkpoint loaded before,
and the file in the page cache. Memory is the resident set above what it was before, pages of the
mapped file included: its peak while loading, and what it is after every weight was read once.
PyTorch only maps the file: its pages are read when a weight is first used, so the time until then
stands beside the load's own.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path
from typing import Any

from children import child
from show import show

# hidden size, layers, intermediate size of BERT checkpoints, by gigabytes in float32
SIZES = {0.01: (64, 2, 256), 0.1: (480, 4, 1920), 0.5: (768, 14, 3072), 2.0: (1280, 24, 5120)}

MAKE = """
import json, sys
import torch
from transformers import BertConfig, BertModel
width, layers, inner = (int(value) for value in sys.argv[2:])
config = BertConfig(hidden_size=width, num_hidden_layers=layers, intermediate_size=inner,
                    num_attention_heads=width // 32)
BertModel(config).save_pretrained(sys.argv[1])
print(json.dumps({}))
"""

LOAD = """
import json, sys, time
from pathlib import Path

def resident(name):
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) / 1e6 for line in status.splitlines() if line.startswith(name))

if sys.argv[1] == "port":
    from keraform import TFBertModel as Model
else:
    from transformers import BertModel as Model
warm = Model.from_pretrained(sys.argv[2])
for file in Path(sys.argv[3]).glob("*.safetensors"):
    file.read_bytes()
Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
base = resident("VmRSS")
start, work = time.perf_counter(), time.process_time()
model = Model.from_pretrained(sys.argv[3])
seconds, work = time.perf_counter() - start, time.process_time() - work
peak = resident("VmHWM") - base
if sys.argv[1] == "port":
    total = sum(float(abs(weight.numpy()).sum()) for weight in model.weights)
else:
    total = sum(float(weight.detach().abs().sum()) for weight in model.parameters())
read = time.perf_counter() - start
kept = resident("VmRSS") - base
print(json.dumps({"seconds": seconds, "read": read, "processor": work, "peak": peak, "kept": kept}))
"""


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--gigabytes", type=float, nargs="+", choices=list(SIZES), default=[0.1, 0.5]
    )
    parser.add_argument("--rounds", type=int, default=3, help="processes of each side")
    parser.add_argument("--json", action="store_true", help="one JSON object, nothing else")
    return parser.parse_args()


def main() -> None:
    """Measure and print."""
    options = arguments()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        tiny = make(Path(folder), 0.01)
        for size in options.gigabytes:
            rows += measure(make(Path(folder), size), tiny, options.rounds)
    show("from_pretrained", rows, {"rounds": options.rounds}, options.json)


def make(folder: Path, gigabytes: float) -> Path:
    """A checkpoint of about this size."""
    path = folder / str(gigabytes)
    child(MAKE, str(path), *(str(value) for value in SIZES[gigabytes]))
    return path


def measure(checkpoint: Path, tiny: Path, rounds: int) -> list[dict[str, Any]]:
    """Both sides of one checkpoint."""
    size = sum(file.stat().st_size for file in checkpoint.glob("*.safetensors")) / 1e9
    found: dict[str, list[dict[str, float]]] = {"port": [], "torch": []}
    for _ in range(rounds):
        for side, runs in found.items():
            runs.append(child(LOAD, side, str(tiny), str(checkpoint)))
    return [
        {
            "side": side,
            "checkpoint_GB": size,
            "median_s": statistics.median(run["seconds"] for run in runs),
            "best_s": min(run["seconds"] for run in runs),
            "and_read_once_s": statistics.median(run["read"] for run in runs),
            "processor_s": statistics.median(run["processor"] for run in runs),
            "peak_GB": statistics.median(run["peak"] for run in runs),
            "kept_GB": statistics.median(run["kept"] for run in runs),
        }
        for side, runs in found.items()
    ]


if __name__ == "__main__":
    main()
