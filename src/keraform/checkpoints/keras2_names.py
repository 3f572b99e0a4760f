"""What the variables of Transformers v4's TensorFlow classes are in PyTorch: their keys, their axes.

A variable's name leads through the layers, `tf_bert_model/bert/encoder/layer_._0/output/dense/
kernel:0`. Its first part is the model and says nothing. `_._` stands where PyTorch has an index,
and of `mlm___cls` only what follows the underscores is PyTorch's. The last part tells in which
layout the values are: kernels are kept as Keras does, everything else as PyTorch does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np

from keraform.checkpoints.tensors import StoredTensor, of_array
from keraform.errors import KeraformError

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
    parts = parts[1:] or parts
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
    return _AXES.get(rank) if last.endswith("kernel") else None


def by_torch_keys(variables: Iterable[tuple[str, StoredTensor]]) -> dict[str, StoredTensor]:
    """Variables by PyTorch's keys, as PyTorch keeps them. What several layers share stands in a
    file once for each of them. PyTorch counts batches beside its running statistics; Keras did not,
    so that the count is 0, as in a new model.

    Args:
        variables: Full names, and the values as v4 kept them.

    Raises:
        KeraformError: Two variables of one key that differ.
    """
    found: dict[str, StoredTensor] = {}
    for name, stored in variables:
        tensor = _as_torch(name, stored)
        known = found.setdefault(tensor.key, tensor)
        if known is not tensor and not _equal(known, tensor):
            raise KeraformError(
                expected=f"one value of {tensor.key}",
                got=f"{name} and another variable of that key, which differ, in {stored.source}",
                try_next="another source of this checkpoint",
            )
    for key in [key for key in found if key.endswith("running_mean")]:
        counter = key.replace("running_mean", "num_batches_tracked")
        found[counter] = of_array(counter, np.zeros((), "int64"), found[key].source)
    return found


def _equal(one: StoredTensor, other: StoredTensor) -> bool:
    return one.shape == other.shape and np.array_equal(one.read(), other.read())


def _as_torch(name: str, tensor: StoredTensor) -> StoredTensor:
    axes = torch_axes(name, len(tensor.shape))
    if axes is None:
        shape, read = tensor.shape, tensor.read
    else:
        shape = tuple(tensor.shape[axis] for axis in axes)

        def read() -> np.ndarray:
            return np.transpose(tensor.read(), axes)

    return StoredTensor(torch_key(name), shape, tensor.dtype, tensor.source, read, True)
