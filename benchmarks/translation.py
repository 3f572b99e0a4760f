"""Translation time of modeling files, and what imports cost.

    python benchmarks/translation.py                 # the proved types, then a sample of all files
    python benchmarks/translation.py --types bert --sample 0 --rounds 1

A file is translated cold: in a process of its own for the named types, with Keras, Transformers and
Keraform imported and an empty cache. The sample is translated in one process.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from typing import Any

from children import child
from show import show

TYPES = (
    "bert", "albert", "distilbert", "roberta", "electra", "gpt2", "llama", "mistral", "qwen3",
    "t5", "bart", "whisper", "vit", "clip", "convnext", "wav2vec2", "mamba", "deberta_v2", "swin",
    "detr", "mixtral",
)  # fmt: skip
LONGEST = 2000  # lines, up to which a file has to be quick

COLD = """
import json, sys, time
import keras, transformers, keraform
from keraform.translate.ports import port
from keraform.translate.source import module_path
found = {}
for module in sys.argv[1:]:
    lines = len(module_path(module).read_text("utf-8").splitlines())
    start, work = time.perf_counter(), time.process_time()
    try:
        port(module)
    except Exception as error:
        found[module] = {"lines": lines, "error": f"{type(error).__name__}: {error}"[:300]}
        continue
    seconds, work = time.perf_counter() - start, time.process_time() - work
    found[module] = {"lines": lines, "seconds": seconds, "processor": work}
print(json.dumps(found))
"""

MODULES = """
import json
from keraform.translate.source import module_path, transformers_root
files = sorted((transformers_root() / "models").glob("*/modeling_*.py"))
print(json.dumps({f"transformers.models.{file.parent.name}.{file.stem}":
                  len(file.read_text("utf-8").splitlines()) for file in files}))
"""

IMPORTS = """
import json, sys, time
def clock(statement):
    start, work = time.perf_counter(), time.process_time()
    exec(statement, {})
    return time.perf_counter() - start, time.process_time() - work
folder = sys.argv[1]
both = clock(f"import keras, transformers; from transformers.models.{folder} import "
             f"configuration_{folder}; transformers.GenerationConfig, transformers.AutoConfig")
own = clock("import keraform")
port = clock(f"import keraform.models.{folder}.modeling_{folder}")
print(json.dumps({"keras and transformers": both, "keraform": own, "a port, warm": port}))
"""


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--types", nargs="*", default=list(TYPES), help="folders, each by itself")
    parser.add_argument("--sample", type=int, default=60, help="files out of all, evenly spread")
    parser.add_argument("--rounds", type=int, default=5, help="processes for the imports")
    parser.add_argument("--json", action="store_true", help="one JSON object, nothing else")
    return parser.parse_args()


def main() -> None:
    """Measure and print."""
    options = arguments()
    named = [f"transformers.models.{folder}.modeling_{folder}" for folder in options.types]
    cold = {name: result for each in named for name, result in translate([each]).items()}
    short = [name for name, lines in child(MODULES).items() if lines <= LONGEST]
    step = max(1, len(short) // max(1, options.sample))
    spread = translate(short[::step][: options.sample]) if options.sample else {}
    rows = [
        *summary("types, cold", cold),
        *summary(f"sample up to {LONGEST} lines", spread),
        *imports(options.types[0] if options.types else "bert", options.rounds),
    ]
    failures = {k: r["error"] for k, r in {**cold, **spread}.items() if "error" in r}
    slow = sorted((r for r in cold.items() if "error" not in r[1]), key=lambda r: -r[1]["seconds"])
    notes = {
        "slowest_types": {
            name.rpartition("modeling_")[2]: f"{r['seconds']:.2f} s ({r['lines']} lines)"
            for name, r in slow[:5]
        },
        "failures": failures or "none",
    }
    show("Translation and imports", rows, notes, options.json)


def translate(modules: list[str]) -> dict[str, dict[str, Any]]:
    """Translate modules in one process with an empty cache."""
    with tempfile.TemporaryDirectory() as cache:
        return child(COLD, *modules, KERAFORM_CACHE=cache, PYTHONDONTWRITEBYTECODE="1")


def summary(title: str, results: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Median and maximum over files."""
    done = [result for result in results.values() if "error" not in result]
    if not done:
        return []
    return [
        {
            "side": title,
            "count": len(done),
            "median_s": statistics.median(result["seconds"] for result in done),
            "maximum_s": max(result["seconds"] for result in done),
            "median_processor_s": statistics.median(result["processor"] for result in done),
            "maximum_processor_s": max(result["processor"] for result in done),
            "lines": sum(result["lines"] for result in done),
        }
    ]


def imports(folder: str, rounds: int) -> list[dict[str, Any]]:
    """What `import keraform` and the import of a port add to Keras and Transformers."""
    with tempfile.TemporaryDirectory() as cache:
        # bytecode goes beside the ports, not into the sources; the first run fills both
        places = {"KERAFORM_CACHE": cache, "PYTHONPYCACHEPREFIX": f"{cache}/bytecode"}
        runs = [child(IMPORTS, folder, **places) for _ in range(rounds + 1)][1:]
    return [
        {
            "side": f"import {name}",
            "count": len(runs),
            "median_s": statistics.median(run[name][0] for run in runs),
            "maximum_s": max(run[name][0] for run in runs),
            "median_processor_s": statistics.median(run[name][1] for run in runs),
            "maximum_processor_s": max(run[name][1] for run in runs),
            "lines": None,
        }
        for name in runs[0]
    ]


if __name__ == "__main__":
    main()
