"""Writing `tf_model.h5` as Transformers v4's TensorFlow classes did, so that they load it.

How v4 named layers and variables is recorded in `keras2_layers.json` (tests/v4/record.py): for each
class its layers, and for each layer its variables, `*` standing for an index.
"""

from __future__ import annotations

import functools
import json
import math
import os
import re
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from keraform.checkpoints.atomic import require_room, write_atomically
from keraform.checkpoints.conversion import revert, rules_for, upstream_name
from keraform.checkpoints.keras2_files import TOP_LEVEL
from keraform.checkpoints.keras2_names import main_layer_names, torch_axes, torch_key
from keraform.checkpoints.operations import InexpressibleError
from keraform.checkpoints.renames import PrefixChange
from keraform.checkpoints.save import canonical_weights, stored
from keraform.checkpoints.tensors import StoredTensor, of_array
from keraform.errors import KeraformError
from keraform.runtime.tree import inverse_axes, named_layers, named_weights

KERAS2_NAME = "tf_model.h5"
_ATTRIBUTE_LIMIT = 64_000  # bytes; HDF5 keeps an attribute of up to 64 KiB in an object's header
# Counters and constants, of which v4's classes had no variable.
_WITHOUT_VARIABLE = re.compile(r"(^|\.)(num_batches_tracked|position_ids)$")


def write_keras2(path: str | os.PathLike[str], model: Any) -> Path:
    """Writes a model's weights as its TensorFlow class of Transformers v4 did.

    Args:
        path: The file, usually `tf_model.h5` beside a configuration; the old one stays until the
            new one is complete.
        model: A pretrained model of a class that v4 had.

    Returns:
        The file.

    Raises:
        KeraformError: v4 had no such class, or the class had no place for one of the weights.
        OSError: There is not enough room for the file.
    """
    import h5py

    path = Path(path)
    layers = list(_filled(model))
    tensors = (tensor for _, weights in layers for tensor, *_ in weights.values())
    # bfloat16 becomes float32
    size = sum(tensor.nbytes * (1 + (tensor.dtype == "bfloat16")) for tensor in tensors)
    require_room(path.parent, size)

    def write(temporary: str) -> None:
        with h5py.File(temporary, "w") as file:
            _set_names(file, "layer_names", [name for name, _ in layers if name != TOP_LEVEL])
            file.attrs["backend"] = "tensorflow"
            file.attrs["keras_version"] = "2.15.0"
            for name, weights in layers:
                group = file.create_group(name)
                _set_names(group, "weight_names", list(weights))
                for weight, tensor in weights.items():
                    group.create_dataset(weight, data=_as_keras(weight, *tensor))

    write_atomically(path, write)
    return path


def keras2_classes() -> list[str]:
    """The classes that v4 had, without their `TF`."""
    return sorted(_table()["classes"])


@functools.cache
def _table() -> dict[str, Any]:
    return json.loads((files("keraform.checkpoints") / "keras2_layers.json").read_text("utf-8"))


# Models of any two others: their layers are those that the others have by themselves.
_COMPOSITES = ("EncoderDecoderModel", "VisionEncoderDecoderModel", "VisionTextDualEncoderModel")
# What PyTorch computes and v4 kept, by its key here and there.
_CONSTANTS = {  # Swin's, [n * n] here and [n, n] there
    "attention.relative_position_bias.relative_position_index": (
        "attention.self.relative_position_index"
    ),
}

Weights = dict[str, tuple[StoredTensor, int]]  # and v4's number of axes where it is known, or 0


def _filled(model: Any) -> Iterator[tuple[str, Weights]]:
    """The layers of v4's class, each with the full names of its variables and their values."""
    name = upstream_name(type(model))
    state, needed = _state(model)
    keys = {
        old + key[len(now) :]: key
        for old, now in main_layer_names(model).items()
        for key in state
        if key.startswith(now)
    }
    keys |= {key: key for key in state}
    for layer, variables in _layers(model):
        weights: Weights = {}
        for variable in variables:
            inner, _, axes = variable.partition(":")
            for indices, key in _matching(inner, keys):
                full = f"{_snake_case(name)}/{_with_indices(inner, indices)}:0"
                full = full.rpartition("//")[2]  # v4 named some variables without the model
                weights[full] = state[key], int(axes or inner.endswith("/bias"))
                needed.pop(id(state[key]), None)
        if weights or not variables:  # else a layer that this configuration does not have
            yield layer, weights
    left = [key for key in needed.values() if not _WITHOUT_VARIABLE.search(key)]
    if left:
        more = f" and {len(left) - 3} more" if len(left) > 3 else ""
        raise KeraformError(
            expected=f"a variable of v4's TF{name} for each weight",
            got=f"{', '.join(left[:3])}{more}, which it had in no configuration that is known",
            try_next="save_pretrained(directory), which writes safetensors",
        )


