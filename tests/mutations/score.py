"""The score of the detector: seeds every fault, looks for it, and writes what came of it.

python -m tests.mutations.score [--types bert,gpt2] [--workers 2] [--results docs/detector.json]

A run that was stopped goes on where it was: what is known is kept under `build/detector`, in a
folder named after everything that shapes the result.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
RESULTS = REPOSITORY / "docs" / "detector.json"
PAGE = REPOSITORY / "docs" / "detector.md"

# One thread for each of the workers, which is also what makes a fingerprint the same every time.
ENVIRONMENT = {
    "KERAS_BACKEND": "tensorflow", "CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "3",
    "OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1",
    "TRANSFORMERS_VERBOSITY": "error", "HF_HUB_OFFLINE": "1",
}  # fmt: skip


def main() -> int:
    """Run every model type, two at a time, and write the results."""
    asked = _arguments()
    if asked.worker:
        from tests.mutations.worker import work

        assert asked.folder.name == state_of_the_code(), "the code was changed during the run"
        work(asked.worker, asked.folder / f"{asked.worker}.jsonl")
        return 0
    folder = REPOSITORY / "build" / "detector" / state_of_the_code()
    folder.mkdir(parents=True, exist_ok=True)
    failed = _run(asked.types, folder, asked.workers)
    if failed:
        print(f"these did not end: {', '.join(failed)}; run the command again to go on")
        return 1
    from tests.mutations.report import page, summary

    results = summary({name: _lines(folder / f"{name}.jsonl") for name in asked.types})
    asked.results.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    asked.results.with_suffix(".md").write_text(page(results), encoding="utf-8")
    print(page(results).partition("## ")[0])
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--types", type=lambda text: text.split(","), default=_all_types())
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def _all_types() -> list[str]:
    from tests.mutations.models import CLASSES

    return list(CLASSES)


def state_of_the_code() -> str:
    """A hash over everything of ours that shapes a result."""
    digest = hashlib.sha256()
    for root in (REPOSITORY / "src" / "keraform", Path(__file__).parent):
        for path in sorted(root.rglob("*.py")):
            digest.update(path.relative_to(root).as_posix().encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _run(types: list[str], folder: Path, workers: int) -> list[str]:
    """Every type in a process of its own, `workers` at a time; gives the types that failed."""
    waiting, running, failed = [*types], {}, []
    while waiting or running:
        while waiting and len(running) < workers:
            name = waiting.pop(0)
            running[name] = _started(name, folder)
        time.sleep(0.5)
        for name, process in [*running.items()]:
            if process.poll() is not None:
                del running[name]
                if process.returncode:
                    failed.append(name)
    return failed


def _started(name: str, folder: Path) -> subprocess.Popen[bytes]:
    paths = (str(REPOSITORY / "src"), str(REPOSITORY), os.environ.get("PYTHONPATH"))
    environment = {**os.environ, **ENVIRONMENT, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    command = [sys.executable, "-m", "tests.mutations.score", "--worker", name, "--folder"]
    return subprocess.Popen([*command, str(folder)], env=environment, cwd=REPOSITORY)


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    for line in path.read_text(encoding="utf-8").splitlines():
        yield json.loads(line)


if __name__ == "__main__":
    sys.exit(main())
