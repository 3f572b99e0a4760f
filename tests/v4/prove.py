"""Keraform's side: it loads what the old TensorFlow classes wrote, and writes files back for them.

Run with Keraform's Python: `python tests/v4/prove.py FOLDER CLASS ...`, after `given.py` and
`old.py make`. One line of JSON a class goes to standard output.
"""

from __future__ import annotations

import json
import logging
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import keraform
from keraform.checkpoints import torch_state

FORMS = ("h5", "shards", "safe", "safe-shards")


def read(where: Path, name: str) -> dict[str, Any]:
    """Loads each form: how far the outputs are off, and whether all forms give the same weights."""
    model_class = getattr(keraform, f"TF{name.partition('@')[0]}")
    first, said = model_class.from_pretrained(where / "h5", output_loading_info=True)
    with np.load(where / "used.npz") as used, np.load(where / "outputs.npz") as wanted:
        off = compared(dict(flat(first(dict(used), training=False))), dict(wanted))
    state = values(first)
    for form in FORMS[1:]:
        if not (where / form).is_dir():
            continue
        other = model_class.from_pretrained(where / form)
        for key, value in values(other).items():
            np.testing.assert_array_equal(value, state[key], err_msg=f"{form}: {key}")
    shutil.rmtree(where / "back", ignore_errors=True)
    first.save_pretrained(where / "back", safe_serialization=False)
    return {**{key: list(map(str, value)) for key, value in said.items()}, **off}


def values(model: Any) -> dict[str, np.ndarray]:
    """The weights by PyTorch's keys."""
    return {key: tensor.read() for key, tensor in torch_state(model).items()}


def compared(found: Mapping[str, np.ndarray], wanted: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The largest difference of each output, relative to the larger of 1 and the output's rms."""
    off: dict[str, float] = {}
    other_shapes = []
    # v4 computed some losses in another way; they say nothing of weights
    for key in sorted(set(found) & set(wanted) - {"loss"}):
        one, other = found[key], wanted[key]
        if one.shape != other.shape:
            other_shapes.append(key)
            continue
        scale = max(1.0, float(np.sqrt(np.mean(np.square(other, dtype="f8")))))
        off[key] = float(np.max(abs(one - other))) / scale
    return {"off": off, "other_shapes": other_shapes, "only_v4": sorted(set(wanted) - set(found))}


def flat(value: Any, name: str = "") -> Iterator[tuple[str, np.ndarray]]:
    """Each array of a model's output under the names and places that lead to it."""
    if isinstance(value, Mapping):
        parts: Any = value.items()
    elif isinstance(value, (tuple, list)):
        parts = enumerate(value)
    elif hasattr(value, "numpy"):
        yield name, np.asarray(value)
        return
    else:
        return
    for key, part in parts:
        yield from flat(part, f"{name}.{key}" if name else str(key))


def main() -> None:
    logging.disable(logging.WARNING)
    folder, *names = sys.argv[1:]
    for name in names:
        try:
            said = {"class": name, "problem": "", **read(Path(folder) / name, name)}
        except Exception as error:  # one class must not stop the others
            said = {"class": name, "problem": f"{type(error).__name__}: {error}"[:600]}
        print(json.dumps(said), flush=True)


if __name__ == "__main__":
    main()
