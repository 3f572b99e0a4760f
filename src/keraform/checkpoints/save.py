"""A model's weights as PyTorch's state: its keys, its layout, each shared tensor once."""

from __future__ import annotations

from typing import Any

import numpy as np

from keraform.checkpoints.conversion import revert, savable_rules
from keraform.checkpoints.operations import InexpressibleError
from keraform.checkpoints.tensors import StoredTensor
from keraform.errors import KeraformError
from keraform.runtime.filling import torch_shape
from keraform.runtime.layers.lora import check_mergeable, has_update
from keraform.runtime.tree import TorchWeight, named_layers, named_weights


def torch_state(model: Any, original_format: bool = True) -> dict[str, StoredTensor]:
    """The tensors that `transformers` would save for this model; LoRA is merged into its weights.

    Args:
        model: A pretrained model.
        original_format: Under the names that the model's checkpoints are kept in (for instance
            one tensor for each expert), as `transformers` writes them.

    Raises:
        KeraformError: LoRA on a weight that is tied to another layer's, or quantized weights.
    """
    check_mergeable(model)
    _check_floats(model)
    ignored = set(model._keys_to_ignore_on_save or ())
    state = {
        weight.key: stored(weight)
        for weight in canonical_weights(model)
        if weight.key not in ignored
    }
    if not original_format:
        return state
    try:
        return revert(state, savable_rules(model), model.config)
    except InexpressibleError:
        return state  # today's names, which transformers reads as well


def _check_floats(model: Any) -> None:
    for path, layer in named_layers(model):
        mode = getattr(layer.dtype_policy, "quantization_mode", None)
        if mode is not None:
            raise KeraformError(
                expected="weights that a checkpoint of PyTorch's has",
                got=f"{path}, quantized to {mode}",
                try_next='model.save("model.keras"), or save_pretrained before quantize',
            )


def canonical_weights(model: Any) -> list[TorchWeight]:
    """One entry for each variable, under the key that the others are tied to.

    Args:
        model: A pretrained model.
    """
    tied = set(getattr(model, "all_tied_weights_keys", None) or ())
    entries: dict[int, TorchWeight] = {}
    for weight in named_weights(model):
        known = entries.get(id(weight.variable))
        if known is None or (known.key in tied and weight.key not in tied):
            entries[id(weight.variable)] = weight
    return list(entries.values())


def stored(weight: TorchWeight) -> StoredTensor:
    """A weight of a model as a tensor of a checkpoint, in PyTorch's layout.

    Args:
        weight: The weight.
    """

    def read() -> np.ndarray:
        # keras.ops.convert_to_numpy warns on TensorFlow for variables and for bfloat16
        merged = has_update(weight)
        array = np.asarray(weight.layer.merged_weight() if merged else weight.variable)
        return array if weight.axes is None else np.transpose(array, np.argsort(weight.axes))

    return StoredTensor(weight.key, torch_shape(weight), weight.variable._dtype, "", read)
