"""The side of Transformers v4: its TensorFlow classes write checkpoints, and read Keraform's.

Run with a Python that has transformers 4.57.6, tensorflow and tf-keras:

    python tests/v4/old.py make FOLDER CLASS ...     writes CLASS/h5, /shards, /safe, /safe-shards
    python tests/v4/old.py check FOLDER CLASS ...    loads CLASS/back, which Keraform has written

One line of JSON a class goes to standard output. Needs nothing of Keraform.
"""

from __future__ import annotations

import inspect
import json
import os
import shutil
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

os.environ["TF_USE_LEGACY_KERAS"] = "1"

import numpy as np
import transformers

transformers.logging.set_verbosity_error()

FORMS = {
    "h5": {},
    "shards": {"max_shard_size": "20KB"},
    "safe": {"safe_serialization": True},
    "safe-shards": {"safe_serialization": True, "max_shard_size": "20KB"},
}


def make(folder: Path, name: str) -> dict[str, Any]:
    """A model with random weights, kept in each form, with what it gives."""
    where = folder / name
    model_class = getattr(transformers, f"TF{name.partition('@')[0]}")
    model = model_class(model_class.config_class.from_pretrained(where))
    inputs = inputs_for(model, where)
    model(inputs, training=False)
    for weight in model.weights:
        randomise(weight)
    outputs = dict(flat(model(inputs, training=False)))
    np.savez(where / "outputs.npz", **outputs)
    np.savez(where / "used.npz", **inputs)
    failed = {}
    for form, options in FORMS.items():
        try:
            model.save_pretrained(str(where / form), **options)
        except (ValueError, AttributeError) as error:  # v4 has no place for a scalar there
            failed[form] = str(error)
            shutil.rmtree(where / form)
    names = [[each.name, list(each.shape)] for each in model.weights]
    layers = [layer.name for layer in model.layers]
    (where / "names.json").write_text(json.dumps({"layers": layers, "weights": names}, indent=0))
    return {"outputs": sorted(outputs), "weights": len(names), "failed": failed}


def inputs_for(model: Any, where: Path) -> dict[str, np.ndarray]:
    """What lies beside the configuration, as far as the class takes it."""
    taken = inspect.signature(model.call).parameters
    given = np.load(where / "inputs.npz")
    return {
        key: given[key].astype("int32") if given[key].dtype == "int64" else given[key]
        for key in given.files
        if key in taken
    }


def randomise(weight: Any) -> None:
    """Other values for everything that is trained or counted, seeded by the weight's name."""
    statistics = weight.name.endswith(("moving_mean:0", "moving_variance:0"))
    if not (weight.trainable or statistics):
        return
    value = weight.numpy()
    noise = np.random.default_rng(zlib.crc32(weight.name.encode())).normal(size=value.shape)
    weight.assign((value + 0.1 * (abs(noise) if statistics else noise)).astype(value.dtype))


def check(folder: Path, name: str) -> dict[str, Any]:
    """Loads what Keraform has written; what v4 says of it, and how far its outputs are off."""
    where = folder / name
    model_class = getattr(transformers, f"TF{name.partition('@')[0]}")
    model, said = model_class.from_pretrained(str(where / "back"), output_loading_info=True)
    inputs = dict(np.load(where / "used.npz"))
    found, wanted = dict(flat(model(inputs, training=False))), np.load(where / "outputs.npz")
    differences = {key: float(abs(found[key] - wanted[key]).max()) for key in wanted.files}
    return {**{key: list(map(str, value)) for key, value in said.items()}, "off": differences}


def flat(value: Any, name: str = "") -> Iterator[tuple[str, np.ndarray]]:
    """Each array of a model's output under the names and places that lead to it."""
    if isinstance(value, Mapping):
        parts: Any = value.items()
    elif isinstance(value, (tuple, list)):
        parts = enumerate(value)
    elif value is None or not hasattr(value, "numpy"):
        return
    else:
        yield name, np.asarray(value)
        return
    for key, part in parts:
        yield from flat(part, f"{name}.{key}" if name else str(key))


def main() -> None:
    does: dict[str, Callable[[Path, str], dict[str, Any]]] = {"make": make, "check": check}
    command, folder, *names = sys.argv[1:]
    for name in names:
        try:
            said = {"class": name, "problem": "", **does[command](Path(folder), name)}
        except Exception as error:  # one class must not stop the others
            text = (str(error).strip() or "?").splitlines()[0]
            said = {"class": name, "problem": f"{type(error).__name__}: {text}"[:300]}
        print(json.dumps(said), flush=True)


if __name__ == "__main__":
    main()
