"""Records how v4's TensorFlow classes named their layers and variables.

Run with Keraform's Python, after `old.py make`: `python tests/v4/record.py FOLDER` writes
src/keraform/checkpoints/keras2_layers.json, which `write_keras2` goes by. v4 is not developed any
more, so that this is done once.
"""

from __future__ import annotations

import json
import re
import sys
from collections import defaultdict
from pathlib import Path

import h5py

from keraform.checkpoints.keras2_files import TOP_LEVEL
from keraform.checkpoints.keras2_names import torch_key

TABLE = Path(__file__).parents[2] / "src/keraform/checkpoints/keras2_layers.json"
_INDEX = re.compile(r"(?:^|(?<=[/.])|(?<=\._))\d+(?=[/.]|_\._|$)")
_LAST_INDEX = re.compile(rf"{_INDEX.pattern}(?!.*{_INDEX.pattern})")

Layers = dict[str, list[str]]


def layers_of(path: Path) -> Layers:
    """The layers of a file by name, and the names of their variables, `*` for an index."""
    with h5py.File(path) as file:
        found = {
            layer: {name: file[layer][name].ndim for name in file[layer].attrs["weight_names"]}
            for layer in (*file.attrs["layer_names"], TOP_LEVEL)
        }
    patterns = defaultdict(set)
    for layer, names in found.items():
        for name in names:
            patterns[_key(pattern(name, layer))].add(pattern(name, layer))
    return {
        layer: list(
            dict.fromkeys(
                pattern(name, layer, len(patterns[_key(pattern(name, layer))]) > 1)
                + (f":{axes}" if name.endswith("/bias:0") and axes > 1 else "")
                for name, axes in names.items()
            )
        )
        for layer, names in found.items()
        # without variables and numbered by Keras, anew each time: dropout
        if names or not re.search(r"_\d+$|^top_level", layer)
    }


def pattern(name: str, layer: str, ambiguous: bool = False) -> str:
    """A variable's name without the model's and with `*` for each index; not for the last one where
    PyTorch's keys of two layers differ by that alone. A name of one part begins with a slash.
    """
    inner = (name.partition("/")[2] or f"/{name}").removesuffix(":0")
    start = layer if inner.startswith(f"{layer}/") else ""
    rest = inner.removeprefix(start)
    last = _LAST_INDEX.search(rest) if ambiguous else None
    end = rest[last.start() :] if last else ""
    return start + _INDEX.sub("*", rest.removesuffix(end)) + end


def _key(inner: str) -> str:
    return torch_key(f"model/{inner}")


def merged(files: list[Path]) -> Layers:
    """The layers of a class, from all configurations that it was recorded with."""
    found: Layers = {}
    for path in files:
        for layer, names in layers_of(path).items():
            known = found.setdefault(layer, [])
            known += [name for name in names if name not in known]
    return found


def main() -> None:
    files = defaultdict(list)
    for path in sorted(Path(sys.argv[1]).glob("*/h5/tf_model.h5")):
        files[path.parts[-3].partition("@")[0]].append(path)
    rows: dict[str, int] = {}
    classes = {
        name: [rows.setdefault(json.dumps(layer), len(rows)) for layer in merged(paths).items()]
        for name, paths in files.items()
    }
    layers = ",\n".join(rows)
    listed = ",\n".join(f"{json.dumps(name)}: {ids}" for name, ids in classes.items())
    TABLE.write_text(f'{{"layers": [\n{layers}\n],\n"classes": {{\n{listed}\n}}}}\n')
    print(f"{len(classes)} classes, {len(rows)} layers, {TABLE.stat().st_size} bytes")


if __name__ == "__main__":
    main()