def _layers(model: Any) -> list[tuple[str, list[str]]]:
    """The layers of v4's class of a model, with the names of their variables."""
    name = upstream_name(type(model))
    if name not in _table()["classes"]:
        raise KeraformError(
            expected=f"one of the {len(keras2_classes())} classes that Transformers v4 had for "
            "TensorFlow",
            got=f"TF{name}",
            try_next="save_pretrained(directory), which writes safetensors; "
            "keraform.checkpoints.keras2_classes() lists the classes",
        )
    layers = [_table()["layers"][number] for number in _table()["classes"][name]]
    if name not in _COMPOSITES:
        return layers
    parts = {path: each for path, each in named_layers(model) if hasattr(each, "config")}
    return [
        (layer, [f"{layer}/{each}" for _, inner in _layers(parts[layer]) for each in inner])
        if layer in parts
        else (layer, variables)
        for layer, variables in layers
    ]


def _matching(inner: str, keys: Mapping[str, str]) -> Iterator[tuple[tuple[str, ...], str]]:
    """The indices and keys of the weights that a variable's name with `*` stands for."""
    pattern = re.escape(torch_key(f"model/{inner}")).replace(r"\*", r"(\d+)")
    pattern = rf"(?:.*\.)?{pattern}" if inner.startswith("/") else pattern
    for full, key in keys.items():
        found = re.fullmatch(pattern, full)
        if found:
            yield found.groups(), key


def _with_indices(inner: str, indices: tuple[str, ...]) -> str:
    parts = inner.split("*")
    return "".join(part + index for part, index in zip(parts, (*indices, ""), strict=True))


def _state(model: Any) -> tuple[dict[str, StoredTensor], dict[int, str]]:
    """The weights under the keys of v4's time, and today's where those were others; what is tied
    stands under each of its keys as the same tensor. Then a key for each tensor that has to be
    written, by its id.
    """
    tensors = {id(weight.variable): stored(weight) for weight in canonical_weights(model)}
    today = {weight.key: tensors[id(weight.variable)] for weight in named_weights(model)}
    rules = [rule for rule in rules_for(model, legacy=False) if not isinstance(rule, PrefixChange)]
    try:
        older = revert(today, rules, model.config)
    except InexpressibleError:
        older = dict(today)
    for key in list(older):  # a head's bias stands there twice, and v4 had it once
        once = key.removesuffix("decoder.bias") + "bias"
        if key.endswith(".decoder.bias") and once in older:
            older[once] = older[key]
    state = {**today, **older}
    for key in list(state):  # weight norm
        for new, old in ((".original0", "_g"), (".original1", "_v")):
            if key.endswith(new):
                state[key.replace(".parametrizations", "").removesuffix(new) + old] = state[key]
    return state | _constants(model), {id(tensor): key for key, tensor in older.items()}


def _constants(model: Any) -> dict[str, StoredTensor]:
    found = {}
    for path, layer in named_layers(model):
        for here, there in _CONSTANTS.items():
            owner, _, name = here.rpartition(".")
            if path.endswith(owner) and hasattr(layer, name):
                value = np.asarray(getattr(layer, name)).astype("int32")
                side = math.isqrt(value.size)
                key = path.removesuffix(owner) + there
                found[key] = of_array(key, value.reshape(side, side))
    return found


def _as_keras(name: str, tensor: StoredTensor, axes: int) -> np.ndarray:
    """The values in v4's layout."""
    value = tensor.read()
    if value.dtype.name == "bfloat16":
        value = value.astype("float32")  # HDF5 has no such numbers; float32 holds them all
    order = torch_axes(name, value.ndim)
    value = value if order is None else np.transpose(value, inverse_axes(order))
    if axes in (0, value.ndim):
        return value
    sizes = [size for size in value.shape if size != 1]
    return value.reshape([1] * (axes - len(sizes)) + sizes)


def _set_names(group: Any, attribute: str, names: list[str]) -> None:
    """A list of names; a long one is spread over `weight_names0`, `weight_names1` and so on."""
    encoded = [name.encode() for name in names]
    width = max(map(len, encoded), default=1)
    count = max(1, _ATTRIBUTE_LIMIT // width)
    if len(encoded) <= count:
        group.attrs[attribute] = np.array(encoded, f"S{width}")
        return
    for number, start in enumerate(range(0, len(encoded), count)):
        group.attrs[f"{attribute}{number}"] = np.array(encoded[start : start + count], f"S{width}")


def _snake_case(name: str) -> str:
    """`BertModel` -> `tf_bert_model`, as Keras 2 named a model after its class."""
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", f"TF{name}")
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()
