"""What the variables of Transformers v4's TensorFlow classes are in PyTorch: keys and axes.

A variable's name leads through the layers, `tf_bert_model/bert/encoder/layer_._0/output/dense/
kernel:0`. Its first part is the model and says nothing. `_._` stands where PyTorch has an index,
and of `mlm___cls` only what follows the underscores is PyTorch's. The last part tells in which
layout the values are: kernels are kept as Keras does, everything else as PyTorch does.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from keraform.checkpoints.conversion import upstream_name
from keraform.checkpoints.tensors import StoredTensor, keep, of_array
from keraform.runtime.tree import named_layers

# Keras's name of a variable, and PyTorch's; what is not here has one name for both.
_LAST = {
    "kernel": "weight",
    "embeddings": "weight",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
    "depthwise_kernel": "depthwise.weight",
    "pointwise_kernel": "pointwise.weight",
}
# From Keras's layout of a kernel to PyTorch's, by its rank: dense, and convolutions of one and two
# dimensions.
_AXES = {2: (1, 0), 3: (2, 1, 0), 4: (3, 2, 0, 1)}
# A separable convolution's own channels come second in Keras, [k, c, 1], and first in PyTorch.
_DEPTHWISE_AXES = (1, 2, 0)
# Variables that v4 had and did not look at, beside those that it did; PyTorch has one for both.
_UNUSED = {"predictions.bias": "predictions.decoder.bias"}  # ALBERT's head
# Main layers with other names than PyTorch's prefix: v4's halves of CLIP lie in a layer of a whole.
_MAIN_LAYERS = {
    "CLIPTextModel": ("clip.text_model",),
    "CLIPVisionModel": ("clip.vision_model",),
}


def full_name(name: str) -> str:
    """A name from a safetensors file or a shard, with the first part that v4 took off there.

    Args:
        name: The tensor's name in the file.
    """
    return name if "model." in name or "/" not in name else f"model/{name}"


def torch_key(name: str) -> str:
    """PyTorch's key of a variable.

    Args:
        name: The full name, such as "tf_bert_model/bert/pooler/dense/kernel:0".
    """
    parts = re.sub(r":\d+$", "", name).replace("_._", "/").split("/")
    parts = [part.rpartition("___")[2] for part in parts if part]
    parts = parts[1:] or parts or [name]
    return ".".join([*parts[:-1], _LAST.get(parts[-1], parts[-1])])


def torch_axes(name: str, rank: int) -> tuple[int, ...] | None:
    """The transposition of a variable to PyTorch's layout; None where both have the same.

    Args:
        name: The name of the variable.
        rank: The number of its axes.
    """
    last = re.sub(r":\d+$", "", name).rpartition("/")[2]
    if last == "depthwise_kernel" and rank == 3:
        return _DEPTHWISE_AXES
    return _AXES.get(rank) if last in ("kernel", "pointwise_kernel") else None


def by_torch_keys(variables: Mapping[str, StoredTensor]) -> dict[str, StoredTensor]:
    """Variables by PyTorch's keys, as PyTorch keeps them. PyTorch counts batches beside its running
    statistics; Keras did not, so that the count is 0, as in a new model.

    Args:
        variables: The values by the variables' full names.

    Raises:
        KeraformError: Two variables of one key that differ.
    """
    found: dict[str, StoredTensor] = {}
    for name, variable in variables.items():
        keep(found, _as_torch(name, variable))
    for key in [key for key in found if key.endswith("running_mean")]:
        counter = key.replace("running_mean", "num_batches_tracked")
        found[counter] = of_array(counter, np.zeros((), "int64"), found[key].source)
    for key, used in _UNUSED.items():
        if used in found:
            found.pop(key, None)
    return found


def _as_torch(name: str, tensor: StoredTensor) -> StoredTensor:
    axes = torch_axes(name, len(tensor.shape))
    if axes is None:
        return replace(tensor, key=torch_key(name))
    shape = tuple(tensor.shape[axis] for axis in axes)
    return replace(
        tensor,
        key=torch_key(name),
        shape=shape,
        read=lambda: np.transpose(tensor.read(), axes),
    )


def main_layer_names(model: Any) -> dict[str, str]:
    """Where v4's keys have the name of a main layer and PyTorch's have not: of each base model, the
    start of its keys there and here. v4 kept its layers in a main layer of that name, as in
    `encoder.bert.pooler`; PyTorch's base model is itself that layer, `encoder.pooler`.

    Args:
        model: A pretrained model, which may hold others.
    """
    inner = ((f"{path}." if path else "", layer) for path, layer in named_layers(model))
    return {
        f"{start}{name}.": start
        for start, layer in inner
        if getattr(layer, "_is_pretrained_model", False) and layer.base_model is layer
        for name in (*_MAIN_LAYERS.get(upstream_name(type(layer)), ()), layer.base_model_prefix)
        if name
    }


def for_model(
    stored: Mapping[str, StoredTensor], model: Any, known: Collection[str]
) -> dict[str, StoredTensor]:
    """What v4 wrote, under the keys that PyTorch's model of its time had.

    Args:
        stored: The tensors by key.
        model: The model to be loaded.
        known: The keys of its weights.
    """
    if not any(tensor.keras2 for tensor in stored.values()):
        return dict(stored)
    starts = main_layer_names(model)

    def here(key: str) -> str:
        if key in known:
            return key
        if "." not in key:  # v4 named some variables without the layers that lead to them
            ends = [each for each in known if each.endswith(f".{key}")]
            return ends[0] if len(ends) == 1 else key
        shorter = (now + key[len(old) :] for old, now in starts.items() if key.startswith(old))
        return next(shorter, key)

    found: dict[str, StoredTensor] = {}
    for key, tensor in stored.items():
        keep(found, replace(tensor, key=here(key)))
    for key in known:  # PyTorch has the bias of a head twice, v4 had it once
        once = key.removesuffix("decoder.bias") + "bias"
        if key.endswith(".decoder.bias") and key not in found and once in found:
            found[key] = found[once]
    return found
